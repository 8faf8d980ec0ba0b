"""Every GAN of the zoo at one budget: as many steps, similar networks.

FID, precision and coverage compare as many samples with the test images. Models of
labels are also asked for 1,000 images of each class: `right` is the share that the data
set's classifier takes for that class, `worst` that of the class it does so least. A
picture of each model's samples is written beside the table; InfoGAN's shows its codes.

python benchmarks/zoo.py --dataset mnist --epochs 2
"""

import json
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import typer

import kzoo
from kzoo.networks import (
    BigGANNetworks,
    DCGANNetworks,
    MLPNetworks,
    ResNetNetworks,
    sagan_networks,
)
from kzoo.networks.began import BEGANNetworks, NormalizedBEGANNetworks
from kzoo.networks.bigan import DCGANBiGANNetworks

DCGAN = {"architecture": DCGANNetworks((64, 32))}
SPECTRAL = {"normalization": "spectral", "conditioning": "projection"}
SNGAN = {"architecture": ResNetNetworks((32, 32, 32), **SPECTRAL)}
MODELS = {
    "GAN": lambda shape, _: kzoo.models.GAN(
        shape, architecture=MLPNetworks((256, 512))
    ),
    "DCGAN": lambda shape, _: kzoo.models.DCGAN(shape, **DCGAN),
    "WGANGP": lambda shape, _: kzoo.models.WGANGP(
        shape, architecture=DCGANNetworks((64, 32), normalization="layer")
    ),
    "CGAN": lambda shape, n: kzoo.models.CGAN(shape, num_classes=n),
    "conditional DCGAN": lambda shape, n: kzoo.models.CGAN(
        shape, num_classes=n, **DCGAN
    ),
    "SNGAN": lambda shape, n: kzoo.models.SNGAN(shape, num_classes=n, **SNGAN),
    # One step of the discriminator, not five, so that more epochs take as long. These
    # two have been run for ten.
    "one-step SNGAN": lambda shape, n: kzoo.models.SNGAN(
        shape, num_classes=n, discriminator_steps=1, **SNGAN
    ),
    "convolutional SNGAN": lambda shape, n: kzoo.models.SNGAN(
        shape,
        architecture=DCGANNetworks((64, 32), **SPECTRAL),
        num_classes=n,
        discriminator_steps=1,
    ),
    "R3GAN": lambda shape, _: kzoo.models.R3GAN(shape),
    "StyleGAN2": lambda shape, _: kzoo.models.StyleGAN2(shape),
    "ACGAN": lambda shape, n: kzoo.models.ACGAN(shape, num_classes=n, **DCGAN),
    "InfoGAN": lambda shape, n: kzoo.models.InfoGAN(
        shape, 64 + n, categories=n, **DCGAN
    ),
    "LSGAN": lambda shape, _: kzoo.models.LSGAN(shape, **DCGAN),
    "SAGAN": lambda shape, n: kzoo.models.SAGAN(
        shape, architecture=sagan_networks((32, 32, 32)), num_classes=n
    ),
    "BigGAN": lambda shape, n: kzoo.models.BigGAN(
        shape, architecture=BigGANNetworks((32, 32, 32), "auto"), num_classes=n
    ),
    "AAE": lambda shape, _: kzoo.models.AAE(shape),
    "VAEGAN": lambda shape, _: kzoo.models.VAEGAN(shape, 16, **DCGAN),
    "BiGAN": lambda shape, _: kzoo.models.BiGAN(
        shape, architecture=DCGANBiGANNetworks((64, 32))
    ),
    "BEGAN": lambda shape, _: kzoo.models.BEGAN(
        shape, 32, gamma=1.0, architecture=NormalizedBEGANNetworks((32, 64))
    ),
    # At the paper's gamma of 0.5 and rate of k its k stays at 0 so few steps long.
    "paper's BEGAN": lambda shape, _: kzoo.models.BEGAN(
        shape, gamma=0.9, k_rate=0.01, architecture=BEGANNetworks((16, 32, 48))
    ),
    "WGAN": lambda shape, _: kzoo.models.WGAN(shape, **DCGAN),
}


def main(
    dataset: str = "digits",
    epochs: int = 2,
    batch_size: int = 64,
    models: str = ",".join(MODELS),
    metrics: str = "frechet_distance,prdc",
    limit: int | None = None,
    seed: int = 0,
    output: Path = Path("saved_models/zoo"),
):
    images, labels = kzoo.data.load(dataset, image_size=28, limit=limit)
    test_images, _ = kzoo.data.load(dataset, "test", image_size=28)
    evaluator = kzoo.metrics.Evaluator(
        test_images,
        features=kzoo.metrics.features_for(dataset),
        metrics=metrics.split(","),
        seed=seed,
        dataset=dataset,
        split="test",
        verbose=False,
    )
    output.mkdir(parents=True, exist_ok=True)
    for name in models.split(","):
        keras.utils.set_random_seed(seed)
        model = MODELS[name](images.shape[1:], int(labels.max()) + 1)
        model.compile()
        start = time.perf_counter()
        conditions = labels if model.num_classes else None
        arguments = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
        model.fit(images, conditions, **arguments)
        row = {"seconds": time.perf_counter() - start, **evaluator(model).scores()}
        row["parameters"] = model.count_params()
        if model.num_classes:
            row |= obedience(model, evaluator.extractor, seed)
        model.save(output / f"{name}.keras")
        plt.imsave(output / f"{name}.png", picture(model, seed), cmap="gray")
        row |= {"epochs": epochs, "batch_size": batch_size, "seed": seed}
        row |= {"backend": keras.backend.backend(), "kzoo": kzoo.__version__}
        (output / f"{name}.json").write_text(json.dumps(row, indent=1))
        shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}
        print(name, shown, flush=True)


def obedience(model, extractor, seed):
    """Shares of the images of a class that are taken for it: overall, least."""
    if not extractor.has_classes:
        return {}
    shares = []
    for label in range(model.num_classes):
        _, probabilities = extractor(model.sample(1000, seed=seed, labels=label))
        shares.append(float(np.mean(probabilities.argmax(axis=1) == label)))
    return {"right": float(np.mean(shares)), "worst": min(shares)}


def picture(model, seed):
    """Ten rows of ten: one a class where there are labels, or one a category."""
    if hasattr(model, "traversal"):
        images = model.generate(model.traversal(0, columns=10, seed=seed))
    elif model.num_classes:
        labels = np.arange(min(model.num_classes, 10)).repeat(10)
        images = model.sample(len(labels), seed=seed, labels=labels)
    else:
        images = model.sample(100, seed=seed)
    return np.squeeze(kzoo.callbacks.tile(images, 10))


if __name__ == "__main__":
    typer.run(main)
