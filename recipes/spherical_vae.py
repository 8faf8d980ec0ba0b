"""Trains a VAE whose latents are on the unit sphere.

python recipes/spherical_vae.py --dataset mnist --epochs 10
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
    batch_size: int = 64,
    latent_dim: int = 10,
    architecture: str = "mlp",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/spherical_vae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, _ = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.SphericalVAE(images.shape[1:], latent_dim, architecture)
    model.compile()
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

    scores = model.evaluate(test_images, batch_size=batch_size, return_dict=True)
    print(f"Model, samples and history: {output}")
    print(
        f"Test negative ELBO {scores['loss']:.2f} nats an image, of which KL "
        f"{scores['kl']:.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
