"""Trains a least squares GAN and says how good it is.

python recipes/lsgan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 100):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.LSGAN(images.shape[1:], latent_dim)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
