"""Trains StyleGAN2, whose latents become styles, and says how good it is.

python recipes/stylegan2.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, latent_dim: int = 64):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.StyleGAN2(images.shape[1:], latent_dim)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
