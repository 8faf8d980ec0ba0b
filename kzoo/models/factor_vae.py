"""FactorVAE: Kim and Mnih, arXiv:1802.05983.

A VAE whose loss adds the total correlation of the latents, which a discriminator
estimates: it tells latents of the batch from latents whose coordinates were shuffled
over the batch, each by itself. Its logit is the logarithm of how much likelier a vector
is as a whole than by its parts (equation 3). Differs from the paper: both phases see
the same batch, with fresh draws of the latents, where the paper's algorithm 2 takes a
second one; one logit stands for the difference of two.
"""

import keras
from keras import layers, ops

from kzoo import backend, checks
from kzoo.models.vae import VAE
from kzoo.networks.blocks import check_widths, network, vector_and_label
from kzoo.parts.divergences import check_normal


def build_discriminator(latent_dim, widths, num_classes=None):
    """Latents to the logit that they belong together, `(batch, 1)`."""
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    for width in widths:
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
    logits = layers.Dense(1, dtype="float32")(x)
    return network([latents, *label_inputs], logits, "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class FactorVAE(VAE):
    """FactorVAE (arXiv:1802.05983): latents that do not depend on each other.

    Logs `autoencoder_loss`, its parts `reconstruction`, `kl` and `total_correlation` in
    nats an image, and `discriminator_loss`, log 2 while nothing can be told.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        gamma: weight of the total correlation. The paper takes 35 for dSprites.
        discriminator_widths: layer widths of the discriminator of latents. The paper
            has six layers of 1000 units.
        discriminator: your own `keras.Model` from latents, or `[latents, labels]`, to
            one logit, `(batch, 1)`, without a sigmoid.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.FactorVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="conv",
        likelihood="bernoulli",
        gamma=35.0,
        discriminator_widths=(1000,) * 6,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, architecture, likelihood, **kwargs)
        check_normal(self, self.prior, self.posterior)
        if "total_correlation" in self.divergence.logs:
            raise ValueError(
                "FactorVAE estimates the total correlation by its discriminator. "
                "Expected a divergence without one, such as divergence='kl'. Received: "
                f"divergence={self.divergence!r}. To weigh that one take BetaTCVAE."
            )
        self.gamma = checks.number("gamma", gamma, least=0)
        self.discriminator_widths = check_widths(
            discriminator_widths, "discriminator_widths"
        )
        self.add_network(
            "discriminator",
            discriminator,
            lambda: build_discriminator(
                self.latent_dim, self.discriminator_widths, self.num_classes
            ),
            (self.latent_dim,),
            (1,),
            self.num_classes,
            "logits",
        )
        self.autoencoder = self.chained()
        self.watch(
            "autoencoder_loss",
            "reconstruction",
            *self.divergence.logs,
            "total_correlation",
            "discriminator_loss",
        )

    def chained(self):
        """Encoder and decoder as one network, which the first phase trains."""
        images = keras.Input(self.image_shape)
        labels = keras.Input((), dtype="int32") if self.num_classes else None
        inputs = self.given(images, labels)
        mean, _ = self.encoder(inputs)
        return keras.Model(inputs, self.decoder(self.given(mean, labels)))

    def default_optimizer(self):
        return {
            "autoencoder": keras.optimizers.Adam(1e-4),
            "discriminator": keras.optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        logs = self.minimize(self.autoencoder_loss, images, labels, over="autoencoder")
        logs |= self.minimize(
            self.discriminator_loss, images, labels, over="discriminator"
        )
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.autoencoder_loss(images, labels, training=False)
        logs |= self.discriminator_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def autoencoder_loss(self, images, labels=None, training=True):
        loss, logs = self.negative_elbo(images, labels, training)
        return loss, {"autoencoder_loss": logs.pop("loss"), **logs}

    def regularization(self, parameters, latents, log_density, labels, training):
        drawn = parameters, latents, log_density, labels
        loss, logs = super().regularization(*drawn, training)
        total_correlation = ops.mean(self.logits(latents, labels, training))
        logs = {**logs, "total_correlation": total_correlation}
        return loss + self.gamma * total_correlation, logs

    def discriminator_loss(self, images, labels=None, training=True):
        parameters = self.posterior_parameters(images, labels, training)
        noise = self.noise(ops.shape(parameters[0]))
        latents = ops.stop_gradient(self.posterior(parameters, noise)[0])
        shuffled = shuffle_each(latents, self.noise(ops.shape(latents)))
        together = self.logits(latents, labels, training)
        apart = self.logits(shuffled, labels, training)
        loss = 0.5 * ops.mean(ops.softplus(-together) + ops.softplus(apart))
        return loss, {"discriminator_loss": loss}

    def logits(self, latents, labels, training):
        """The discriminator's score `(batch, 1)`: large for dependent coordinates."""
        logits = self.discriminator(self.given(latents, labels), training=training)
        return ops.cast(logits, "float32")


def shuffle_each(latents, noise):
    """Each coordinate over the batch, in the order of its own noise (algorithm 1)."""
    return ops.take_along_axis(latents, ops.argsort(noise, axis=0), axis=0)
