"""Trains a Wasserstein autoencoder and says how far its codes are from the prior.

python recipes/wae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 8, architecture: str = "conv", scale: float = 10.0):
    shape = run.images().shape[1:]
    model = kzoo.models.WAE(shape, latent_dim, architecture, scale)
    run.fit(model, pictures=[run.latents()])
    run.report(
        model,
        "Test reconstruction {reconstruction:.2f} an image, discrepancy of codes and "
        "prior {mmd:.4f}",
    )


if __name__ == "__main__":
    script(main)
