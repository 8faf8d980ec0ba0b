"""Encoders of images into a grid of vectors, and decoders: for `VQVAE`."""

import keras
from keras import layers

from kzoo.layers import Conv2D, Conv2DTranspose
from kzoo.networks import image_and_label, network


def build_conv_encoder(image_shape, grid_shape, widths, num_classes=None):
    images = keras.Input(image_shape, name="images")
    label_inputs, x = image_and_label(images, num_classes)
    for width in widths:
        x = Conv2D(width, 3, 2, "same", activation="relu")(x)
    vectors = Conv2D(grid_shape[-1], 1, dtype="float32")(x)
    return network([images, *label_inputs], vectors, "encoder")


def build_conv_decoder(image_shape, grid_shape, widths, num_classes=None):
    vectors = keras.Input(grid_shape, name="vectors")
    label_inputs, x = image_and_label(vectors, num_classes)
    for width in reversed(widths):
        x = Conv2DTranspose(width, 3, 2, "same", activation="relu")(x)
    outputs = Conv2DTranspose(image_shape[-1], 3, padding="same", dtype="float32")(x)
    return network([vectors, *label_inputs], outputs, "decoder")


def build_residual_encoder(image_shape, grid_shape, widths, num_classes=None):
    """Section 4.1: strided convolutions of 4x4, then two residual blocks."""
    images = keras.Input(image_shape, name="images")
    label_inputs, x = image_and_label(images, num_classes)
    for width in widths:
        x = Conv2D(width, 4, 2, "same", activation="relu")(x)
    x = residual_blocks(x)
    vectors = Conv2D(grid_shape[-1], 1, dtype="float32")(x)
    return network([images, *label_inputs], vectors, "encoder")


def build_residual_decoder(image_shape, grid_shape, widths, num_classes=None):
    """Two residual blocks, then transposed convolutions of 4x4."""
    vectors = keras.Input(grid_shape, name="vectors")
    label_inputs, x = image_and_label(vectors, num_classes)
    x = residual_blocks(Conv2D(widths[-1], 3, padding="same")(x))
    for width in reversed(widths[:-1]):
        x = Conv2DTranspose(width, 4, 2, "same", activation="relu")(x)
    outputs = Conv2DTranspose(image_shape[-1], 4, 2, "same", dtype="float32")(x)
    return network([vectors, *label_inputs], outputs, "decoder")


def residual_blocks(x, blocks=2):
    """ReLU, 3x3 convolution, ReLU, 1x1 convolution, added to the input; then ReLU."""
    width = x.shape[-1]
    for _ in range(blocks):
        new = Conv2D(width, 3, padding="same", activation="relu")(layers.ReLU()(x))
        x = x + Conv2D(width, 1)(new)
    return layers.ReLU()(x)


ARCHITECTURES = {
    "conv": (build_conv_encoder, build_conv_decoder, (32, 64)),
    "residual": (build_residual_encoder, build_residual_decoder, (256, 256)),
}
