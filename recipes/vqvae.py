"""Trains a VQ-VAE, then the PixelCNN that draws its codes, and says how good both are.

python recipes/vqvae.py --dataset mnist --epochs 10
"""

import json
from pathlib import Path

import keras
import typer

import kzoo
from kzoo.callbacks import Checkpoint, ReconstructionGrid, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 30,
    prior_epochs: int | None = None,
    batch_size: int = 128,
    codebook_size: int = 128,
    code_dim: int = 16,
    quantizer: str = "ema",
    depth: int | None = None,
    architecture: str = "conv",
    learning_rate: float = 1e-3,
    prior_width: int = 64,
    prior_blocks: int = 4,
    prior_learning_rate: float = 1e-3,
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/vqvae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, _ = kzoo.data.load(dataset, test_split, image_size, limit)
    evaluator = kzoo.metrics.Evaluator(
        test_images,
        features=kzoo.metrics.features_for(dataset),
        metrics=["kernel_distance", "prdc", "reconstruction"],
        seed=seed,
        dataset=dataset,
        split=test_split,
        verbose=False,
    )

    sizes = {"fsq": (), "lfq": (codebook_size,)}
    sizes = sizes.get(quantizer, (codebook_size, code_dim))
    model = kzoo.models.VQVAE(
        images.shape[1:],
        *sizes,
        quantizer=quantizer,
        architecture=architecture,
        depth=depth,
    )
    model.compile(keras.optimizers.Adam(learning_rate))
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            ReconstructionGrid(output / "reconstructions", test_images[:32]),
            Checkpoint(output / "checkpoint.keras", resume, seed),
        ],
    ).history
    prior = model.fit_prior(
        images,
        width=prior_width,
        blocks=prior_blocks,
        optimizer=keras.optimizers.Adam(prior_learning_rate),
        batch_size=batch_size,
        epochs=prior_epochs or epochs,
        validation_data=test_images,
        callbacks=[
            SampleGrid(output / "samples"),
            Checkpoint(output / "prior.keras", resume, seed),
        ],
    ).history
    history |= {f"prior_{name}": values for name, values in prior.items()}
    kzoo.distribution.finish(model)
    model.save(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history, indent=1))
    try:
        model.export(output / "SavedModel", overwrite=resume)
    except ImportError as error:
        print(f"No SavedModel: {error}")

    report = evaluator(model)
    report.save(output / "scores.json")
    print(f"Model, samples, history and scores: {output}")
    print(report)
    print(
        f"Perplexity of the codes: {history['perplexity'][-1]:.1f} of "
        f"{model.codebook.size}; the prior: {prior['val_loss'][-1]:.3f} nats a code"
    )


if __name__ == "__main__":
    typer.run(main)
