"""GAN's fully connected networks (Goodfellow et al., arXiv:1406.2661)."""

import math

import keras
from keras import layers

from kzoo.layers import BatchNormalization, Dropout
from kzoo.networks import network, normalized, vector_and_label


def mlp_widths(image_shape):
    return 128, 256, 512


def build_mlp_generator(image_shape, latent_dim, widths, num_classes=None):
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    for width in widths:
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
    x = layers.Dense(math.prod(image_shape), activation="sigmoid", dtype="float32")(x)
    images = layers.Reshape(image_shape, dtype="float32")(x)
    return network([latents, *label_inputs], images, "generator")


def build_mlp_discriminator(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    dropout=0.0,
    normalization=None,
):
    """Images in [0, 1] to a logit.

    Args:
        dropout: share of the hidden units that a training step leaves out.
        normalization: `"batch"` or `"layer"`, of what every hidden layer puts out;
            `"spectral"`, of the kernel of every layer; or None.
    """
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten()(layers.Rescaling(2.0, -1.0)(images))
    label_inputs, x = vector_and_label(x, num_classes)
    for width in reversed(widths):
        x = normalized(layers.Dense(width), normalization)(x)
        x = layers.LeakyReLU(0.2)(normalize(x, normalization))
        x = Dropout(dropout)(x) if dropout else x
    logits = normalized(layers.Dense(1, dtype="float32"), normalization)(x)
    return network([images, *label_inputs], logits, "discriminator")


def normalize(x, normalization):
    """Features `(batch, n)` with mean 0 and variance 1 by batch or by layer."""
    kind = {"batch": BatchNormalization, "layer": layers.LayerNormalization}
    return kind[normalization]()(x) if normalization in kind else x
