"""GAN's fully connected networks (Goodfellow et al., arXiv:1406.2661)."""

import math

import keras
from keras import layers

from kzoo.networks import network, vector_and_label


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
    image_shape, latent_dim, widths, num_classes=None, dropout=0.0
):
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten()(layers.Rescaling(2.0, -1.0)(images))
    label_inputs, x = vector_and_label(x, num_classes)
    for width in reversed(widths):
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
        x = layers.Dropout(dropout)(x) if dropout else x
    logits = layers.Dense(1, dtype="float32")(x)
    return network([images, *label_inputs], logits, "discriminator")
