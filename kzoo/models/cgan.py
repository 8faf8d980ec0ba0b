"""Conditional GAN: Mirza and Osindero, arXiv:1411.1784.

Both networks are given the label, the generator so that it draws that class, the
discriminator so that it tells whether the image is a real one of that class. In the
paper's MLP the label has hidden units of its own, which join those of the latents or
pixels: beside hundreds of pixels a one-hot label alone is soon overlooked. Differs
from the paper: normal latents, leaky ReLU instead of ReLU in the generator, dropout in
the discriminator alone, and Adam instead of momentum.
"""

import math

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import Dropout
from kzoo.models.gan import GAN
from kzoo.networks import network, normalized
from kzoo.networks.architectures import ARCHITECTURES
from kzoo.networks.mlp import normalize


def build_cgan_generator(image_shape, latent_dim, widths, num_classes):
    """A sixth of the first layer's units see the latents, the others the label."""
    first, *others = widths
    latents = keras.Input((latent_dim,), name="latents")
    labels, one_hot = label_input(num_classes)
    latent_units = math.ceil(first / 6)
    x = layers.Dense(latent_units)(latents)
    y = layers.Dense(first - latent_units)(one_hot)
    x = layers.LeakyReLU(0.2)(layers.Concatenate()([x, y]))
    for width in others:
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
    x = layers.Dense(math.prod(image_shape), activation="sigmoid", dtype="float32")(x)
    images = layers.Reshape(image_shape, dtype="float32")(x)
    return network([latents, labels], images, "generator")


def build_cgan_discriminator(
    image_shape, latent_dim, widths, num_classes, dropout=0.0, normalization=None
):
    """Maxout layers, the first for the image and beside it a smaller for the label."""
    *others, last = widths
    images = keras.Input(image_shape, name="images")
    labels, one_hot = label_input(num_classes)
    x = layers.Flatten()(layers.Rescaling(2.0, -1.0)(images))
    x = maxout(x, math.ceil(last / 5), 5, normalization)
    y = maxout(one_hot, math.ceil(last / 24), 5, normalization)
    x = Dropout(dropout)(layers.Concatenate()([x, y]))
    for width in reversed(others):
        x = maxout(x, math.ceil(width / 5), 4, normalization)
        x = Dropout(dropout)(x)
    logits = normalized(layers.Dense(1, dtype="float32"), normalization)(x)
    return network([images, labels], logits, "discriminator")


def label_input(num_classes):
    labels = keras.Input((), dtype="int32", name="labels")
    return labels, ops.one_hot(labels, num_classes)


def maxout(x, units, pieces, normalization):
    """Each unit is the largest of `pieces` linear ones: arXiv:1302.4389."""
    x = normalized(layers.Dense(units * pieces), normalization)(x)
    x = normalize(x, normalization)
    return ops.max(layers.Reshape((units, pieces))(x), axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class CGAN(GAN):
    """Conditional GAN (arXiv:1411.1784): draws images of the class that is asked for.

    Logs `discriminator_loss` and `generator_loss`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks: `"mlp"`, the paper's, or one of `GAN`'s others.
        dropout: share of the `"mlp"` discriminator's hidden units that a step leaves
            out. None means 0.5 for `"mlp"`.
        widths: as in `GAN`. For `"mlp"` the default is `(1200, 1200)`, the paper's:
            in the generator 200 units for the latents and 1000 for the label, then
            1200; in the discriminator 240 maxout units for the image and 50 for the
            label, then 240.
        num_classes: number of labels.
        **kwargs: any other argument of `GAN`.

    Raises:
        ValueError: without `num_classes`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.CGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, epochs=20)
    >>> threes = model.sample(16, labels=3)
    """

    architectures = ARCHITECTURES | {
        "mlp": (build_cgan_generator, build_cgan_discriminator, lambda _: (1200, 1200))
    }

    def __init__(
        self,
        image_shape,
        latent_dim=100,
        architecture="mlp",
        dropout=None,
        num_classes=None,
        **kwargs,
    ):
        checks.has_classes(type(self).__name__, num_classes)
        if dropout is None and architecture == "mlp":
            dropout = 0.5
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            dropout=dropout,
            num_classes=num_classes,
            **kwargs,
        )
