"""Trains a Wasserstein GAN, with gradient penalty or clipped, and says how good it is.

python recipes/wgan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 128, clip: bool = False):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    make = kzoo.models.WGAN if clip else kzoo.models.WGANGP
    model = make(images.shape[1:], latent_dim)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
