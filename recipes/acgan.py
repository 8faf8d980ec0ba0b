"""Trains an auxiliary classifier GAN on labelled images and says how good it is.

python recipes/acgan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 100):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.ACGAN(
        images.shape[1:], latent_dim, num_classes=run.num_classes()
    )
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
