"""Trains a conditional variational autoencoder and draws each label.

python recipes/cvae.py --dataset mnist --epochs 10
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(run, latent_dim: int = 20, architecture: str = "mlp"):
    shape = run.images().shape[1:]
    model = kzoo.models.CVAE(shape, run.num_classes(), latent_dim, architecture)
    run.fit(model)
    run.report(
        model,
        "Test negative ELBO given the label: {loss:.2f} nats an image "
        "(reconstruction {reconstruction:.2f}, KL {kl:.2f})",
    )


if __name__ == "__main__":
    script(main)
