"""Trains a generative adversarial network and says how good it is.

python recipes/gan.py --dataset mnist --epochs 50
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=200, batch_size=64)
def main(
    run, latent_dim: int = 100, architecture: str = "mlp", loss: str = "non_saturating"
):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.GAN(images.shape[1:], latent_dim, architecture, loss)
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
