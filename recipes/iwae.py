"""Trains an importance weighted autoencoder and says how likely it finds new images.

python recipes/iwae.py --dataset mnist --epochs 40 --samples 5
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=20, test_split="test")
def main(
    run, latent_dim: int = 50, samples: int = 5, gradient: str = "reparameterized"
):
    shape = run.images().shape[1:]
    model = kzoo.models.IWAE(shape, latent_dim, samples, gradient)
    run.fit(model, pictures=[run.latents()])
    nats = run.likelihood(model, samples=500)
    run.report(model, f"Test negative log-likelihood: {nats}")


if __name__ == "__main__":
    script(main)
