"""The one-layer VAE of the IWAE paper on MNIST: NLL by importance sampling.

Burda et al., arXiv:1509.00519, Table 1, first row and k = 1, on a shorter schedule: i
from 0 to 4 instead of 7. Networks 784-200-200-50 of tanh units, pixels binarised anew
in each step, batches of 20, Adam with epsilon 1e-4 and a learning rate of 1e-3 *
10^(-i/7) for 3^i epochs, output bias at the logits of the mean training image.

python benchmarks/likelihood.py --output runs/likelihood
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
import typer

import kzoo
from kzoo.callbacks import Checkpoint


def main(
    dataset: str = "mnist",
    stages: int = 5,
    batch_size: int = 20,
    samples: int = 5000,
    limit: int | None = None,
    output: Path = Path("saved_models/likelihood"),
    resume: bool = False,
    seed: int = 0,
):
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, "train", limit=limit)
    test_images, _ = kzoo.data.load(dataset, "test", limit=limit)
    steps = len(images) // batch_size
    epochs = [3**i for i in range(stages)]

    model = kzoo.models.VAE(
        images.shape[1:], 50, widths=(200, 200), activation="tanh", binarize=True
    )
    set_output_bias(model, images)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [int(end) * steps for end in np.cumsum(epochs)[:-1]],
        [1e-3 * 10 ** (-i / 7) for i in range(stages)],
    )
    fused = 1 if keras.backend.backend() == "torch" else 25  # Keras's torch allows 1
    model.compile(keras.optimizers.Adam(rate, epsilon=1e-4), steps_per_execution=fused)
    start = time.perf_counter()
    model.fit(
        images[: steps * batch_size],
        batch_size=batch_size,
        epochs=sum(epochs),
        verbose=2,
        callbacks=[Checkpoint(output / "checkpoint.keras", resume, seed)],
    )
    trained = time.perf_counter()
    model.save(output / "model.keras")
    report = kzoo.metrics.evaluate(
        model,
        test_images,
        metrics=["elbo", "log_likelihood"],
        likelihood_samples=samples,
        dataset=dataset,
        split="test",
        path=output / "report.json",
    )
    print(report)
    times = {"train": trained - start, "score": time.perf_counter() - trained}
    (output / "seconds.json").write_text(json.dumps(times))
    print(f"Training took {times['train']:.0f} s, scoring {times['score']:.0f} s.")


def set_output_bias(model, images):
    """The decoder starts with the logits of the mean image as its output."""
    mean = np.clip(images.mean(axis=0) / 255, 1e-3, 1 - 1e-3)
    dense = [x for x in model.decoder.layers if isinstance(x, keras.layers.Dense)][-1]
    dense.bias.assign(np.log(mean / (1 - mean)).reshape(-1))


if __name__ == "__main__":
    typer.run(main)
