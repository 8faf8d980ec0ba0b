"""Trains a VAE whose latents are on the unit sphere.

python recipes/spherical_vae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=64, test_split="test")
def main(run, latent_dim: int = 10, architecture: str = "mlp"):
    shape = run.images().shape[1:]
    model = kzoo.models.SphericalVAE(shape, latent_dim, architecture)
    run.fit(model)
    run.report(
        model, "Test negative ELBO {loss:.2f} nats an image, of which KL {kl:.2f}"
    )


if __name__ == "__main__":
    script(main)
