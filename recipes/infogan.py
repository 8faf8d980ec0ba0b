"""Trains an InfoGAN, draws what its codes mean, and says how good it is.

python recipes/infogan.py --dataset mnist --epochs 20
"""

import kzoo
from kzoo.callbacks import SampleGrid
from kzoo.recipe import recipe, script


@recipe(epochs=100, batch_size=64)
def main(run, noise_dim: int = 62, categories: int = 10, continuous: int = 2):
    images = run.images()
    run.score_by("kernel_distance", "prdc")
    latent_dim = noise_dim + categories + continuous
    model = kzoo.models.InfoGAN(images.shape[1:], latent_dim, categories, continuous)
    codes = [
        SampleGrid(run.output / f"code_{i}", model.traversal(i), columns=10)
        for i in range(continuous)
    ]
    run.fit(model, pictures=codes)
    run.report(model)


if __name__ == "__main__":
    script(main)
