"""BiGAN's networks: Donahue et al., arXiv:1605.09782, appendix C.1, or DCGAN's."""

import math

import keras
from keras import layers

from kzoo.layers import BatchNormalization
from kzoo.networks.blocks import (
    Flatten,
    GANNetworks,
    features,
    network,
    vector_and_label,
)
from kzoo.networks.dcgan import DCGANNetworks, dcgan_init, dcgan_widths


class BiGANNetworks(GANNetworks):
    """A generator, an encoder, and a discriminator of pairs: for `BiGAN`.

    One of your own is a subclass with their methods.

    Args:
        widths: layer widths from latents to images; encoder and discriminator mirror
            them. None means `default_widths(image_shape)`.
    """

    def encoder(self, image_shape, latent_dim, num_classes=None):
        """Images in [0, 1], or `[images, labels]`, to codes `(batch, latent_dim)`."""
        raise NotImplementedError

    def pair_discriminator(self, image_shape, latent_dim, num_classes=None):
        """`[images, latents]`, or `[images, latents, labels]`, to a logit."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("kzoo")
class MLPBiGANNetworks(BiGANNetworks):
    """Dense layers, as in the paper's experiments on MNIST.

    Args:
        widths: layer widths from latents to images; encoder and discriminator mirror
            them. None means the paper's `(1024, 1024)`.
    """

    def default_widths(self, image_shape):
        return 1024, 1024

    def generator(self, image_shape, latent_dim, num_classes=None):
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes)
        x = dense_layers(x, self.widths_for(image_shape), 0.0)
        last = layers.Dense(math.prod(image_shape), "sigmoid", dtype="float32")
        images = layers.Reshape(image_shape, dtype="float32")(last(x))
        return network([latents, *label_inputs], images, "generator")

    def encoder(self, image_shape, latent_dim, num_classes=None):
        images = keras.Input(image_shape, name="images")
        x = Flatten()(layers.Rescaling(2.0, -1.0)(images))
        label_inputs, x = vector_and_label(x, num_classes)
        x = dense_layers(x, self.widths_for(image_shape)[::-1], 0.2)
        codes = layers.Dense(latent_dim, dtype="float32", **dcgan_init())(x)
        return network([images, *label_inputs], codes, "encoder")

    def pair_discriminator(self, image_shape, latent_dim, num_classes=None):
        images = keras.Input(image_shape, name="images")
        latents = keras.Input((latent_dim,), name="latents")
        x = Flatten()(layers.Rescaling(2.0, -1.0)(images))
        x = layers.Concatenate()([x, latents])
        label_inputs, x = vector_and_label(x, num_classes)
        x = dense_layers(x, self.widths_for(image_shape)[::-1], 0.2)
        logits = layers.Dense(1, dtype="float32", **dcgan_init())(x)
        return network([images, latents, *label_inputs], logits, "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class DCGANBiGANNetworks(BiGANNetworks):
    """DCGAN's generator, and its discriminator with other ends.

    Both ends are a normalised layer four times as wide as the widest. The encoder's
    thousands of features need it: from themselves, the codes' means move by 0.3 in a
    step, and stayed away from the latents' on MNIST. In the discriminator, images'
    features meet the latents there.

    Args:
        widths: as in `DCGANNetworks`.
    """

    def default_widths(self, image_shape):
        return dcgan_widths(image_shape)

    def generator(self, image_shape, latent_dim, num_classes=None):
        return DCGANNetworks(self.widths).generator(
            image_shape, latent_dim, num_classes
        )

    def encoder(self, image_shape, latent_dim, num_classes=None):
        plain = DCGANNetworks(self.widths).discriminator(image_shape, num_classes)
        x = self.last_layer(features(plain), image_shape)
        codes = layers.Dense(latent_dim, dtype="float32", **dcgan_init())(x)
        return network(plain.inputs, codes, "encoder")

    def pair_discriminator(self, image_shape, latent_dim, num_classes=None):
        plain = DCGANNetworks(self.widths).discriminator(image_shape, num_classes)
        images, *label_inputs = plain.inputs
        latents = keras.Input((latent_dim,), name="latents")
        x = layers.Concatenate()([features(plain), latents])
        x = self.last_layer(x, image_shape)
        logits = layers.Dense(1, dtype="float32", **dcgan_init())(x)
        return network([images, latents, *label_inputs], logits, "discriminator")

    def last_layer(self, x, image_shape):
        return dense_layers(x, [4 * max(self.widths_for(image_shape))], 0.2)


def dense_layers(x, widths, slope):
    """Dense layers, the last one batch-normalised without a gain and a bias.

    `slope` is that of their leaky ReLU below 0.
    """
    for width in widths[:-1]:
        x = layers.LeakyReLU(slope)(layers.Dense(width, **dcgan_init())(x))
    x = layers.Dense(widths[-1], **dcgan_init())(x)
    normalization = BatchNormalization(
        momentum=0.9, epsilon=1e-5, center=False, scale=False
    )
    return layers.LeakyReLU(slope)(normalization(x))


BIGAN_NETWORKS = {"dcgan": DCGANBiGANNetworks, "mlp": MLPBiGANNetworks}
