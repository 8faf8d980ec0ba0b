"""Trains a VAE/GAN and says how good it is.

python recipes/vaegan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64, test_split="test")
def main(run, latent_dim: int = 16, architecture: str = "dcgan"):
    images = run.images()
    run.score_by("kernel_distance", "prdc", "reconstruction")
    model = kzoo.models.VAEGAN(images.shape[1:], latent_dim, architecture)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
