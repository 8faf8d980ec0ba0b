"""InfoGAN: Chen et al., arXiv:1606.03657.

Part of the latents, the codes, can be read off the images: a network Q, which shares
the discriminator's body, guesses them, and both networks maximise a lower bound of the
mutual information of codes and images. A code comes to mean something, such as the
digit or its slant, without labels. Differs from the paper: DCGAN's networks, which
lack its dense layers of 1024 units (widths=(128, 64) are its others for MNIST), slopes
of 0.2 in leaky ReLU, and normal noise; Q's normal distributions have unit variance, as
in the authors' code.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from kzoo import checks, losses
from kzoo.models.gan import GAN
from kzoo.networks import features, network
from kzoo.networks.dcgan import batch_norm


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


@keras.saving.register_keras_serializable("kzoo")
class InfoGAN(GAN):
    """InfoGAN (arXiv:1606.03657): some latents come to mean something, without labels.

    The latents are `noise_dim` normal numbers, a one-hot category and `continuous`
    codes from [-1, 1], in this order. Logs `discriminator_loss`, `generator_loss` and
    `mutual_information`, the bound L_I in nats: at most log(categories) for the
    category, and -0.23, or log(2 / sqrt(2 pi)), for each continuous code, as unit
    variance is too wide for them.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        noise_dim: number of latents without a meaning.
        categories: number of values of the categorical code.
        continuous: number of continuous codes.
        information_weight: what the bound is multiplied by, the paper's lambda.
        architecture: of both networks, as in `GAN`.
        discriminator: your own `keras.Model` from images in [0, 1] to `[logit, category
            logits, means]`, `(batch, 1)`, `(batch, categories)`, `(batch, continuous)`.
        **kwargs: any other argument of `GAN` but `latent_dim` and `num_classes`.

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
        noise_dim=62,
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
        # Before the networks, which they shape.
        self.noise_dim = checks.positive_int("noise_dim", noise_dim)
        self.categories = checks.positive_int("categories", categories)
        self.continuous = checks.positive_int("continuous", continuous)
        self.information_weight = information_weight
        latent_dim = self.noise_dim + self.categories + self.continuous
        super().__init__(image_shape, latent_dim, architecture, **kwargs)

    def add_discriminator(self, own, build):
        def build_with_heads(*arguments):
            plain = build(*arguments)
            return add_posterior_heads(plain, self.categories, self.continuous)

        outputs = [(1,), (self.categories,), (self.continuous,)]
        self.add_network(
            "discriminator", own, build_with_heads, self.image_shape, outputs
        )

    def watch(self, *names):
        super().watch(*names, "mutual_information")

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.5),
            "generator": keras.optimizers.Adam(1e-3, beta_1=0.5),
        }

    def prior(self, normal):
        """The largest of the numbers in a category's places is each alike often."""
        noise, category, codes = self.split(normal)
        category = ops.one_hot(ops.argmax(category, axis=-1), self.categories)
        uniform = ops.erf(codes / math.sqrt(2))
        return ops.concatenate([noise, category, uniform], axis=-1)

    def split(self, latents):
        """Noise, one-hot category and continuous codes of `(batch, latent_dim)`."""
        ends = [self.noise_dim, self.noise_dim + self.categories]
        return ops.split(latents, ends, axis=-1)

    def discriminator_loss(self, images, labels=None, training=True):
        latents = self.latents_like(images)
        fakes = ops.stop_gradient(self.fakes(latents, labels, training))
        images, fakes = (self.augmented(x, training) for x in (images, fakes))
        real = self.logits(images, labels, training)
        fake, *posterior = self.judged(fakes, training)
        information = self.mutual_information(latents, *posterior)
        penalties = self.penalties(images, fakes, labels, training)
        loss = self.game.discriminator(real, fake)
        loss = loss - self.information_weight * information
        loss = loss + self.penalty_weight * sum(penalties.values())
        logs = {"discriminator_loss": loss, "mutual_information": information}
        return loss, {**logs, **penalties, **self.adapt_augmentation(real, training)}

    def generator_loss(self, images, labels=None, training=True):
        latents = self.latents_like(images)
        fakes = self.augmented(self.fakes(latents, labels, training), training)
        fake, *posterior = self.judged(fakes, training)
        real = None
        if self.game.relativistic:
            real = self.logits(self.augmented(images, training), labels, training)
        information = self.mutual_information(latents, *posterior)
        loss = self.game.generator(real, fake) - self.information_weight * information
        return loss, {"generator_loss": loss}

    def mutual_information(self, latents, logits, means):
        """L_I = E[log Q(codes | image)] + H(codes) in nats: equation 5."""
        _, category, codes = self.split(latents)
        log_q = ops.sum(category * ops.log_softmax(logits), axis=-1)
        log_q = log_q + losses.normal_log_density(codes, means)
        entropy = math.log(self.categories) + self.continuous * math.log(2)
        return ops.mean(log_q) + entropy

    def logits(self, images, labels, training):
        return self.judged(images, training)[0]

    def judged(self, images, training):
        """The logit and the parameters of Q, as in `add_posterior_heads`, float32."""
        outputs = self.discriminator(images, training=training)
        return [ops.cast(output, "float32") for output in outputs]

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
        noise = self.draw_latents(1, seed)[:, : self.noise_dim]
        category = np.repeat(np.eye(rows), columns, axis=0)
        codes = np.zeros((images, self.continuous))
        codes[:, code] = np.tile(np.linspace(-2, 2, columns), rows)
        parts = [noise.repeat(images, axis=0), category, codes]
        return np.concatenate(parts, axis=1).astype("float32")

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]  # a sum of these
        return {
            **config,
            "noise_dim": self.noise_dim,
            "categories": self.categories,
            "continuous": self.continuous,
            "information_weight": self.information_weight,
        }
