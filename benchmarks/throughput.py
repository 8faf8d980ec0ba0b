"""kzoo under `model.fit` against the same model by hand, in the same process.

A round is an epoch of each, the one first and then the other in turn; reported are the
medians over rounds and the median of the rounds' ratios (below 1: kzoo is faster). What
is compiled and warmed up before is not counted, shuffling, callbacks and logs are. Run
it with nothing else running, and compare ratios: times are this machine's.

KERAS_BACKEND=jax python benchmarks/throughput.py --dataset mnist

With `--limits N` it also measures what the device can do, the largest rates of a
product of N x N matrices and of a copy in memory, and sets a step beside its floor: no
step is shorter than its multiplications at the one rate, nor than reading each weight,
its gradient and Adam's two moments and writing all but the gradient at the other.
`gpu.sh` measures so.
"""

import functools
import importlib
import json
import math
import resource
import statistics
import subprocess
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
    "WGANGP": (lambda: kzoo.models.WGANGP((28, 28, 1)), 64),
    "SNGAN": (lambda: kzoo.models.SNGAN((32, 32, 1)), 64),
    "Pythae's VAE": (lambda: kzoo.models.VAE((28, 28, 1), 16, widths=(512,)), 128),
}
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def main(
    dataset: str = "digits",
    models: str = "MLP VAE,conv VAE,DCGAN,WGANGP,SNGAN",
    steps: int = 50,
    rounds: int = 7,
    jit_compile: bool | None = None,
    steps_per_execution: int = 1,
    rival: str = f"on_{BACKEND}",
    rival_compiled: bool | None = None,
    precision: str = "float32",
    limits: int = 0,
    start_up: bool = False,
    output: Path = Path("saved_models/throughput"),
):
    start = time.perf_counter()
    kzoo.data.load(dataset)
    result = {"backend": BACKEND, "kzoo": kzoo.__version__, "keras": keras.__version__}
    result["load_seconds"] = time.perf_counter() - start
    options = {"steps_per_execution": steps_per_execution}
    if jit_compile is not None:
        options["jit_compile"] = jit_compile
    rival_options = {} if rival_compiled is None else {"compiled": rival_compiled}
    if precision != "float32":
        if precision not in POLICIES or rival not in ("on_jax", "on_torch"):
            raise typer.BadParameter(
                "Expected --precision float32, or bfloat16 on JAX or PyTorch against "
                f"the loop by hand. Received: {precision} and {rival}."
            )
        rival_options["precision"] = precision
    result |= {"steps": steps, "rounds": rounds, "compile": options, "models": {}}
    result |= {"rival": rival, "rival_options": rival_options}
    result["limits"] = device_limits(precision, limits) if limits else {}
    trainer = functools.partial(load(rival).trainer, **rival_options)
    for name in models.split(","):
        with kzoo.networks.precision(POLICIES[precision]):
            model = MODELS[name][0]()
        model.compile(**options)
        row = compare(name, model, dataset, trainer, steps, rounds, result["limits"])
        if start_up:
            row["start_up_seconds"] = start_up_seconds(name)
        result["models"][name] = row
        print(BACKEND, name, rounded(result["models"][name]), flush=True)
    # ru_maxrss is in KiB, on macOS in bytes
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result["peak_memory_mb"] = peak * unit / 1e6
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{BACKEND}.json"
    path.write_text(json.dumps(result, indent=1))
    print(f"Written: {path}")


def compare(name, model, dataset, trainer, steps, rounds, limits):
    """Milliseconds a step by kzoo and by hand, their ratio, and samples a second."""
    _, batch_size = MODELS[name]
    images, _ = kzoo.data.load(dataset, image_size=model.image_shape[0])
    if images.shape[1:] != model.image_shape:
        raise SystemExit(f"Expected grey images. Received: {images.shape[1:]}.")
    images = images[np.arange(steps * batch_size) % len(images)]
    train, weights, *flops = trainer(name, batch_size)
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
    row = {
        "kzoo_ms": 1e3 * statistics.median(ours) / steps,
        "by_hand_ms": 1e3 * statistics.median(theirs) / steps,
        "ratio": statistics.median(ratios),
        "ratios": [min(ratios), max(ratios)],
        "images_a_second": steps * batch_size / statistics.median(ours),
        "first_epoch_seconds": rival.ours[0],
        "samples_a_second": 1024 / (time.perf_counter() - start),
        "weights": weights,
    }
    if limits and flops:
        row |= floor(flops[0](images[:batch_size]), weights, limits)
        row["of_floor"] = row["floor_ms"] / row["kzoo_ms"]
    return row


def floor(flops, weights, limits):
    """The least milliseconds of a step with so many operations and float32 weights."""
    compute = flops / limits["flops_a_second"]
    traffic = 7 * 4 * weights / limits["bytes_a_second"]
    return {"flops": flops, "floor_ms": 1e3 * max(compute, traffic)}


def device_limits(precision, size):
    """The largest rates of a product of square matrices and of a copy, of 10 tries."""
    x = keras.random.normal((size, size), dtype=precision)
    copied = keras.random.normal((4 * size, size))
    product, copy = (
        kzoo.backend.inference(fn, []) for fn in (lambda x: x @ x, lambda x: x + 1)
    )
    return {
        "flops_a_second": 2 * size**3 / fastest(product, x),
        "bytes_a_second": 2 * 4 * 4 * size**2 / fastest(copy, copied),
    }


def fastest(function, x):
    def seconds():
        start = time.perf_counter()
        y = function(x)
        keras.ops.convert_to_numpy(y[0, 0])  # waits for the device
        return time.perf_counter() - start

    return min(seconds() for _ in range(11))


class Rival(keras.callbacks.Callback):
    """Times each epoch of `fit` and, before or after it, an epoch of the rival."""

    def __init__(self, train):
        super().__init__()
        self.train, self.ours, self.theirs = train, [], []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % 2:
            self.take_turn()
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.ours.append(time.perf_counter() - self.start)
        if not epoch % 2:
            self.take_turn()

    def take_turn(self):
        start = time.perf_counter()
        self.train()
        self.theirs.append(time.perf_counter() - start)


def start_up_seconds(name):
    """Seconds of a fresh process that builds the model and takes one step."""
    code = f"import throughput; throughput.first_step({name!r})"
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
    return time.perf_counter() - start


def first_step(name):
    make, batch_size = MODELS[name]
    model = make()
    model.compile()
    images = np.zeros((batch_size, *model.image_shape), "uint8")
    model.fit(images, batch_size=batch_size, verbose=0)


def load(rival):
    sys.path.insert(0, str(Path(__file__).parent / "by_hand"))
    return importlib.import_module(rival)


def rounded(row):
    row = {**row, "ratios": "{:.2f} to {:.2f}".format(*row["ratios"])}
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}


if __name__ == "__main__":
    typer.run(main)
