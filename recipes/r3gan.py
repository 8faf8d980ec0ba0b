"""Trains R3GAN, a modern residual GAN, and says how good it is.

python recipes/r3gan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 64):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.R3GAN(images.shape[1:], latent_dim)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
