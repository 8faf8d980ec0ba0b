"""Networks of autoencoders: images to codes, and codes to parameters of images."""

import math

import keras
from keras import layers

from kzoo.layers import Conv2D, Conv2DTranspose, SharedScale
from kzoo.networks import halved, image_and_label, network, vector_and_label


def build_mlp_encoder(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    activation="relu",
    context_dim=0,
    concentrated=False,
):
    images = keras.Input(image_shape, name="images")
    label_inputs, x = vector_and_label(layers.Flatten()(images), num_classes)
    for width in widths:
        x = layers.Dense(width, activation=activation)(x)
    outputs = posterior_layers(x, latent_dim, context_dim, concentrated)
    return network([images, *label_inputs], outputs, "encoder")


def build_mlp_decoder(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    activation="relu",
    likelihood=None,
):
    shape = parameters_shape(image_shape, likelihood)
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    for width in reversed(widths):
        x = layers.Dense(width, activation=activation)(x)
    x = layers.Dense(math.prod(shape), dtype="float32")(x)
    outputs = with_scale(layers.Reshape(shape, dtype="float32")(x), likelihood)
    return network([latents, *label_inputs], outputs, "decoder")


def build_conv_encoder(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    activation="relu",
    context_dim=0,
    concentrated=False,
):
    halved(image_shape, len(widths), "conv")
    images = keras.Input(image_shape, name="images")
    label_inputs, x = image_and_label(images, num_classes)
    for width in widths:
        x = Conv2D(width, 3, 2, "same", activation=activation)(x)
    x = layers.Dense(max(16, 2 * latent_dim), activation=activation)(
        layers.Flatten()(x)
    )
    outputs = posterior_layers(x, latent_dim, context_dim, concentrated)
    return network([images, *label_inputs], outputs, "encoder")


def build_conv_decoder(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    activation="relu",
    likelihood=None,
):
    *_, channels = parameters_shape(image_shape, likelihood)
    height, width = halved(image_shape, len(widths), "conv")
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    x = layers.Dense(height * width * widths[-1], activation=activation)(x)
    x = layers.Reshape((height, width, widths[-1]))(x)
    for width in reversed(widths):
        x = Conv2DTranspose(width, 3, 2, "same", activation=activation)(x)
    x = Conv2DTranspose(channels, 3, padding="same", dtype="float32")(x)
    outputs = with_scale(x, likelihood)
    return network([latents, *label_inputs], outputs, "decoder")


def build_codes(image_shape, latent_dim, widths, num_classes=None, build=None):
    """An encoder as `build` makes it, of which only the means are kept: the codes."""
    encoder = build(image_shape, latent_dim, widths, num_classes)
    codes, _ = encoder.outputs
    return network(encoder.inputs, codes, "encoder")


def parameters_shape(image_shape, likelihood=None):
    """Of what a decoder computes: the parameters of the likelihood of each pixel."""
    height, width, channels = image_shape
    if likelihood is not None and not learned_scale(likelihood):
        channels = likelihood.parameters(channels)
    return height, width, channels


def learned_scale(likelihood):
    return getattr(likelihood, "scale", None) == "learned"


def with_scale(outputs, likelihood):
    """The outputs, with the one scale of all pixels if the likelihood learns it."""
    return (
        SharedScale(dtype="float32")(outputs) if learned_scale(likelihood) else outputs
    )


def posterior_layers(features, latent_dim, context_dim=0, concentrated=False):
    """The outputs of an encoder: mean and log variance, each `(batch, latent_dim)`.

    With a `context_dim`, also what a flow of the posterior sees of the image. If
    `concentrated`, one concentration takes the place of the log variances.

    Every posterior starts with a standard deviation of exp(-1), or with a
    concentration that grows with the dimension. From Keras's own initial weights the
    noise hides the latents at first, and some die: of the two of the convolutional VAE
    on MNIST, one did in three seeds of four.
    """
    mean = layers.Dense(latent_dim, name="mean", dtype="float32")
    start = float(latent_dim) if concentrated else -2.0
    spread = layers.Dense(
        1 if concentrated else latent_dim,
        name="concentration" if concentrated else "log_var",
        dtype="float32",
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(start),
    )
    outputs = [mean(features), spread(features)]
    if context_dim:
        context = layers.Dense(context_dim, name="context", dtype="float32")
        outputs.append(context(features))
    return outputs


ARCHITECTURES = {
    "conv": (build_conv_encoder, build_conv_decoder, (32, 64)),
    "mlp": (build_mlp_encoder, build_mlp_decoder, (400,)),
}
