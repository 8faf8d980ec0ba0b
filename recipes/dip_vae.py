"""Trains a DIP-VAE, whose latents are uncorrelated.

python recipes/dip_vae.py --dataset sprites --epochs 30
"""

import kzoo
from kzoo.models.dip_vae import MomentMatching
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 10, architecture: str = "conv", kind: str = "II"):
    shape = run.images().shape[1:]
    divergence = MomentMatching(kind)
    model = kzoo.models.DIPVAE(shape, latent_dim, architecture, divergence=divergence)
    run.fit(model, pictures=[run.latents()])
    run.report(
        model,
        "Test reconstruction {reconstruction:.2f} and KL {kl:.2f} nats an image, "
        "squared covariances {covariance:.3f}",
    )


if __name__ == "__main__":
    script(main)
