"""Trains a variational autoencoder and says how good it is.

python recipes/vae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import ELBO, recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    latent_dim: int = 20,
    architecture: str = "mlp",
    likelihood: str = "bernoulli",
    beta: float = 1.0,
):
    shape = run.images().shape[1:]
    model = kzoo.models.VAE(shape, latent_dim, architecture, likelihood, beta)
    run.fit(model, pictures=[run.latents()])
    run.report(model, ELBO)


if __name__ == "__main__":
    script(main)
