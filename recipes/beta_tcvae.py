"""Trains a beta-TCVAE, whose latents do not depend on each other.

python recipes/beta_tcvae.py --dataset sprites --epochs 30
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 10, architecture: str = "conv", beta: float = 6.0):
    shape = run.images().shape[1:]
    model = kzoo.models.BetaTCVAE(shape, latent_dim, architecture, beta=beta)
    run.fit(model, pictures=[run.latents()])
    run.report(
        model,
        "Test reconstruction {reconstruction:.2f} nats an image, KL {kl:.2f}, of it "
        "total correlation {total_correlation:.2f}",
    )


if __name__ == "__main__":
    script(main)
