"""Trains a boundary equilibrium GAN and says how good it is.

python recipes/began.py --dataset mnist --epochs 20
python recipes/began.py --dataset folder/of/faces --architecture began --gamma 0.5
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=50, batch_size=16)
def main(run, latent_dim: int = 32, architecture: str = "infogan", gamma: float = 1.0):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    model = kzoo.models.BEGAN(
        images.shape[1:], latent_dim, gamma, architecture=architecture
    )
    run.fit(model)
    run.report(model)


if __name__ == "__main__":
    script(main)
