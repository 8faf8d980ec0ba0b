"""Trains a hierarchical autoencoder and says how likely it finds new images.

python recipes/hvae.py --dataset mnist --epochs 10 --architecture deep
"""

import kzoo
from kzoo.parts.likelihoods import LIKELIHOODS
from kzoo.recipe import named, recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    architecture: str = "ladder",
    likelihood: str = "bernoulli",
    samples: int = 1,
    binarize: bool = False,
    warmup_epochs: int = 3,
):
    shape, steps = run.images().shape[1:], warmup_epochs * run.steps_per_epoch
    pixels = named("likelihood", likelihood, LIKELIHOODS, binarize=binarize or None)
    model = run.fit(kzoo.models.HVAE(shape, architecture, pixels, samples, steps))
    scores, nats = run.evaluate(model), run.likelihood(model, samples=100, images=200)
    layers = [round(kl, 2) for name, kl in scores.items() if name.startswith("kl_")]
    run.report(model, f"KL of each layer, from the image up: {layers}")
    print(f"Test negative bound {scores['loss']:.2f}, negative log-likelihood {nats}")


if __name__ == "__main__":
    script(main)
