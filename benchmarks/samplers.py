"""What fitting a sampler to the latents gains: scores of samples, prior against each.

Each autoencoder is trained once, and drawn from by its prior and by every sampler of
`kzoo.samplers` in turn, fitted to its latents of the training images. Samples are
compared with the test images. Beside the table of a model, a picture: a row of samples
of the prior, then one of each sampler, in its order; all decoded by the same weights.

python benchmarks/samplers.py --dataset mnist --epochs 10
"""

import json
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import typer

import kzoo
from kzoo.networks import DCGANNetworks
from kzoo.networks.bigan import DCGANBiGANNetworks
from kzoo.parts import Gaussian, VampPrior

COLUMNS = 16
CONV = {"latent_dim": 16, "architecture": "conv"}
GREY = {**CONV, "likelihood": "bernoulli"}  # where the paper binarises
MODELS = {  # names without a comma, which separates them
    "VAE": lambda shape: kzoo.models.VAE(shape),
    "conv VAE": lambda shape: kzoo.models.VAE(shape, **CONV),
    "sharp conv VAE": lambda shape: kzoo.models.VAE(
        shape, **CONV, likelihood=Gaussian("learned")
    ),
    "BetaVAE": lambda shape: kzoo.models.BetaVAE(shape, **CONV),
    "CVAE": lambda shape: kzoo.models.CVAE(shape, 10, **CONV),
    "IWAE": lambda shape: kzoo.models.IWAE(shape, **GREY),
    "BetaTCVAE": lambda shape: kzoo.models.BetaTCVAE(shape, **CONV),
    "FactorVAE": lambda shape: kzoo.models.FactorVAE(
        shape, **CONV, gamma=6.0, discriminator_widths=(256, 256)
    ),
    "InfoVAE": lambda shape: kzoo.models.InfoVAE(shape, **CONV),
    "WAE": lambda shape: kzoo.models.WAE(shape, **CONV),
    "VampVAE": lambda shape: kzoo.models.VampVAE(shape, **CONV, prior=VampPrior(100)),
    "HVAE": lambda shape: kzoo.models.HVAE(shape, warmup_steps=1000),
    "DenoisingVAE": lambda shape: kzoo.models.DenoisingVAE(shape, **CONV),
    "RAE": lambda shape: kzoo.models.RAE(shape, **CONV),
    "JointVAE": lambda shape: kzoo.models.JointVAE(shape, capacity_steps=1000),
    "DIPVAE": lambda shape: kzoo.models.DIPVAE(shape, **CONV),
    "SphericalVAE": lambda shape: kzoo.models.SphericalVAE(shape, **GREY),
    "MIWAE": lambda shape: kzoo.models.MIWAE(shape, **GREY, samples=2, groups=2),
    "CIWAE": lambda shape: kzoo.models.CIWAE(shape, **GREY, samples=4),
    "PIWAE": lambda shape: kzoo.models.PIWAE(shape, **GREY, samples=2, groups=2),
    "Autoencoder": lambda shape: kzoo.models.Autoencoder(shape, **CONV),
    "AAE": lambda shape: kzoo.models.AAE(shape),
    "VAEGAN": lambda shape: kzoo.models.VAEGAN(shape, 16, DCGANNetworks((64, 32))),
    "BiGAN": lambda shape: kzoo.models.BiGAN(
        shape, architecture=DCGANBiGANNetworks((64, 32))
    ),
}


def main(
    dataset: str = "digits",
    epochs: int = 10,
    batch_size: int = 128,
    models: str = "conv VAE,AAE",
    samplers: str = "normal,mixture,flow,two_stage",
    steps: int = 5000,
    metrics: str = "frechet_distance,prdc",
    limit: int | None = None,
    seed: int = 0,
    output: Path = Path("saved_models/samplers"),
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
        model = MODELS[name](images.shape[1:])
        model.compile()
        given = labels if model.num_classes else None
        model.fit(images, given, batch_size, epochs, verbose=2)
        rows, pictures = {}, []
        for kind in ["prior", *samplers.split(",")]:
            rows[kind] = {"seconds": fitted(model, kind, images, given, seed, steps)}
            rows[kind] |= evaluator(model).scores()
            pictures.append(model.sample(COLUMNS, seed=seed))
            print(name, kind, rows[kind], flush=True)
        protocol = {"epochs": epochs, "batch_size": batch_size, "steps": steps}
        protocol |= {"dataset": dataset, "samples": len(test_images), "seed": seed}
        protocol |= {"backend": keras.backend.backend(), "kzoo": kzoo.__version__}
        report = {"model": name, **protocol, "results": rows}
        (output / f"{name}.json").write_text(json.dumps(report, indent=1))
        grid = kzoo.callbacks.tile(np.clip(np.concatenate(pictures), 0, 1), COLUMNS)
        plt.imsave(output / f"{name}.png", np.squeeze(grid), cmap="gray")


def fitted(model, kind, images, labels, seed, steps):
    """Fits the sampler, or goes back to the prior; returns how long it took."""
    start = time.perf_counter()
    options = {"steps": steps} if kind in ("flow", "two_stage") else {}
    kind = None if kind == "prior" else kind
    model.fit_sampler(kind, images, labels, seed=seed, **options)
    return time.perf_counter() - start


if __name__ == "__main__":
    typer.run(main)
