"""Trains a spectrally normalised GAN and says how good it is.

python recipes/sngan.py --dataset cifar10 --epochs 64 --conditional
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 128, conditional: bool = False):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    classes = run.num_classes() if conditional else None
    model = kzoo.models.SNGAN(images.shape[1:], latent_dim, num_classes=classes)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
