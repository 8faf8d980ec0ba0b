"""The models of the IWAE paper on MNIST: NLL by importance sampling.

Burda et al., arXiv:1509.00519, Table 1, on a shorter schedule: i from 0 to 4 instead of
7. One layer of latents is 784-200-200-50 of tanh units, two are 784-200-200-100 and
100-100-100-50; pixels binarised anew in each step, batches of 20, Adam with epsilon
1e-4 and a learning rate of 1e-3 * 10^(-i/7) for 3^i epochs, output bias at the logits
of the mean training image. `--model HVAE` is the ladder of arXiv:1602.02282 on the same
schedule, its KL divergence warmed up over a tenth of it.

python benchmarks/likelihood.py --output runs/likelihood
python benchmarks/likelihood.py --model "two layers" --samples-in-training 5
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
import typer

import kzoo
from kzoo.callbacks import Checkpoint
from kzoo.networks import MLPEncoderDecoder
from kzoo.parts import Bernoulli

MODELS = ("VAE", "IWAE", "two layers", "HVAE")


def main(
    model: str = "VAE",
    samples_in_training: int = 1,
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

    model = build(model, images.shape[1:], samples_in_training, steps * sum(epochs))
    set_output_bias(model, images)
    rates = [1e-3 * 10 ** (-i / 7) for i in range(stages)]
    ends = [int(end) * steps for end in np.cumsum(epochs)[:-1]]
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(ends, rates)
    rate = rate if ends else rates[0]
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


def build(name, image_shape, samples, steps):
    """The model of that name, with its bound of so many samples."""
    if name not in MODELS or (name == "VAE" and samples != 1):
        raise typer.BadParameter(
            f"Expected one of {', '.join(map(repr, MODELS))}, and for 'VAE' one sample "
            f"in training. Received: {name!r}, {samples}."
        )
    binarised = Bernoulli(binarize=True)
    match name:
        case "VAE":
            networks = MLPEncoderDecoder((200, 200), activation="tanh")
            return kzoo.models.VAE(image_shape, 50, networks, binarised)
        case "IWAE":
            return kzoo.models.IWAE(image_shape, samples=samples)
        case "two layers":
            return kzoo.models.HVAE(image_shape, "chain", binarised, samples)
    return kzoo.models.HVAE(
        image_shape, "ladder", binarised, samples, warmup_steps=steps // 10
    )


def set_output_bias(model, images):
    """The decoder starts with the logits of the mean image as its output."""
    mean = np.clip(images.mean(axis=0) / 255, 1e-3, 1 - 1e-3)
    network = getattr(model.decoder, "to_pixels", model.decoder)
    dense = [x for x in network.layers if isinstance(x, keras.layers.Dense)][-1]
    dense.bias.assign(np.log(mean / (1 - mean)).reshape(-1))


if __name__ == "__main__":
    typer.run(main)
