"""Trains a boundary equilibrium GAN and says how good it is.

python recipes/began.py --dataset mnist --epochs 20
python recipes/began.py --dataset folder/of/faces --architecture began --gamma 0.5
"""

import json
from pathlib import Path

import keras
import typer

import kzoo
from kzoo.callbacks import Checkpoint, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 50,
    batch_size: int = 16,
    latent_dim: int = 32,
    architecture: str = "infogan",
    gamma: float = 1.0,
    split: str = "train",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/began"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    evaluator = kzoo.metrics.Evaluator(
        images[:10_000],
        features=kzoo.metrics.features_for(dataset),
        metrics=["kernel_distance", "prdc"],
        seed=seed,
        dataset=dataset,
        split=split,
        verbose=False,
    )

    model = kzoo.models.BEGAN(
        images.shape[1:], latent_dim, gamma, architecture=architecture
    )
    model.compile()
    untrained = evaluator(model)
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            SampleGrid(output / "samples"),
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
