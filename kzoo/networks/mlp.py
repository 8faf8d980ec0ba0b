"""GAN's fully connected networks (Goodfellow et al., arXiv:1406.2661)."""

import math

import keras
from keras import layers

from kzoo import checks
from kzoo.layers import BatchNormalization, Dropout
from kzoo.networks.blocks import (
    NORMALIZATIONS,
    Flatten,
    GANNetworks,
    network,
    normalized,
    vector_and_label,
)


@keras.saving.register_keras_serializable("kzoo")
class MLPNetworks(GANNetworks):
    """Dense layers with leaky ReLU.

    Args:
        widths: of the layers from latents to images. None means `(128, 256, 512)`.
        dropout: share of the discriminator's hidden units that a step leaves out.
        normalization: of the discriminator: `"batch"` or `"layer"`, of what every
            hidden layer puts out; `"spectral"`, of the kernel of every layer; or None.
    """

    def __init__(self, widths=None, dropout=0.3, normalization=None):
        super().__init__(widths)
        self.dropout = checks.number("dropout", dropout, least=0, below=1)
        self.normalization = checks.one_of(
            "normalization", normalization, NORMALIZATIONS
        )

    def default_widths(self, image_shape):
        return 128, 256, 512

    def generator(self, image_shape, latent_dim, num_classes=None):
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes)
        for width in self.widths_for(image_shape):
            x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
        last = layers.Dense(math.prod(image_shape), "sigmoid", dtype="float32")
        images = layers.Reshape(image_shape, dtype="float32")(last(x))
        return network([latents, *label_inputs], images, "generator")

    def discriminator(self, image_shape, num_classes=None):
        normalization = self.normalization
        images = keras.Input(image_shape, name="images")
        x = Flatten()(layers.Rescaling(2.0, -1.0)(images))
        label_inputs, x = vector_and_label(x, num_classes)
        for width in reversed(self.widths_for(image_shape)):
            x = normalized(layers.Dense(width), normalization)(x)
            x = layers.LeakyReLU(0.2)(normalize(x, normalization))
            x = Dropout(self.dropout)(x) if self.dropout else x
        logits = normalized(layers.Dense(1, dtype="float32"), normalization)(x)
        return network([images, *label_inputs], logits, "discriminator")


def normalize(x, normalization):
    """Features `(batch, n)` with mean 0 and variance 1 by batch or by layer."""
    kind = {"batch": BatchNormalization, "layer": layers.LayerNormalization}
    return kind[normalization]()(x) if normalization in kind else x
