"""How many modes a GAN covers where their number is known.

Ring-8 and Grid-25: 2,500 samples, good ones within three standard deviations of a mode
(VEEGAN, arXiv:1705.07761). Stacked-MNIST: 26,000 samples, their digits as `mnist-v1`
sees them, 1000 modes, KL to the training images in nats (PacGAN, arXiv:1712.04086).

On points every optimizer of a paper runs at a rate of 1e-3, and WGANGP without layer
normalisation and with a penalty of weight 0.1, as in the authors' own script for
points: at 10 a critic of points in a unit square has no slope to speak of.

python benchmarks/modes.py --output runs/modes
"""

import functools
import json
from pathlib import Path

import keras
import numpy as np
import typer

import kzoo
from kzoo.networks import DCGANNetworks, MLPNetworks
from kzoo.parts import R1, R2, GradientPenalty

MLP = functools.partial(MLPNetworks, (128, 128), dropout=0.0)
DCGAN = functools.partial(DCGANNetworks, (64, 32))


def losses(latent_dim, networks, critic, weight):
    """The losses on the same networks: `{name: function of the shape}`, a model.

    Args:
        latent_dim: number of latents.
        networks: function that makes the networks.
        critic: normalisation of WGANGP's.
        weight: of its penalty.
    """
    models, plain = kzoo.models, networks(normalization=None)
    wgangp = {"architecture": networks(normalization=critic)}
    wgangp |= {"penalty": GradientPenalty(weight)}
    spectral = networks(normalization="spectral")
    r3gan = {"loss": "relativistic_pairing", "penalty": (R1(0.1), R2(0.1))}
    return {
        "GAN": lambda shape: models.GAN(shape, latent_dim, networks()),
        "WGANGP": lambda shape: models.WGANGP(shape, latent_dim, **wgangp),
        "SNGAN": lambda shape: models.SNGAN(shape, latent_dim, spectral),
        "R3GAN's game": lambda shape: models.GAN(shape, latent_dim, plain, **r3gan),
    }


RUNS = {  # data set: (models, batch size, learning rate or None for the papers')
    "ring-8": (losses(2, MLP, None, 0.1), 512, 1e-3),
    "grid-25": (losses(2, MLP, None, 0.1), 512, 1e-3),
    "stacked_mnist": (losses(100, DCGAN, "layer", 10.0), 64, None),
}


def main(
    datasets: str = ",".join(RUNS),
    models: str = "GAN,WGANGP,SNGAN,R3GAN's game",
    steps: int = 10_000,
    seeds: int = 3,
    output: Path = Path("saved_models/modes"),
):
    for dataset in datasets.split(","):
        builders, batch_size, rate = RUNS[dataset]
        images, _ = kzoo.data.load(dataset)
        for name in models.split(","):
            runs = []
            for seed in range(seeds):
                keras.utils.set_random_seed(seed)
                model = builders[name](images.shape[1:])
                # Keras's torch allows 1.
                fused = 1 if keras.backend.backend() == "torch" else 20
                model.compile(steps_per_execution=fused)
                for member in model.optimizer.optimizers if rate else ():
                    member.learning_rate = rate
                train(model, images, batch_size, steps)
                model.save(output / f"{name}_{dataset}_{seed}.keras")
                runs.append(score(model, dataset, images, seed))
                print(name, dataset, f"seed {seed}:", runs[-1], flush=True)
            result = {"model": name, "dataset": dataset, "steps": steps, "runs": runs}
            result |= {"backend": keras.backend.backend(), "kzoo": kzoo.__version__}
            path = output / f"{name}_{dataset}.json"
            path.write_text(json.dumps(result, indent=1))
            for key in runs[0]:
                values = [run[key] for run in runs]
                print(f"  {key}: mean {np.mean(values):.3f}, of {len(values)} seeds")


def train(model, images, batch_size, steps):
    steps_an_epoch = min(steps, len(images) // batch_size)
    epochs = -(-steps // steps_an_epoch)
    model.fit(
        images[: steps_an_epoch * batch_size],
        batch_size=batch_size,
        epochs=epochs,
        verbose=0,
    )


def score(model, dataset, images, seed):
    if dataset in kzoo.data.MIXTURES:
        points = model.sample(2500, seed=seed).reshape(-1, 2)
        modes, good = kzoo.metrics.gaussian_modes(points, *kzoo.data.MIXTURES[dataset])
        return {"modes": modes, "good": good}
    report = kzoo.metrics.evaluate(
        model,
        images[:26_000],
        features=kzoo.metrics.features_for(dataset),
        metrics=["mode_coverage"],
        num_samples=26_000,
        seed=seed,
        verbose=False,
    )
    return report.scores()


if __name__ == "__main__":
    typer.run(main)
