"""WGAN-GP on Fashion-MNIST by the networks and settings of keras.io's example.

keras.io/examples/generative/wgan_gp: batches of 512, three steps of the critic for one
of the generator, Adam 2e-4 (0.5, 0.9), a penalty of weight 10, 128 latents. It prints
a loss of the critic of -7.66 in its 1st epoch, -3.80 in the 10th and -2.51 in the 20th,
where the generator's is 8.67. There, images are in [-1, 1] and the slope is measured by
them. Here they are in [0, 1] and slopes twice as large, so that the critic's score is
halved, and the penalty's weight with it: the losses are half of the example's, which
Adam does not see but for its epsilon, and are doubled before they are shown. The
example mixes real and fake images by a normal number, the paper and kzoo by a uniform
one.

python benchmarks/wgan_gp.py --output runs/wgan_gp
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
import typer
from keras import layers

import kzoo
from kzoo.callbacks import Checkpoint, SampleGrid
from kzoo.parts import GradientPenalty

LATENTS = 128
WIDTH = 64  # of the critic's first maps and the generator's last


def main(
    dataset: str = "fashion_mnist",
    epochs: int = 20,
    batch_size: int = 512,
    limit: int | None = None,
    output: Path = Path("saved_models/wgan_gp"),
    resume: bool = False,
    seed: int = 0,
):
    keras.utils.set_random_seed(seed)
    images, _ = kzoo.data.load(dataset, image_size=28, limit=limit)
    model = kzoo.models.WGANGP(
        images.shape[1:],
        LATENTS,
        discriminator_steps=3,
        penalty=GradientPenalty(5.0),
        generator=generator(images.shape[-1]),
        discriminator=critic(images.shape[1:]),
    )
    optimizers = {
        name: keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.9)
        for name in ("discriminator", "generator")
    }
    model.compile(optimizers)
    start = time.perf_counter()
    history = model.fit(
        images,
        batch_size=batch_size,
        epochs=epochs,
        verbose=2,
        callbacks=[
            SampleGrid(output / "samples"),
            Checkpoint(output / "checkpoint.keras", resume, seed),
        ],
    ).history
    figures = {
        "d_loss": list(2 * np.array(history["discriminator_loss"])),
        "g_loss": list(2 * np.array(history["generator_loss"])),
        "gradient_penalty": history["gradient_penalty"],
        "seconds": time.perf_counter() - start,
        "backend": keras.backend.backend(),
        "kzoo": kzoo.__version__,
    }
    (output / "losses.json").write_text(json.dumps(figures, indent=1))
    print({name: np.round(x, 3) for name, x in figures.items() if "_" in name})
    model.save(output / "model.keras")


def generator(channels):
    """Latents to images in [0, 1]: 4x4 maps, enlarged three times, 32x32 cut to 28."""
    latents = keras.Input((LATENTS,))
    x = activated(layers.Dense(4 * 4 * 4 * WIDTH, use_bias=False)(latents))
    x = layers.Reshape((4, 4, 4 * WIDTH))(x)
    for width in (2 * WIDTH, WIDTH):
        x = activated(enlarged(x, width))
    x = layers.BatchNormalization()(enlarged(x, channels))
    x = layers.Cropping2D(2)(layers.Activation("tanh")(x))
    return keras.Model(latents, layers.Rescaling(0.5, 0.5)(x), name="generator")


def enlarged(x, width):
    x = layers.UpSampling2D()(x)
    return layers.Conv2D(width, 3, padding="same", use_bias=False)(x)


def activated(x):
    return layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))


def critic(image_shape):
    """Images in [0, 1] to half a score: four 5x5 convolutions, each to half the size"""
    images = keras.Input(image_shape)
    x = layers.ZeroPadding2D(2)(layers.Rescaling(2.0, -1.0)(images))
    for times, dropout in ((1, 0.0), (2, 0.3), (4, 0.3), (8, 0.0)):
        x = layers.Conv2D(times * WIDTH, 5, 2, padding="same")(x)
        x = layers.Dropout(dropout)(layers.LeakyReLU(0.2)(x))
    score = layers.Dense(1)(layers.Dropout(0.2)(layers.Flatten()(x)))
    return keras.Model(images, layers.Rescaling(0.5)(score), name="discriminator")


if __name__ == "__main__":
    typer.run(main)
