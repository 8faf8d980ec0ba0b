"""Trains a regularised autoencoder, and a mixture to draw its codes from.

python recipes/rae.py --dataset mnist --epochs 10 --penalty gradient
"""

import json
from pathlib import Path

import keras
import typer

import kzoo
from kzoo.callbacks import Checkpoint, LatentGrid, ReconstructionGrid, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 30,
    batch_size: int = 128,
    latent_dim: int = 16,
    architecture: str = "conv",
    penalty: str = "l2",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/rae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, _ = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.RAE(images.shape[1:], latent_dim, architecture, penalty)
    model.compile()
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            SampleGrid(output / "samples"),
            ReconstructionGrid(output / "reconstructions", test_images[:32]),
            LatentGrid(output / "latents"),
            Checkpoint(output / "checkpoint.keras", resume, seed),
        ],
    )
    kzoo.distribution.finish(model)
    model.fit_sampler("mixture", images, seed=seed)
    model.save(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history.history, indent=1))
    try:
        model.export(output / "SavedModel", overwrite=resume)
    except ImportError as error:
        print(f"No SavedModel: {error}")

    scores = model.evaluate(test_images, batch_size=batch_size, return_dict=True)
    print(f"Model, samples and history: {output}")
    print(f"Test squared error, summed over pixels: {scores['reconstruction']:.2f}")


if __name__ == "__main__":
    typer.run(main)
