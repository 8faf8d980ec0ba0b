"""Trains an InfoVAE, whose latents say more of the image.

python recipes/infovae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.models.infovae import KLAndMMD
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    latent_dim: int = 10,
    architecture: str = "mlp",
    alpha: float = 0.0,
    scale: float = 1000.0,
):
    shape, divergence = run.images().shape[1:], KLAndMMD(alpha, scale)
    model = kzoo.models.InfoVAE(shape, latent_dim, architecture, divergence=divergence)
    run.fit(model, pictures=[run.latents()])
    run.report(
        model,
        "Test reconstruction {reconstruction:.2f} and KL {kl:.2f} nats an image, "
        "discrepancy of latents and prior {mmd:.4f}",
    )


if __name__ == "__main__":
    script(main)
