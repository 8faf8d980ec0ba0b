"""Boundary equilibrium GAN: Berthelot et al., arXiv:1703.10717.

The discriminator is an autoencoder that learns to reconstruct real images well and fake
ones badly, and the generator draws what it reconstructs well. A weight k keeps the two
in balance: it grows while fakes are reconstructed better than gamma times the error of
real images, and shrinks else. Differs from the paper: a learning rate that stays, where
the paper halves it whenever the convergence measure stalls; the error of eta = 1 only;
none of the optional skip connections and vanishing residuals of section 3.5; each phase
sees what the phase before it has learned.

The paper draws faces. On MNIST its networks soon draw the one digit that is easiest
to reconstruct; those of `architecture="infogan"`, whose autoencoder normalises hidden
numbers over the batch, draw all ten (docs/results.md).
"""

import math

import keras
from keras import layers, ops

from kzoo import backend, checks
from kzoo.layers import BatchNormalization, Conv2D, Conv2DTranspose
from kzoo.networks import check_widths, halved, network
from kzoo.training import GenerativeModel


def began_widths(image_shape):
    """64, 128, 192 and so on, one for each size from the image's to 8 pixels.

    Halves while both sides are even and the larger is above 8, so `(64, 128, 192)` for
    28 or 32 pixels.
    """
    height, width, _ = image_shape
    widths = [64]
    while height % 2 == width % 2 == 0 and max(height, width) > 8:
        widths.append(widths[0] * (len(widths) + 1))
        height, width = height // 2, width // 2
    return tuple(widths)


def build_generator(image_shape, latent_dim, widths, num_classes=None):
    latents = keras.Input((latent_dim,), name="latents")
    return network([latents], decoded(latents, image_shape, widths), "generator")


def build_discriminator(image_shape, latent_dim, widths, num_classes=None):
    """An autoencoder with as many hidden numbers as there are latents."""
    images = keras.Input(image_shape, name="images")
    codes = encoded(layers.Rescaling(2.0, -1.0)(images), latent_dim, widths)
    return network([images], decoded(codes, image_shape, widths), "discriminator")


def encoded(x, latent_dim, widths):
    """Two convolutions at each size, and one between that halves it."""
    for i, width in enumerate(widths):
        if i:
            x = convolution(width, strides=2)(x)
        x = convolution(width)(convolution(width)(x))
    return layers.Dense(latent_dim)(layers.Flatten()(x))


def decoded(codes, image_shape, widths):
    """The reverse, as wide at each size as the first, by nearest neighbours.

    Images are about [0, 1], from outputs about [-1, 1] without an activation.
    """
    height, width = halved(image_shape, len(widths) - 1, "began")
    x = layers.Dense(height * width * widths[0])(codes)
    x = layers.Reshape((height, width, widths[0]))(x)
    for i in range(len(widths)):
        x = layers.UpSampling2D(2)(x) if i else x
        x = convolution(widths[0])(convolution(widths[0])(x))
    x = Conv2D(image_shape[-1], 3, padding="same", dtype="float32")(x)
    return layers.Rescaling(0.5, 0.5, dtype="float32")(x)


def convolution(width, strides=1):
    return Conv2D(width, 3, strides, "same", activation="elu")


def infogan_widths(image_shape):
    """InfoGAN's `(64, 128)`, which halve the sides twice."""
    return 64, 128


def build_infogan_generator(image_shape, latent_dim, widths, num_classes=None):
    """InfoGAN's for MNIST: Chen et al., arXiv:1606.03657, appendix C.1.

    Its first layer has 1,024 units, eight times as many as the widest maps channels.
    """
    latents = keras.Input((latent_dim,), name="latents")
    x = normalized(layers.Dense(8 * max(widths), use_bias=False)(latents))
    return network([latents], enlarged(x, image_shape, widths), "generator")


def build_infogan_discriminator(image_shape, latent_dim, widths, num_classes=None):
    """An autoencoder that halves once, normalised over the batch from the codes on.

    Smaller than in the code of Lucic et al., arXiv:1711.10337, which halves twice.
    """
    images = keras.Input(image_shape, name="images")
    x = Conv2D(widths[0], 4, 2, "same", activation="relu")(images)
    codes = normalized(layers.Dense(latent_dim, use_bias=False)(layers.Flatten()(x)))
    return network([images], enlarged(codes, image_shape, widths[:1]), "discriminator")


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


# Builders of the generator and of the discriminator, the default widths, and what Adam
# is given: the paper's, or DCGAN's.
ARCHITECTURES = {
    "began": (
        build_generator,
        build_discriminator,
        began_widths,
        {"learning_rate": 1e-4},
    ),
    "infogan": (
        build_infogan_generator,
        build_infogan_discriminator,
        infogan_widths,
        {"learning_rate": 2e-4, "beta_1": 0.5},
    ),
}


