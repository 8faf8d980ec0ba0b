"""Trains a beta-VAE, whose latents mean one thing each, and draws what they mean.

python recipes/beta_vae.py --dataset mnist --epochs 10 --capacity 25 --beta 100
"""

import kzoo
from kzoo.parts import KL
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    latent_dim: int = 10,
    architecture: str = "conv",
    beta: float = 4.0,
    capacity: float | None = None,
):
    images = run.images()
    steps = run.epochs * len(images) // run.batch_size // 2
    kl = KL() if capacity is None else KL(capacity=capacity, capacity_steps=steps)
    parts = {"divergence": kl, "beta": beta}
    model = kzoo.models.BetaVAE(images.shape[1:], latent_dim, architecture, **parts)
    run.fit(model, pictures=[run.latents()])
    text = "Test reconstruction {reconstruction:.2f}, KL {kl:.2f}, loss {loss:.2f} nats"
    run.report(model, text)


if __name__ == "__main__":
    script(main)
