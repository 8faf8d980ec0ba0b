"""How a training step's time and a process's memory grow with the sizes.

The convolutional VAE; one size is varied at a time, the others are those of `BASE`.
Each point is a process of its own, on random images. The figure shows every backend
whose points are in the output folder. Run it with nothing else running.

KERAS_BACKEND=jax python benchmarks/growth.py
"""

import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import typer

import kzoo

BACKEND = keras.backend.backend()
BASE = {"batch size": 128, "image size": 28, "latents": 20, "images": 10_000}
SWEEPS = {
    "batch size": [16, 64, 256, 1024],
    "image size": [28, 64, 128],
    "latents": [2, 32, 512],
    "images": [1000, 10_000, 100_000, 1_000_000],
}


def main(
    steps: int = 10,
    sweeps: str = ",".join(SWEEPS),
    largest: int = 1_000_000,
    output: Path = Path("saved_models/growth"),
):
    output.mkdir(parents=True, exist_ok=True)
    points = [
        {**BASE, "varied": name, name: value}
        for name in sweeps.split(",")
        for value in SWEEPS[name]
        if value <= largest
    ]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        jobs = [(point, steps) for point in points]
        measured = pool.starmap(measure, jobs, chunksize=1)
    path = output / f"{BACKEND}.json"
    path.write_text(json.dumps(measured, indent=1))
    figure(sorted(output.glob("*.json")), output / "growth.png")
    print(f"Written: {path}, {output / 'growth.png'}")


def measure(point, steps):
    """The point with `ms`, a step's time, and `mb`, the process's peak memory."""
    size, batch_size = point["image size"], point["batch size"]
    shape = (point["images"], size, size, 1)
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    model = kzoo.models.VAE((size, size, 1), point["latents"], "conv")
    model.compile()
    steps = min(steps, -(-len(images) // batch_size))

    def seconds():
        start = time.perf_counter()
        model.fit(images, batch_size=batch_size, steps_per_epoch=steps, verbose=0)
        return time.perf_counter() - start

    seconds()  # compiles
    ms = 1e3 * min(seconds(), seconds()) / steps
    # ru_maxrss is in KiB, on macOS in bytes
    unit = 1 if sys.platform == "darwin" else 1024
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    row = {**point, "ms": ms, "mb": mb}
    print(BACKEND, {k: round(v) if isinstance(v, float) else v for k, v in row.items()})
    return row


def figure(paths, target):
    shown, axes = plt.subplots(2, len(SWEEPS), figsize=(12, 5), sharey="row")
    for path in paths:
        rows = json.loads(path.read_text())
        for column, name in enumerate(SWEEPS):
            of_sweep = [row for row in rows if row["varied"] == name]
            for line, key in enumerate(("ms", "mb")):
                x, y = ([row[k] for row in of_sweep] for k in (name, key))
                axes[line, column].loglog(x, y, "o-", label=path.stem)
                axes[line, column].set_xlabel(name)
                axes[line, column].set_xticks(x, [f"{n:,}" for n in x])
                axes[line, column].minorticks_off()
    axes[0, 0].set_ylabel("milliseconds a step")
    axes[1, 0].set_ylabel("peak memory in MB")
    axes[0, 0].legend()
    shown.tight_layout()
    shown.savefig(target, dpi=80)


if __name__ == "__main__":
    typer.run(main)
