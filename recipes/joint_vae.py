"""Trains a JointVAE and says how well its categories agree with the labels, if any.

python recipes/joint_vae.py --dataset mnist --epochs 50
"""

from sklearn.metrics import adjusted_mutual_info_score

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=50, batch_size=64, test_split="test")
def main(
    run, continuous_dim: int = 10, categories: int = 10, architecture: str = "conv"
):
    images = run.images()
    shape, steps = images.shape[1:], run.epochs * len(images) // run.batch_size // 2
    options = {"architecture": architecture, "capacity_steps": steps}
    model = kzoo.models.JointVAE(shape, continuous_dim, (categories,), **options)
    run.fit(model, pictures=[run.latents()])
    run.report(model, "Test reconstruction {reconstruction:.2f} nats an image")
    test_images, labels = run.test_data
    if labels is not None:
        found = model.encode(test_images)[:, -categories:].argmax(axis=1)
        agreement = adjusted_mutual_info_score(labels, found)
        print(f"Categories and labels: adjusted mutual information {agreement:.3f}")


if __name__ == "__main__":
    script(main)
