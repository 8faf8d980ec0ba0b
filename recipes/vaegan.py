"""Trains a VAE/GAN and says how good it is.

python recipes/vaegan.py --dataset mnist --epochs 20
"""

import json
from pathlib import Path

import keras
import typer

import kzoo
from kzoo.callbacks import Checkpoint, ReconstructionGrid, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 100,
    batch_size: int = 64,
    latent_dim: int = 16,
    architecture: str = "dcgan",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/vaegan"),
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

    model = kzoo.models.VAEGAN(images.shape[1:], latent_dim, architecture)
    model.compile()
    untrained = evaluator(model)
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            SampleGrid(output / "samples"),
            ReconstructionGrid(output / "reconstructions", test_images[:32]),
            Checkpoint(output / "checkpoint.keras", resume, seed),
        ],
    )
    kzoo.distribution.finish(model)
    model.save(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history.history, indent=1))
    try:
        model.export(output / "SavedModel", overwrite=resume)
    except ImportError as error:
        print(f"No SavedModel: {error}")

    report = evaluator(model)
    report.save(output / "scores.json")
    print(f"Model, samples, history and scores: {output}")
    print(report)
    print(f"Kernel distance before training: {untrained['kernel_distance']:.4g}")


if __name__ == "__main__":
    typer.run(main)
