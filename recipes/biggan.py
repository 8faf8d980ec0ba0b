"""Trains BigGAN on labelled images and says how good it is.

python recipes/biggan.py --dataset cifar10 --epochs 200 --widths 128,128,128,128
"""

import kzoo
from kzoo.networks import BigGANNetworks
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, widths: str = "64,64"):
    shape = run.images().shape[1:]
    run.score_by("kernel_distance", "prdc")
    networks = BigGANNetworks(map(int, widths.split(",")), attention="auto")
    classes = run.num_classes()
    model = kzoo.models.BigGAN(shape, architecture=networks, num_classes=classes)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
