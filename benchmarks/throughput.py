"""kzoo under `model.fit` against the same model by hand, in the same process.

A round is an epoch of each, one after the other; reported are the medians over rounds
and the median of the rounds' ratios (below 1: kzoo is faster). What is compiled and
warmed up before is not counted, shuffling, callbacks and logs are. Run it with nothing
else running, and compare ratios: times are this machine's.

KERAS_BACKEND=jax python benchmarks/throughput.py --dataset mnist
"""

import importlib
import json
import math
import resource
import statistics
import sys
import time
from pathlib import Path

import keras
import numpy as np
import typer

import kzoo

BACKEND = keras.backend.backend()
MODELS = {  # name: (model, batch size)
    "MLP VAE": (lambda: kzoo.models.VAE((28, 28, 1), 20), 128),
    "conv VAE": (lambda: kzoo.models.VAE((28, 28, 1), 20, "conv"), 128),
    "DCGAN": (lambda: kzoo.models.DCGAN((28, 28, 1)), 64),
}


def main(
    dataset: str = "digits",
    models: str = ",".join(MODELS),
    steps: int = 50,
    rounds: int = 7,
    jit_compile: bool | None = None,
    steps_per_execution: int = 1,
    by_hand_compiled: bool | None = None,
    output: Path = Path("saved_models/throughput"),
):
    start = time.perf_counter()
    images, _ = kzoo.data.load(dataset, image_size=28)
    if images.shape[1:] != (28, 28, 1):
        raise SystemExit(f"Expected grey images. Received: {images.shape[1:]}.")
    result = {"backend": BACKEND, "kzoo": kzoo.__version__, "keras": keras.__version__}
    result["load_seconds"] = time.perf_counter() - start
    options = {"steps_per_execution": steps_per_execution}
    if jit_compile is not None:
        options["jit_compile"] = jit_compile
    by_hand = {} if by_hand_compiled is None else {"compiled": by_hand_compiled}
    result |= {"steps": steps, "rounds": rounds, "compile": options, "models": {}}
    result["by_hand"] = by_hand
    for name in models.split(","):
        result["models"][name] = compare(name, images, steps, rounds, options, by_hand)
        print(BACKEND, name, rounded(result["models"][name]), flush=True)
    # ru_maxrss is in KiB, on macOS in bytes
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_memory_mb"] = peak * unit / 1e6
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{BACKEND}.json"
    path.write_text(json.dumps(result, indent=1))
    print(f"Written: {path}")


def compare(name, images, steps, rounds, options, by_hand):
    """Milliseconds a step by kzoo and by hand, their ratio, and samples a second."""
    make, batch_size = MODELS[name]
    images = images[np.arange(steps * batch_size) % len(images)]
    train, weights = load_by_hand().trainer(name, batch_size, **by_hand)
    model = make()
    model.compile(**options)
    trained = sum(math.prod(v.shape) for v in model.trainable_variables)
    if trained != weights:
        raise SystemExit(f"{name}: {trained} weights, by hand {weights}.")
    rival = Rival(lambda: train(images))
    model.fit(
        images, batch_size=batch_size, epochs=rounds + 1, verbose=0, callbacks=[rival]
    )
    ours, theirs = rival.ours[1:], rival.theirs[1:]  # the first ones compile
    ratios = [ours / theirs for ours, theirs in zip(ours, theirs, strict=True)]
    model.sample(1024, seed=0)
    start = time.perf_counter()
    model.sample(1024, seed=0)
    return {
        "kzoo_ms": 1e3 * statistics.median(ours) / steps,
        "by_hand_ms": 1e3 * statistics.median(theirs) / steps,
        "ratio": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
        "first_epoch_seconds": rival.ours[0],
        "samples_a_second": 1024 / (time.perf_counter() - start),
        "weights": weights,
    }


class Rival(keras.callbacks.Callback):
    """Times each epoch of `fit`, and after it an epoch of the rival."""

    def __init__(self, train):
        super().__init__()
        self.train, self.ours, self.theirs = train, [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        middle = time.perf_counter()
        self.train()
        self.ours.append(middle - self.start)
        self.theirs.append(time.perf_counter() - middle)


def load_by_hand():
    sys.path.insert(0, str(Path(__file__).parent / "by_hand"))
    return importlib.import_module(f"on_{BACKEND}")


def rounded(row):
    row = {**row, "ratios": "{:.2f} to {:.2f}".format(*row["ratios"])}
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    typer.run(main)
