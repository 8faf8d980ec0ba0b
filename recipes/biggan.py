"""Trains BigGAN on labelled images and says how good it is.

python recipes/biggan.py --dataset cifar10 --epochs 200 --widths 128,128,128,128
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, widths: str = "64,64"):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    sizes = [int(width) for width in widths.split(",")]
    model = kzoo.models.BigGAN(
        images.shape[1:], widths=sizes, num_classes=run.num_classes()
    )
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
