"""Trains a generative adversarial network and says how good it is.

python recipes/gan.py --dataset mnist --epochs 50
"""

import json
from pathlib import Path

import keras
import typer

import kzoo
from kzoo.callbacks import Checkpoint, SampleGrid


def main(
    dataset: str = "digits",
    epochs: int = 200,
    batch_size: int = 64,
    latent_dim: int = 100,
    architecture: str = "mlp",
    loss: str = "non_saturating",
    split: str = "train",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/gan"),
    resume: bool = False,
    seed: int = 0,
):
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    real = images[:10_000].reshape(len(images[:10_000]), -1) / 255

    def distance(model):
        fake = model.sample(len(real), seed=seed).reshape(len(real), -1)
        return kzoo.metrics.frechet_distance(real, fake)

    model = kzoo.models.GAN(images.shape[1:], latent_dim, architecture, loss)
    model.compile()
    untrained = distance(model)
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[
            Checkpoint(output / "checkpoint.keras", resume, seed),
            SampleGrid(output / "samples"),
        ],
    )
    model.save(output / "model.keras")
    (output / "history.json").write_text(json.dumps(history.history, indent=1))
    try:
        model.export(output / "SavedModel", overwrite=resume)
    except ImportError as error:
        print(f"No SavedModel: {error}")

    print(f"Model, samples and history: {output}")
    print(
        f"Fréchet distance of pixels, {len(real)} samples to training images: "
        f"{distance(model):.2f} (untrained: {untrained:.2f})"
    )


if __name__ == "__main__":
    typer.run(main)
