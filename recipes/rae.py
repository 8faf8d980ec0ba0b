"""Trains a regularised autoencoder, and a mixture to draw its codes from.

python recipes/rae.py --dataset mnist --epochs 10 --penalty gradient
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 16, architecture: str = "conv", penalty: str = "l2"):
    shape = run.images().shape[1:]
    model = kzoo.models.RAE(shape, latent_dim, architecture, penalty)
    run.fit(model, pictures=[run.latents()], sampler="mixture")
    run.report(model, "Test squared error, summed over pixels: {reconstruction:.2f}")


if __name__ == "__main__":
    script(main)
