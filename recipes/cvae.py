"""Trains a conditional variational autoencoder and draws each label.

python recipes/cvae.py --dataset mnist --epochs 10
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
    batch_size: int = 128,
    latent_dim: int = 20,
    architecture: str = "mlp",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/cvae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, labels = kzoo.data.load(dataset, split, image_size, limit)
    if labels is None:
        raise typer.BadParameter(f"{dataset} has no labels, which this model needs.")
    test = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.CVAE(
        images.shape[1:], int(labels.max()) + 1, latent_dim, architecture
    )
    model.compile()
    pairs = ReconstructionGrid(
        output / "reconstructions", test[0][:32], labels=test[1][:32]
    )
    history = model.fit(
        images,
        labels,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            SampleGrid(output / "samples"),
            pairs,
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

    scores = model.evaluate(*test, batch_size=batch_size, return_dict=True)
    print(f"Model, samples and history: {output}")
    print(
        f"Test negative ELBO given the label: {scores['loss']:.2f} nats an image "
        f"(reconstruction {scores['reconstruction']:.2f}, KL {scores['kl']:.2f})"
    )


if __name__ == "__main__":
    typer.run(main)
