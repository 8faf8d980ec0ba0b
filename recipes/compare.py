"""VAE against GAN on the same data: the same images seen, comparable parameter counts.

Trains an MLP and a convolutional model of each family, each in a process of its own,
and writes `report.md` with a table and what it says of common claims, `figure.png` and
`results.json`.

python recipes/compare.py --dataset mnist --epochs 10 --seeds 3
"""

import concurrent.futures
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import scipy.ndimage
import typer

import kzoo
from kzoo.callbacks import Checkpoint, Evaluate, SampleGrid, tile
from kzoo.networks import (
    ConvEncoderDecoder,
    DCGANNetworks,
    MLPEncoderDecoder,
    MLPNetworks,
)
from kzoo.recipe import script

MODELS = {  # about a million parameters each for 28x28 images
    "MLP VAE": lambda shape: kzoo.models.VAE(shape, 20, MLPEncoderDecoder((512, 256))),
    "conv VAE": lambda shape: kzoo.models.VAE(shape, 20, ConvEncoderDecoder((64, 128))),
    "MLP GAN": lambda shape: kzoo.models.GAN(shape, 100, MLPNetworks((256, 512))),
    "DCGAN": lambda shape: kzoo.models.DCGAN(shape, 100, DCGANNetworks((128, 64))),
}
SAMPLES = 500  # latents of each image, for its likelihood
SAMPLE_METRICS = ["frechet_distance", "prdc"]
COLUMNS = {  # of the table: heading and format
    "frechet_distance": ("FID", ".2f"),
    "precision": ("precision", ".3f"),
    "recall": ("recall", ".3f"),
    "coverage": ("coverage", ".3f"),
    "sharpness": ("sharpness", ".2f"),
    "negative_log_likelihood": ("NLL, nats", ".1f"),
    "parameters": ("parameters", ",.0f"),
    "training_seconds": ("training, s", ".0f"),
    "seconds_per_1000": ("s per 1000 samples", ".3f"),
    "peak_memory_mb": ("peak memory, MB", ",.0f"),
}


def main(
    dataset: str = "digits",
    epochs: int = 10,
    batch_size: int = 128,
    seeds: int = 1,
    features: str | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    output: Path = Path("saved_models/compare"),
    resume: bool = False,
):
    if not resume and output.exists() and any(output.iterdir()):
        raise typer.BadParameter(
            f"Expected an empty folder or none. Received: {output}, which has files. "
            "Pass --resume to go on with its runs, or another --output."
        )
    data = {"dataset": dataset, "image_size": image_size, "limit": limit}
    features = features or kzoo.metrics.features_for(dataset)
    results = {name: [] for name in MODELS}
    for seed in range(seeds):
        for name in MODELS:
            folder = output / f"{name.replace(' ', '_')}_{seed}"
            if not (resume and (folder / "result.json").exists()):
                settings = data, features, epochs, batch_size, resume
                in_a_new_process(train, name, seed, folder, *settings)
            results[name].append(read(folder / "result.json"))
            print(name, f"seed {seed}:", summary([results[name][-1]]), flush=True)

    (output / "results.json").write_text(json.dumps(results, indent=1))
    protocol = (
        f"{dataset}: {epochs} epochs, batches of {batch_size}, seeds 0 to {seeds - 1}, "
        f"features {features}, {results['DCGAN'][0]['images']} test images and as many "
        f"samples, backend {keras.backend.backend()}, kzoo {kzoo.__version__}."
    )
    draw(results, data, output)
    (output / "report.md").write_text(report(results, protocol))
    print((output / "report.md").read_text())
    print(f"Report, figure and models: {output}")


