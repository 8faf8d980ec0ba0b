"""The conditional GAN's networks (Mirza and Osindero, arXiv:1411.1784, section 4.1).

In the paper's MLP the label has hidden units of its own, which join those of the
latents or pixels: beside hundreds of pixels a one-hot label alone is soon overlooked.
"""

import math

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import Dropout
from kzoo.networks.blocks import (
    NORMALIZATIONS,
    Flatten,
    GANNetworks,
    network,
    normalized,
    the_label,
)
from kzoo.networks.mlp import normalize


@keras.saving.register_keras_serializable("kzoo")
class CGANNetworks(GANNetworks):
    """Dense layers in the generator, maxout layers in the discriminator.

    Args:
        widths: of the layers from latents to images. None means the paper's
            `(1200, 1200)`: in the generator 200 units for the latents and 1000 for the
            label, then 1200; in the discriminator 240 maxout units for the image and 50
            for the label, then 240.
        dropout: share of the discriminator's hidden units that a step leaves out.
        normalization: of the discriminator: `"batch"`, `"layer"`, `"spectral"` or None.
    """

    def __init__(self, widths=None, dropout=0.5, normalization=None):
        super().__init__(widths)
        self.dropout = checks.number("dropout", dropout, least=0, below=1)
        self.normalization = checks.one_of(
            "normalization", normalization, NORMALIZATIONS
        )

    def default_widths(self, image_shape):
        return 1200, 1200

    def generator(self, image_shape, latent_dim, num_classes=None):
        """A sixth of the first layer's units see the latents, the others the label."""
        first, *others = self.widths_for(image_shape)
        latents = keras.Input((latent_dim,), name="latents")
        labels, one_hot = label_and_one_hot(num_classes)
        latent_units = math.ceil(first / 6)
        x = layers.Dense(latent_units)(latents)
        y = layers.Dense(first - latent_units)(one_hot)
        x = layers.LeakyReLU(0.2)(layers.Concatenate()([x, y]))
        for width in others:
            x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
        x = layers.Dense(math.prod(image_shape), activation="sigmoid", dtype="float32")(
            x
        )
        images = layers.Reshape(image_shape, dtype="float32")(x)
        return network([latents, labels], images, "generator")

    def discriminator(self, image_shape, num_classes=None):
        """Maxout layers, the first for the image and a smaller one for the label."""
        *others, last = self.widths_for(image_shape)
        dropout, normalization = self.dropout, self.normalization
        images = keras.Input(image_shape, name="images")
        labels, one_hot = label_and_one_hot(num_classes)
        x = Flatten()(layers.Rescaling(2.0, -1.0)(images))
        x = maxout(x, math.ceil(last / 5), 5, normalization)
        y = maxout(one_hot, math.ceil(last / 24), 5, normalization)
        x = Dropout(dropout)(layers.Concatenate()([x, y]))
        for width in reversed(others):
            x = maxout(x, math.ceil(width / 5), 4, normalization)
            x = Dropout(dropout)(x)
        logits = normalized(layers.Dense(1, dtype="float32"), normalization)(x)
        return network([images, labels], logits, "discriminator")


def label_and_one_hot(num_classes):
    labels = the_label(num_classes, "CGANNetworks")
    return labels, ops.one_hot(labels, num_classes)


def maxout(x, units, pieces, normalization):
    """Each unit is the largest of `pieces` linear ones: arXiv:1302.4389."""
    x = normalized(layers.Dense(units * pieces), normalization)(x)
    x = normalize(x, normalization)
    return ops.max(layers.Reshape((units, pieces))(x), axis=-1)
