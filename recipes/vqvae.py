"""Trains a VQ-VAE, then the PixelCNN that draws its codes, and says how good both are.

python recipes/vqvae.py --dataset mnist --epochs 10
"""

import keras

import kzoo
from kzoo.callbacks import SampleGrid
from kzoo.parts.quantizers import QUANTIZERS
from kzoo.recipe import named, recipe, script


@recipe(epochs=30, batch_size=128, test_split="test")
def main(
    run,
    prior_epochs: int | None = None,
    codebook_size: int | None = None,
    code_dim: int | None = None,
    quantizer: str = "ema",
    depth: int | None = None,
    architecture: str = "conv",
    learning_rate: float = 1e-3,
    prior_width: int = 64,
    prior_blocks: int = 4,
    prior_learning_rate: float = 1e-3,
):
    images = run.images()
    run.score_by("kernel_distance", "prdc", "reconstruction")
    size = "codes" if quantizer == "rq" else "size"
    defaults = {"fsq": {}, "lfq": {size: 128}}.get(quantizer, {size: 128, "dim": 16})
    given = {size: codebook_size, "dim": code_dim, "depth": depth}
    given = {name: value for name, value in given.items() if value is not None}
    quantizer = named("quantizer", quantizer, QUANTIZERS, **defaults | given)
    model = kzoo.models.VQVAE(images.shape[1:], quantizer, architecture)
    model.compile(keras.optimizers.Adam(learning_rate))
    run.ready(model)
    history = run.train(model, [run.reconstructions(model)])
    prior = model.fit_prior(
        images,
        width=prior_width,
        blocks=prior_blocks,
        optimizer=keras.optimizers.Adam(prior_learning_rate),
        batch_size=run.batch_size,
        epochs=prior_epochs or run.epochs,
        validation_data=run.test_data[0],
        callbacks=[SampleGrid(run.output / "samples"), run.checkpoint("prior.keras")],
    ).history
    history |= {f"prior_{name}": values for name, values in prior.items()}
    run.save(model, history)
    run.report(
        model,
        f"Perplexity of the codes: {history['perplexity'][-1]:.1f} of "
        f"{model.quantizer.size}; the prior: {prior['val_loss'][-1]:.3f} nats a code",
    )


if __name__ == "__main__":
    script(main)
