"""Trains a model by a bound between the ELBO and that of IWAE, and scores new images.

python recipes/piwae.py --dataset mnist --epochs 40 --model MIWAE
"""

import kzoo
from kzoo.recipe import recipe, script


@recipe(epochs=30, batch_size=20, test_split="test")
def main(run, latent_dim: int = 50, samples: int = 8, model: str = "PIWAE"):
    shape = run.images().shape[1:]
    named = getattr(kzoo.models, model)  # MIWAE, CIWAE or PIWAE
    model = named(shape, latent_dim, samples)
    run.fit(model, pictures=[run.latents()])
    nats = run.likelihood(model, samples=500)
    run.report(model, f"Test negative log-likelihood: {nats}")


if __name__ == "__main__":
    script(main)