@keras.saving.register_keras_serializable("kzoo")
class BEGAN(GenerativeModel):
    """Boundary equilibrium GAN (arXiv:1703.10717): says how far it has converged.

    With L the absolute error of the discriminator's reconstruction, the mean over
    pixels in [0, 1] and images, x real and G(z) fake (section 3.4), logs

    - `discriminator_loss`, L(x) - k L(G(z)), and `generator_loss`, L(G(z));
    - `convergence`, the measure M = L(x) + |gamma L(x) - L(G(z))|, which falls as
      samples get better;
    - `k`, from 0 to 1. It is saved with the weights.

    The latents are uniform on [-1, 1].

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents, and of the autoencoder's hidden numbers.
        gamma: how much of the error of real images that of fakes is to be, from 0 to 1.
            The lower, the less diverse the samples: the autoencoder attends to real
            images.
        k_rate: what k moves by for each unit of the difference, the paper's lambda_k.
        architecture: `"began"`, the paper's networks; or for digits and the like
            `"infogan"`: InfoGAN's generator, an autoencoder of one halving with batch
            normalisation, and DCGAN's optimizer.
        widths: channels from images to codes. For `"began"` one for each size of the
            encoder; the decoder and the generator are as wide as its first everywhere.
            Defaults to `began_widths`: `(64, 128, 192)` for 28 pixels. For `"infogan"`
            one for each halving: the autoencoder has the first alone, the generator
            all of them in reverse. Defaults to InfoGAN's `(64, 128)`.
        generator: your own `keras.Model` from latents to images, which may leave
            [0, 1]: samples are clipped.
        discriminator: your own `keras.Model` from images in [0, 1] to as large ones.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BEGAN(image_shape=(8, 8, 1), latent_dim=16, widths=(16, 32))
    >>> model.compile()
    >>> model.fit(images, batch_size=16, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=64,
        gamma=0.5,
        k_rate=1e-3,
        architecture="began",
        widths=None,
        generator=None,
        discriminator=None,
        **kwargs,
    ):
        if kwargs.get("num_classes") is not None:
            raise ValueError(
                "BEGAN takes no labels. Expected images alone. Received: "
                f"num_classes={kwargs['num_classes']!r}. For images with labels, take "
                "CGAN or ACGAN."
            )
        super().__init__(image_shape, latent_dim, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        self.architecture = architecture
        generates, reconstructs, default, _ = ARCHITECTURES[architecture]
        self.widths = check_widths(
            default(self.image_shape) if widths is None else widths
        )
        self.gamma, self.k_rate = gamma, k_rate
        code, pixels = (self.latent_dim,), self.image_shape
        self.add_network("generator", generator, generates, code, pixels)
        self.add_network("discriminator", discriminator, reconstructs, pixels, pixels)
        self.k = self.add_weight((), "zeros", "float32", trainable=False, name="k")
        self.watch("discriminator_loss", "generator_loss", "convergence", "k")
        self.built = True

    def default_optimizer(self):
        adam = ARCHITECTURES[self.architecture][-1]
        return {
            "discriminator": keras.optimizers.Adam(**adam),
            "generator": keras.optimizers.Adam(**adam),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        logs = self.minimize(self.discriminator_loss, images, over="discriminator")
        logs |= self.minimize(self.generator_loss, images, over="generator")
        balance, convergence = self.equilibrium(logs)
        balance = backend.replica_mean(balance)
        self.k.assign(ops.clip(self.k + self.k_rate * balance, 0.0, 1.0))
        return self.report({**logs, "convergence": convergence, "k": self.k}, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.discriminator_loss(images, training=False)
        logs |= self.generator_loss(images, training=False)[1]
        _, convergence = self.equilibrium(logs)
        return self.report({**logs, "convergence": convergence, "k": self.k}, images)

    def discriminator_loss(self, images, training=True):
        fakes = ops.stop_gradient(self.fakes_like(images, training))
        real, fake = (self.error(x, training) for x in (images, fakes))
        loss = real - self.k * fake
        return loss, {"discriminator_loss": loss, "real_error": real}

    def generator_loss(self, images, training=True):
        loss = self.error(self.fakes_like(images, training), training)
        return loss, {"generator_loss": loss}

    def equilibrium(self, logs):
        """What k follows in section 3.4, and M of section 3.4.1."""
        real, fake = logs["real_error"], logs["generator_loss"]
        balance = self.gamma * real - fake
        return balance, real + ops.abs(balance)

    def error(self, images, training):
        """L of equation 1: a scalar, the mean over pixels and images."""
        outputs = self.discriminator(images, training=training)
        return ops.mean(ops.abs(images - ops.cast(outputs, "float32")))

    def fakes_like(self, images, training):
        latents = self.prior(self.noise((ops.shape(images)[0], self.latent_dim)))
        return ops.cast(self.generator(latents, training=training), "float32")

    def prior(self, normal):
        """Uniform on [-1, 1], as the normal distribution function is."""
        return ops.erf(normal / math.sqrt(2))

    def call(self, inputs, training=False):
        return self.generate_batch(inputs)

    def generate_batch(self, latents, labels=None):
        # The discriminator sees what is not clipped, whose gradient never ends.
        images = self.generator(latents, training=False)
        return ops.clip(ops.cast(images, "float32"), 0.0, 1.0)

    def get_config(self):
        return {
            **super().get_config(),
            "gamma": self.gamma,
            "k_rate": self.k_rate,
            "widths": self.widths,
            "architecture": self.architecture,
        }
