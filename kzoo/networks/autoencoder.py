"""Networks of autoencoders: images to codes, and codes to parameters of images."""

import math

import keras
from keras import layers

from kzoo.config import Part
from kzoo.layers import Conv2D, Conv2DTranspose, SharedScale
from kzoo.networks.blocks import (
    Flatten,
    check_widths,
    halved,
    image_and_label,
    network,
    vector_and_label,
)


class EncoderDecoder(Part):
    """An encoder and a decoder. One of your own is a subclass with their methods.

    Args:
        widths: layer widths from image to latents; the decoder mirrors them.
        activation: of the hidden layers, a name that Keras knows.
    """

    def __init__(self, widths, activation="relu"):
        self.widths, self.activation = check_widths(widths), activation

    def encoder(
        self,
        image_shape,
        latent_dim,
        num_classes=None,
        context_dim=0,
        concentrated=False,
    ):
        """Images in [0, 1], or `[images, labels]`, to what `posterior_layers` returns.

        Args:
            image_shape: `(height, width, channels)`.
            latent_dim: number of latents.
            num_classes: number of labels, or None.
            context_dim, concentrated: as for `posterior_layers`.
        """
        raise NotImplementedError

    def decoder(self, image_shape, latent_dim, num_classes=None, likelihood=None):
        """Latents, or `[latents, labels]`, to parameters of the likelihood.

        Without a likelihood, to as many numbers as the images have.
        """
        raise NotImplementedError

    def code_encoder(self, image_shape, latent_dim, num_classes=None):
        """The encoder, of which only the means are kept: the codes."""
        encoder = self.encoder(image_shape, latent_dim, num_classes)
        return network(encoder.inputs, encoder.outputs[0], "encoder")


@keras.saving.register_keras_serializable("kzoo")
class MLPEncoderDecoder(EncoderDecoder):
    """Dense layers.

    Args:
        widths: layer widths from image to latents; the decoder mirrors them.
        activation: of the hidden layers, a name that Keras knows.
    """

    def __init__(self, widths=(400,), activation="relu"):
        super().__init__(widths, activation)

    def encoder(
        self,
        image_shape,
        latent_dim,
        num_classes=None,
        context_dim=0,
        concentrated=False,
    ):
        images = keras.Input(image_shape, name="images")
        label_inputs, x = vector_and_label(Flatten()(images), num_classes)
        for width in self.widths:
            x = layers.Dense(width, activation=self.activation)(x)
        outputs = posterior_layers(x, latent_dim, context_dim, concentrated)
        return network([images, *label_inputs], outputs, "encoder")

    def decoder(self, image_shape, latent_dim, num_classes=None, likelihood=None):
        shape = parameters_shape(image_shape, likelihood)
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes)
        for width in reversed(self.widths):
            x = layers.Dense(width, activation=self.activation)(x)
        x = layers.Dense(math.prod(shape), dtype="float32")(x)
        outputs = with_scale(layers.Reshape(shape, dtype="float32")(x), likelihood)
        return network([latents, *label_inputs], outputs, "decoder")


@keras.saving.register_keras_serializable("kzoo")
class ConvEncoderDecoder(EncoderDecoder):
    """Strided convolutions, which halve the sides once for each width.

    Args:
        widths: channels from image to latents; the decoder mirrors them.
        activation: of the hidden layers, a name that Keras knows.
    """

    def __init__(self, widths=(32, 64), activation="relu"):
        super().__init__(widths, activation)

    def encoder(
        self,
        image_shape,
        latent_dim,
        num_classes=None,
        context_dim=0,
        concentrated=False,
    ):
        halved(image_shape, len(self.widths), "conv")
        images = keras.Input(image_shape, name="images")
        label_inputs, x = image_and_label(images, num_classes)
        for width in self.widths:
            x = Conv2D(width, 3, 2, "same", activation=self.activation)(x)
        units = max(16, 2 * latent_dim)
        x = layers.Dense(units, activation=self.activation)(Flatten()(x))
        outputs = posterior_layers(x, latent_dim, context_dim, concentrated)
        return network([images, *label_inputs], outputs, "encoder")

    def decoder(self, image_shape, latent_dim, num_classes=None, likelihood=None):
        *_, channels = parameters_shape(image_shape, likelihood)
        height, width = halved(image_shape, len(self.widths), "conv")
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes)
        last = self.widths[-1]
        x = layers.Dense(height * width * last, activation=self.activation)(x)
        x = layers.Reshape((height, width, last))(x)
        for width in reversed(self.widths):
            x = Conv2DTranspose(width, 3, 2, "same", activation=self.activation)(x)
        x = Conv2DTranspose(channels, 3, padding="same", dtype="float32")(x)
        outputs = with_scale(x, likelihood)
        return network([latents, *label_inputs], outputs, "decoder")


ENCODER_DECODERS = {"conv": ConvEncoderDecoder, "mlp": MLPEncoderDecoder}


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
