"""How disentangled the codes of the zoo's autoencoders are, on sprites.

Convolutional networks and 10 latents, trained and scored on all sprites, as Locatello
et al., arXiv:1811.12359, do with dSprites, whose 300,000 steps the default does not
come near. Scores differ much between seeds: take several. Beside the scores, a picture
of each model: one image, decoded with latent i from -3 to 3 in row i.

python benchmarks/disentanglement.py --epochs 30 --seeds 3
"""

from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import typer

import kzoo
from kzoo.networks import ConvEncoderDecoder

NETWORKS = {"latent_dim": 10, "architecture": ConvEncoderDecoder((32, 32, 64))}
MODELS = {  # names without a comma, which separates them
    "VAE": lambda shape: kzoo.models.VAE(shape, **NETWORKS),
    "beta-VAE": lambda shape: kzoo.models.BetaVAE(shape, beta=4.0, **NETWORKS),
    "beta-TCVAE": lambda shape: kzoo.models.BetaTCVAE(shape, beta=6.0, **NETWORKS),
    "FactorVAE": lambda shape: kzoo.models.FactorVAE(shape, gamma=35.0, **NETWORKS),
    "DIP-VAE": lambda shape: kzoo.models.DIPVAE(shape, **NETWORKS),
}


def main(
    models: str = ",".join(MODELS),
    epochs: int = 30,
    batch_size: int = 64,
    seeds: int = 1,
    image_size: int = 32,
    scales: int = 4,
    orientations: int = 8,
    positions: int = 12,
    output: Path = Path("saved_models/disentanglement"),
):
    sizes = {"scales": scales, "orientations": orientations, "positions": positions}
    images, factors = kzoo.data.sprites(image_size, **sizes)
    average = np.argmin(abs(factors - factors.mean(axis=0)).sum(axis=1))
    output.mkdir(parents=True, exist_ok=True)
    for name in models.split(","):
        reports = []
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            model = MODELS[name](images.shape[1:])
            model.compile()
            history = model.fit(images, None, batch_size, epochs, verbose=2).history
            model.save(output / f"{name}_{seed}.keras")
            moved = traversal(model, images[average])
            plt.imsave(output / f"{name}_{seed}.png", moved, cmap="gray")
            report = kzoo.metrics.disentanglement(
                model, images, factors, seed=seed, dataset="sprites"
            )
            report.protocol |= {"model": name, "epochs": epochs, **sizes}
            report.protocol |= {"image_size": image_size, "batch_size": batch_size}
            report.results += [
                {"metric": f"train_{log}", "value": values[-1]}
                for log, values in history.items()
            ]
            report.save(output / f"{name}_{seed}.json")
            print(report, flush=True)
            reports.append(report.scores())
        for metric in reports[0]:
            values = [scores[metric] for scores in reports]
            print(f"{name} {metric}: mean {np.mean(values):.3f}, of {seeds} seeds")


def traversal(model, image, columns=11):
    """One image decoded over and over, in each row with another latent on the move."""
    dim = model.latent_dim
    codes = np.tile(model.encode(image[None]), (dim, columns, 1))
    codes[range(dim), :, range(dim)] = np.linspace(-3, 3, columns)
    images = np.clip(model.generate(codes.reshape(-1, dim)), 0, 1)
    return np.squeeze(kzoo.callbacks.tile(images, columns))


if __name__ == "__main__":
    typer.run(main)
