"""InfoGAN: Chen et al., arXiv:1606.03657.

Part of the latents, the codes, can be read off the images: a network Q, which shares
the discriminator's body, guesses them, and both networks maximise a lower bound of the
mutual information of codes and images. A code comes to mean something, such as the
digit or its slant, without labels. Differs from the paper: DCGAN's networks, which
lack its dense layers of 1024 units (`DCGANNetworks((128, 64))` has its others for
MNIST), slopes of 0.2 in leaky ReLU, and normal noise; Q's normal distributions have
unit variance, as in the authors' code.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from kzoo import checks, config
from kzoo.models.gan import GAN
from kzoo.networks.architectures import GAN_NETWORKS
from kzoo.networks.blocks import GANNetworks, features, network
from kzoo.networks.dcgan import batch_norm
from kzoo.parts.densities import normal_cdf, normal_log_density
from kzoo.parts.priors import Prior


@keras.saving.register_keras_serializable("kzoo")
class InfoGANNetworks(GANNetworks):
    """Networks of `GAN`, with the posterior Q as two more heads of the discriminator.

    Args:
        networks: those of `GAN`, a name or an object.
        categories: number of values of the categorical code.
        continuous: number of continuous codes.
    """

    def __init__(self, networks="dcgan", categories=10, continuous=2):
        super().__init__()
        self.networks = config.part("architecture", networks, GANNetworks, GAN_NETWORKS)
        self.categories = checks.positive_int("categories", categories)
        self.continuous = checks.positive_int("continuous", continuous)

    def generator(self, image_shape, latent_dim, num_classes=None):
        return self.networks.generator(image_shape, latent_dim, num_classes)

    def discriminator(self, image_shape, num_classes=None):
        plain = self.networks.discriminator(image_shape, num_classes)
        return add_posterior_heads(plain, self.categories, self.continuous)


def add_posterior_heads(discriminator, categories, continuous):
    """The discriminator with two more outputs, those of Q(codes | image).

    They are the category's logits `(batch, categories)` and the means of the continuous
    codes `(batch, continuous)`.
    """
    x = layers.Dense(128)(features(discriminator))
    x = layers.LeakyReLU(0.2)(batch_norm()(x))
    logits = layers.Dense(categories, dtype="float32", name="category")(x)
    means = layers.Dense(continuous, dtype="float32", name="means")(x)
    outputs = [discriminator.output, logits, means]
    return network(discriminator.inputs, outputs, "discriminator")


class Codes(Prior):
    """Normal numbers, a one-hot category, and codes uniform in [-1, 1], side by side.

    Args:
        categories: number of values of the category.
        continuous: number of codes.
    """

    def __init__(self, categories, continuous):
        super().__init__()
        self.categories, self.continuous = categories, continuous

    def call(self, normal, labels=None):
        # The largest of the numbers in a category's places is each alike often.
        noise, category, codes = self.split(normal)
        category = ops.one_hot(ops.argmax(category, axis=-1), self.categories)
        return ops.concatenate([noise, category, 2 * normal_cdf(codes) - 1], axis=-1)

    def split(self, latents):
        """Noise, one-hot category and continuous codes of `(batch, latent_dim)`."""
        noise = self.latent_dim - self.categories - self.continuous
        return ops.split(latents, [noise, noise + self.categories], axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class InfoGAN(GAN):
    """InfoGAN (arXiv:1606.03657): some latents come to mean something, without labels.

    The latents are normal numbers, a one-hot category and `continuous` codes from
    [-1, 1], in this order. Logs `discriminator_loss`, `generator_loss` and
    `mutual_information`, the bound L_I in nats: at most log(categories) for the
    category, and -0.23, or log(2 / sqrt(2 pi)), for each continuous code, as unit
    variance is too wide for them.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents, those of the codes included.
        categories: number of values of the categorical code.
        continuous: number of continuous codes.
        information_weight: what the bound is multiplied by, the paper's lambda.
        architecture: of both networks, as in `GAN`.
        discriminator: your own `keras.Model` from images in [0, 1] to `[logit, category
            logits, means]`, `(batch, 1)`, `(batch, categories)`, `(batch, continuous)`.
        **kwargs: any other argument of `GAN`. Labels are none of them: InfoGAN finds
            classes by itself.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.InfoGAN(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> grid = model.generate(model.traversal(code=0, columns=10))  # a category a row
    """

    def __init__(
        self,
        image_shape,
        latent_dim=74,
        categories=10,
        continuous=2,
        information_weight=1.0,
        architecture="dcgan",
        **kwargs,
    ):
        if kwargs.get("num_classes") is not None:
            raise ValueError(
                "InfoGAN finds classes by itself. Expected categories=..., their "
                f"number. Received: num_classes={kwargs['num_classes']!r}. For images "
                "with labels, take CGAN or ACGAN."
            )
        with_heads = InfoGANNetworks(architecture, categories, continuous)
        checks.positive_int("latent_dim", latent_dim)
        check_noise(latent_dim, categories, continuous)
        super().__init__(image_shape, latent_dim, with_heads, **kwargs)
        self.architecture = with_heads.networks
        self.categories, self.continuous = categories, continuous
        self.information_weight = checks.number(
            "information_weight", information_weight, least=0
        )
        self.set_prior(Codes(categories, continuous))

    def add_discriminator(self, own):
        networks = self.architecture
        self.add_network(
            "discriminator",
            own,
            lambda: networks.discriminator(self.image_shape),
            self.image_shape,
            [(1,), (networks.categories,), (networks.continuous,)],
            kinds=[self.loss.kind, "scores", "codes"],
        )

    def further_logs(self):
        return [*super().further_logs(), "mutual_information"]

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.5),
            "generator": keras.optimizers.Adam(1e-3, beta_1=0.5),
        }

    def head_loss(self, real, fake, latents, labels):
        """-lambda L_I of equation 6; real images have no codes to tell."""
        information = self.mutual_information(latents, *fake)
        loss = -self.information_weight * information
        return loss, {"mutual_information": information}

    def mutual_information(self, latents, logits, means):
        """L_I = E[log Q(codes | image)] + H(codes) in nats: equation 5."""
        _, category, codes = self.prior.split(latents)
        log_q = ops.sum(category * ops.log_softmax(logits), axis=-1)
        log_q = log_q + normal_log_density(codes, means)
        entropy = math.log(self.categories) + self.continuous * math.log(2)
        return ops.mean(log_q) + entropy

    def traversal(self, code=0, columns=10, seed=0):
        """Latents of a picture of what the codes mean, as in figure 2 of the paper.

        Args:
            code: the continuous code to move, counted from 0.
            columns: images in a row, along which the code grows from -2 to 2, twice as
                far as in training. The other codes are 0.
            seed: of the noise, which all images share.

        Returns:
            float32 `(categories * columns, latent_dim)`, a row for each category.

        Example:

        >>> SampleGrid("run/code_0", model.traversal(0), columns=10)
        """
        rows, images = self.categories, self.categories * columns
        noise = self.draw_latents(1, seed)[:, : -self.categories - self.continuous]
        category = np.repeat(np.eye(rows), columns, axis=0)
        codes = np.zeros((images, self.continuous))
        codes[:, code] = np.tile(np.linspace(-2, 2, columns), rows)
        parts = [noise.repeat(images, axis=0), category, codes]
        return np.concatenate(parts, axis=1).astype("float32")


def check_noise(latent_dim, categories, continuous):
    """Raises a `ValueError` unless there are latents beside those of the codes."""
    if latent_dim <= categories + continuous:
        raise ValueError(
            f"Expected latent_dim above {categories + continuous}, the latents of "
            f"categories={categories} and continuous={continuous}. Received: "
            f"latent_dim={latent_dim}."
        )
