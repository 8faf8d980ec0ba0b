"""How disentangled the codes of the zoo's autoencoders are, on sprites.

Convolutional networks and 10 latents, trained and scored on all sprites, as Locatello
et al., arXiv:1811.12359, do with dSprites, whose 300,000 steps the default does not
come near. Scores differ more between seeds than one would like: take several. Beside
the scores, a picture of each model: row i moves latent i from -3 to 3.

python benchmarks/disentanglement.py --epochs 30 --seeds 3
"""

from pathlib import Path

import keras
import numpy as np
import typer

import kzoo
from kzoo.callbacks import LatentGrid

NETWORKS = {"latent_dim": 10, "architecture": "conv", "widths": (32, 32, 64)}
MODELS = {  # names without a comma, which separates them
    "VAE": lambda shape: kzoo.models.VAE(shape, **NETWORKS),
    "beta-VAE": lambda shape: kzoo.models.VAE(shape, beta=4.0, **NETWORKS),
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
    for name in models.split(","):
        reports = []
        for seed in range(seeds):
            run = output / f"{name}_{seed}"
            keras.utils.set_random_seed(seed)
            model = MODELS[name](images.shape[1:])
            model.compile()
            last = train(model, images, batch_size, epochs, run)
            model.save(run / "model.keras")
            report = kzoo.metrics.disentanglement(
                model, images, factors, seed=seed, dataset="sprites"
            )
            report.protocol |= {"model": name, "epochs": epochs, **sizes}
            report.protocol |= {"image_size": image_size, "batch_size": batch_size}
            report.results += [{"metric": f"train_{k}", "value": last[k]} for k in last]
            report.save(output / f"{name}_{seed}.json")
            print(report, flush=True)
            reports.append(report.scores())
        for metric in reports[0]:
            values = [scores[metric] for scores in reports]
            print(f"{name} {metric}: mean {np.mean(values):.3f}, of {seeds} seeds")


def train(model, images, batch_size, epochs, folder):
    """Fits, draws the latents at the end; the logs of the last epoch."""
    grid = LatentGrid(folder, size=11, every=epochs)
    history = model.fit(
        images, batch_size=batch_size, epochs=epochs, verbose=2, callbacks=[grid]
    )
    return {name: float(values[-1]) for name, values in history.history.items()}


if __name__ == "__main__":
    typer.run(main)
