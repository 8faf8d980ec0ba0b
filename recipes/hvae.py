"""Trains a hierarchical autoencoder and says how likely it finds new images.

python recipes/hvae.py --dataset mnist --epochs 40
python recipes/hvae.py --dataset mnist --architecture deep --epochs 10
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
    architecture: str = "ladder",
    likelihood: str = "bernoulli",
    samples: int = 1,
    binarize: bool = False,
    warmup_epochs: int = 3,
    split: str = "train",
    test_split: str = "test",
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/hvae"),
    resume: bool = False,
    seed: int = 0,
    devices: int | None = None,
):
    kzoo.distribution.data_parallel(devices)
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, split, image_size, limit)
    test_images, _ = kzoo.data.load(dataset, test_split, image_size, limit)

    model = kzoo.models.HVAE(
        images.shape[1:],
        architecture=architecture,
        likelihood=likelihood,
        samples=samples,
        binarize=binarize,
        warmup_steps=warmup_epochs * -(-len(images) // batch_size),
    )
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
    layers = [value for name, value in scores.items() if name.startswith("kl_")]
    scored = test_images[:200]
    nats = -model.log_likelihood(scored, samples=100, verbose=True)
    print(f"Model, samples and history: {output}")
    print(f"KL of each layer, from the image up: {[round(kl, 2) for kl in layers]}")
    print(
        f"Test negative bound: {scores['loss']:.2f} nats an image; negative "
        f"log-likelihood {nats.mean():.2f} (100 samples, {len(scored)} images)"
    )


if __name__ == "__main__":
    typer.run(main)
