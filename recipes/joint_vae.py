"""Trains a JointVAE and says how well its categories agree with the labels, if any.

python recipes/joint_vae.py --dataset mnist --epochs 50
"""

import json
from pathlib import Path

import keras
import sklearn.metrics
import typer

import kzoo
from kzoo.callbacks import Checkpoint, LatentGrid, ReconstructionGrid, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 50,
    batch_size: int = 64,
    continuous_dim: int = 10,
    categories: int = 10,
    architecture: str = "conv",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/joint_vae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, labels = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.JointVAE(
        images.shape[1:],
        continuous_dim,
        (categories,),
        architecture,
        capacity_steps=epochs * len(images) // batch_size // 2,
    )
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
    model.save(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history.history, indent=1))
    try:
        model.export(output / "SavedModel", overwrite=resume)
    except ImportError as error:
        print(f"No SavedModel: {error}")

    print(f"Model, samples and history: {output}")
    if labels is not None:
        found = model.encode(test_images)[:, -categories:].argmax(axis=1)
        agreement = sklearn.metrics.adjusted_mutual_info_score(labels, found)
        print(f"Categories and labels: adjusted mutual information {agreement:.3f}")
    scores = model.evaluate(test_images, batch_size=batch_size, return_dict=True)
    print(f"Test reconstruction {scores['reconstruction']:.2f} nats an image")


if __name__ == "__main__":
    typer.run(main)
