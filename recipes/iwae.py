"""Trains an importance weighted autoencoder and says how likely it finds new images.

python recipes/iwae.py --dataset mnist --epochs 40 --samples 5
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
    batch_size: int = 20,
    latent_dim: int = 50,
    samples: int = 5,
    gradient: str = "reparameterized",
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/iwae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, _ = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.IWAE(images.shape[1:], latent_dim, samples, gradient)
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

    scored = test_images[:1000]
    nats = -model.log_likelihood(scored, samples=500, verbose=True)
    print(f"Model, samples and history: {output}")
    print(
        f"Test negative log-likelihood: {nats.mean():.2f} nats an image (bound of 500 "
        f"samples, {len(scored)} images)"
    )


if __name__ == "__main__":
    typer.run(main)
