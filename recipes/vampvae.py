"""Trains a VAE whose prior is learned as images.

python recipes/vampvae.py --dataset mnist --epochs 10 --binarize
"""

import kzoo
from kzoo.parts import Bernoulli, VampPrior
from kzoo.recipe import ELBO, recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    latent_dim: int = 40,
    architecture: str = "mlp",
    components: int = 500,
    binarize: bool = False,
):
    shape = run.images().shape[1:]
    parts = {"likelihood": Bernoulli(binarize), "prior": VampPrior(components)}
    model = kzoo.models.VampVAE(shape, latent_dim, architecture, **parts)
    run.fit(model, pictures=[run.latents()])
    run.report(model, ELBO)


if __name__ == "__main__":
    script(main)