def read(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise typer.BadParameter(
            f"Expected the result of a run. Received: {path}, which is damaged: "
            f"{error}. Remove it, and the run is finished again from its checkpoint."
        ) from error


def in_a_new_process(function, *arguments):
    """So that peak memory is the model's own, and no run warms up the next."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(function, *arguments).result()


def train(name, seed, folder, data, features, epochs, batch_size, resume):
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(split="train", name=data["dataset"], **sizes(data))
    test_images, _ = kzoo.data.load(split="test", name=data["dataset"], **sizes(data))
    scores = Evaluate(
        test_images,
        every=max(1, epochs // 5),
        features=features,
        metrics=SAMPLE_METRICS,
        seed=seed,
    )
    stopwatch = Stopwatch()
    model = MODELS[name](images.shape[1:])
    model.compile()
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        verbose=2,
        callbacks=[
            stopwatch,
            scores,
            SampleGrid(folder / "samples"),
            Checkpoint(folder / "checkpoint.keras", resume, seed),
        ],
    )
    model.save(folder / "model.keras")
    result = {
        "history": history.history,
        "images": len(test_images),
        "parameters": model.count_params(),
        "training_seconds": float(np.median(history.history["seconds"]) * epochs),
        "peak_memory_mb": peak_memory(),
    }
    result |= scores.evaluator(model).scores()
    result |= timed_samples(model, test_images, seed) | likelihood(model, test_images)
    (folder / "result.json").write_text(json.dumps(result, indent=1))


class Stopwatch(keras.callbacks.Callback):
    """Adds the seconds of each epoch to the logs, without the callbacks after it."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.start


def timed_samples(model, test_images, seed):
    model.sample(1000, seed=seed)  # compiles
    start = time.perf_counter()
    samples = model.sample(1000, seed=seed)
    seconds = time.perf_counter() - start
    ratio = sharpness(samples) / sharpness(test_images[:1000] / 255)
    return {"seconds_per_1000": seconds, "sharpness": float(ratio)}


def sharpness(images):
    """Mean over images of the variance of their Laplacian: high for sharp edges."""
    laplacian = scipy.ndimage.laplace(images, axes=(1, 2))
    return laplacian.var(axis=(1, 2, 3)).mean()


def likelihood(model, test_images):
    """Of at most 1000 test images, grey pixels as probabilities."""
    if not hasattr(model, "log_likelihood"):
        return {}
    nats = -model.log_likelihood(test_images[:1000], samples=SAMPLES)
    return {"negative_log_likelihood": float(nats.mean())}


def peak_memory():
    """In MB, of this process. Linux's `ru_maxrss` would begin with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if "VmHWM" in x)
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def sizes(data):
    return {"image_size": data["image_size"], "limit": data["limit"]}


def summary(runs):
    """`{heading: "mean ± spread"}` over seeds, and a dash where there is no number."""
    cells = {}
    for key, (heading, form) in COLUMNS.items():
        values = measured(runs, key)
        cells[heading] = format(np.mean(values), form) if values else "-"
        if len(values) > 1 and key != "parameters":
            cells[heading] += f" ± {np.std(values, ddof=1):{form}}"
    return cells


def measured(runs, key):
    """The value of each seed; of times the shortest, which others disturbed least."""
    values = [run[key] for run in runs if key in run]
    return [min(values)] if "seconds" in key else values


def report(results, protocol):
    rows = [{"model": name, **summary(runs)} for name, runs in results.items()]
    lines = [
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(row.values()) + " |" for row in rows),
    ]
    claims = [
        "| claim | MLP VAE and GAN | convolutional VAE and GAN |",
        "|---|---|---|",
        *(
            f"| {claim} | {verdict(results, 'MLP VAE', 'MLP GAN', key, higher)} "
            f"| {verdict(results, 'conv VAE', 'DCGAN', key, higher)} |"
            for claim, key, higher in (
                ("a VAE trains faster", "training_seconds", "GAN"),
                ("a VAE is smaller", "parameters", "GAN"),
                ("a GAN is sharper", "sharpness", "GAN"),
                ("a GAN has the better FID", "frechet_distance", "VAE"),
                ("a VAE covers more (recall)", "recall", "VAE"),
                ("a VAE covers more (coverage)", "coverage", "VAE"),
            )
        ),
    ]
    return "\n".join([protocol, "", *lines, "", *claims, ""])


def verdict(results, vae, gan, key, higher):
    """Whether `key` is higher for the family `higher`, by more than the seeds vary."""
    form = COLUMNS[key][1]
    values = [measured(results[name], key) for name in (vae, gan)]
    low, high = values if higher == "GAN" else values[::-1]
    holds = "yes" if min(high) > max(low) else "no" if max(high) < min(low) else "open"
    pair = " and ".join(format(np.mean(v), form) for v in values)
    return f"{holds}: {pair}"


def draw(results, data, output):
    """Samples and a walk between two latents a model, and FID against images seen."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 9), layout="constrained")
    for name, axis in zip(results, axes[:, :2].flat, strict=True):
        folder = output / f"{name.replace(' ', '_')}_0"
        model = keras.saving.load_model(folder / "model.keras")
        ends = model.draw_latents(6, seed=1)
        steps = np.linspace(0, 1, 10)[:, None]
        walks = [walk(a, b, steps) for a, b in zip(ends[::2], ends[1::2], strict=True)]
        latents = np.concatenate([model.draw_latents(50, seed=0), *walks])
        picture = tile(np.clip(model.generate(latents), 0, 1), columns=10)
        axis.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(name)
        axis.axis("off")
    for key, axis in zip(("frechet_distance", "coverage"), axes[:, 2], strict=True):
        for name, runs in results.items():
            curve = np.mean([run["history"][key] for run in runs], axis=0)
            epochs = len(runs[0]["history"]["seconds"]) * np.arange(1, len(curve) + 1)
            axis.plot(epochs / len(curve), curve, marker="o", label=name)
        axis.set(xlabel="epoch", title=COLUMNS[key][0] + ", mean over seeds")
    axes[0, 2].set_yscale("log")
    axes[0, 2].legend()
    figure.suptitle("50 samples of seed 0, then three walks between two latents")
    figure.savefig(output / "figure.png", dpi=100)


def walk(start, end, steps):
    """Along the great circle, where normal latents lie (White, arXiv:1609.04468)."""
    angle = np.arccos(start @ end / np.linalg.norm(start) / np.linalg.norm(end))
    weights = np.sin((1 - steps) * angle), np.sin(steps * angle)
    return (weights[0] * start + weights[1] * end) / np.sin(angle)


if __name__ == "__main__":
    script(main)
