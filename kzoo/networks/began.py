"""BEGAN's networks: Berthelot et al., arXiv:1703.10717, section 3.5.

None of the paper's optional skip connections and vanishing residuals.
"""

import math

import keras
from keras import layers

from kzoo.layers import BatchNormalization, Conv2D, Conv2DTranspose
from kzoo.networks.blocks import (
    Flatten,
    GANNetworks,
    UpSampling2D,
    halved,
    halved_sizes,
    network,
)


class AutoencoderGANNetworks(GANNetworks):
    """A generator, and an autoencoder in the place of a discriminator: for `BEGAN`.

    One of your own is a subclass with their methods.

    Args:
        widths: channels from images to codes. None means `default_widths(image_shape)`.
    """

    beta_1 = 0.9  # of Adam, with which BEGAN trains both

    def autoencoder(self, image_shape, latent_dim):
        """Images in [0, 1] to as large ones, by way of `latent_dim` hidden numbers."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("kzoo")
class BEGANNetworks(AutoencoderGANNetworks):
    """The paper's: ELU, convolutions of 3x3, nearest neighbours to double the sides.

    Args:
        widths: channels of each size of the encoder from images to codes; the decoder
            and the generator are as wide as its first everywhere. None means
            `began_widths`: `(64, 128, 192)` for 28 pixels.
    """

    learning_rate = 1e-4

    def default_widths(self, image_shape):
        return began_widths(image_shape)

    def generator(self, image_shape, latent_dim, num_classes=None):
        latents = keras.Input((latent_dim,), name="latents")
        images = self.decoded(latents, image_shape)
        return network([latents], images, "generator")

    def autoencoder(self, image_shape, latent_dim):
        images = keras.Input(image_shape, name="images")
        codes = self.encoded(layers.Rescaling(2.0, -1.0)(images), latent_dim)
        outputs = self.decoded(codes, image_shape)
        return network([images], outputs, "discriminator")

    def encoded(self, images, latent_dim):
        """Two convolutions at each size, and one between that halves it."""
        x = images
        for i, width in enumerate(self.widths_for(images.shape[1:])):
            if i:
                x = convolution(width, strides=2)(x)
            x = convolution(width)(convolution(width)(x))
        return layers.Dense(latent_dim)(Flatten()(x))

    def decoded(self, codes, image_shape):
        """The encoder reversed. Images are about [0, 1], without an activation."""
        widths = self.widths_for(image_shape)
        height, width = halved(image_shape, len(widths) - 1, "began")
        x = layers.Dense(height * width * widths[0])(codes)
        x = layers.Reshape((height, width, widths[0]))(x)
        for i in range(len(widths)):
            x = UpSampling2D(2)(x) if i else x
            x = convolution(widths[0])(convolution(widths[0])(x))
        x = Conv2D(image_shape[-1], 3, padding="same", dtype="float32")(x)
        return layers.Rescaling(0.5, 0.5, dtype="float32")(x)


def began_widths(image_shape):
    """64, 128, 192 and so on, one for each size from the image's to 8 pixels.

    Halves while both sides are even and the larger is above 8, so `(64, 128, 192)` for
    28 or 32 pixels.
    """
    sizes = halved_sizes(image_shape, largest=8)
    return tuple(64 * (i + 1) for i in range(len(sizes)))


def convolution(width, strides=1):
    return Conv2D(width, 3, strides, "same", activation="elu")


@keras.saving.register_keras_serializable("kzoo")
class NormalizedBEGANNetworks(AutoencoderGANNetworks):
    """InfoGAN's generator, and an autoencoder that halves once: for digits.

    Hidden numbers are normalised over the batch, those of the autoencoder from the
    codes on. The generator is InfoGAN's for MNIST (Chen et al., arXiv:1606.03657,
    appendix C.1): its first layer has 1,024 units, eight times as many as the widest
    maps channels. The autoencoder is smaller than in the code of Lucic et al.,
    arXiv:1711.10337, which halves twice. Adam's settings are DCGAN's.

    Args:
        widths: channels for each halving, from images to latents; the autoencoder has
            the first alone, the generator all of them in reverse. None means InfoGAN's
            `(64, 128)`.
    """

    learning_rate, beta_1 = 2e-4, 0.5

    def default_widths(self, image_shape):
        return 64, 128

    def generator(self, image_shape, latent_dim, num_classes=None):
        widths = self.widths_for(image_shape)
        latents = keras.Input((latent_dim,), name="latents")
        x = normalized(layers.Dense(8 * max(widths), use_bias=False)(latents))
        return network([latents], enlarged(x, image_shape, widths), "generator")

    def autoencoder(self, image_shape, latent_dim):
        widths = self.widths_for(image_shape)[:1]
        images = keras.Input(image_shape, name="images")
        x = Conv2D(widths[0], 4, 2, "same", activation="relu")(images)
        x = layers.Dense(latent_dim, use_bias=False)(Flatten()(x))
        outputs = enlarged(normalized(x), image_shape, widths)
        return network([images], outputs, "discriminator")


def enlarged(x, image_shape, widths):
    """Hidden numbers to images in [0, 1]: maps that double once for each width."""
    height, width = halved(image_shape, len(widths), "infogan")
    maps = height, width, widths[-1]
    x = normalized(layers.Dense(math.prod(maps), use_bias=False)(x))
    x = layers.Reshape(maps)(x)
    for channels in widths[-2::-1]:
        x = normalized(Conv2DTranspose(channels, 4, 2, "same", use_bias=False)(x))
    last = {"activation": "sigmoid", "dtype": "float32"}
    return Conv2DTranspose(image_shape[-1], 4, 2, "same", **last)(x)


def normalized(x):
    return layers.ReLU()(BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


BEGAN_NETWORKS = {"began": BEGANNetworks, "infogan": NormalizedBEGANNetworks}
