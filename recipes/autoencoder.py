"""Trains an autoencoder, and a mixture of normal densities to draw codes from.

python recipes/autoencoder.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 16, architecture: str = "conv"):
    shape = run.images().shape[1:]
    model = kzoo.models.Autoencoder(shape, latent_dim, architecture)
    run.fit(model, pictures=[run.latents()], sampler="mixture")
    run.report(model, "Test squared error, summed over pixels: {reconstruction:.2f}")


if __name__ == "__main__":
    script(main)
