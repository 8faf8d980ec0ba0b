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

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.base import GenerativeModel
from kzoo.networks.began import BEGAN_NETWORKS, AutoencoderGANNetworks
from kzoo.parts.densities import normal_cdf
from kzoo.parts.priors import Prior


class Uniform(Prior):
    """Uniform on [-1, 1] in each latent."""

    def call(self, normal, labels=None):
        return 2 * normal_cdf(normal) - 1


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
            Differs from code with images in [-1, 1]: errors in [0, 1] are half as
            large, so that k moves half as far; 2e-3 undoes that.
        architecture: `"began"`, the paper's networks; or for digits and the like
            `"infogan"`: InfoGAN's generator, an autoencoder of one halving with batch
            normalisation, and DCGAN's optimizer; or an object of
            `kzoo.networks.began`, such as `BEGANNetworks((32, 64))`.
        generator: your own `keras.Model` from latents to images, which may leave
            [0, 1]: samples are clipped.
        discriminator: your own `keras.Model` from images in [0, 1] to as large ones.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BEGAN((8, 8, 1), 16, architecture=BEGANNetworks((16, 32)))
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
        generator=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, AutoencoderGANNetworks, BEGAN_NETWORKS
        )
        self.gamma = checks.probability("gamma", gamma)
        self.k_rate = checks.number("k_rate", k_rate, least=0)
        self.set_prior(Uniform())
        self.add_networks(generator, discriminator)
        self.k = self.add_weight((), "zeros", "float32", trainable=False, name="k")
        self.watch("discriminator_loss", "generator_loss", "convergence", "k")
        self.built = True

    def add_networks(self, generator, discriminator):
        networks, sizes = self.architecture, (self.image_shape, self.latent_dim)
        code, pixels = (self.latent_dim,), self.image_shape
        self.add_network(
            "generator",
            generator,
            lambda: networks.generator(*sizes),
            code,
            pixels,
            kinds="images",
        )
        self.add_network(
            "discriminator",
            discriminator,
            lambda: networks.autoencoder(*sizes),
            pixels,
            pixels,
            kinds="images",
        )

    def default_optimizer(self):
        rate, beta_1 = self.architecture.learning_rate, self.architecture.beta_1
        return {
            "discriminator": keras.optimizers.Adam(rate, beta_1),
            "generator": keras.optimizers.Adam(rate, beta_1),
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
        fakes = self.generator(self.latents_like(images), training=training)
        return ops.cast(fakes, "float32")

    def call(self, inputs, training=False):
        return self.generate_batch(inputs)

    def generate_batch(self, latents, labels=None):
        # Not clipped in training, so that gradients do not vanish.
        images = self.generator(latents, training=False)
        return ops.clip(ops.cast(images, "float32"), 0.0, 1.0)
