"""Trains a VAE on corrupted images and draws how it cleans them.

python recipes/denoising_vae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import ELBO, recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    latent_dim: int = 20,
    architecture: str = "mlp",
    corruption: str = "salt_and_pepper",
    level: float = 0.2,
):
    shape = run.images().shape[1:]
    options = {"corruption": corruption, "level": level}
    model = kzoo.models.DenoisingVAE(shape, latent_dim, architecture, **options)
    noisy = model.seen(run.test_data[0][:32].astype("float32") / 255, training=True)
    run.fit(model, pictures=[run.latents()], pairs=noisy)
    run.report(model, ELBO)


if __name__ == "__main__":
    script(main)
