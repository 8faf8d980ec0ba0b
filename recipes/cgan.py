"""Trains a conditional GAN on labelled images and says how good it is.

python recipes/cgan.py --dataset mnist --epochs 50
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=200, batch_size=64)
def main(run, latent_dim: int = 100, architecture: str = "mlp"):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    classes = run.num_classes()
    model = kzoo.models.CGAN(
        images.shape[1:], latent_dim, architecture, num_classes=classes
    )
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
