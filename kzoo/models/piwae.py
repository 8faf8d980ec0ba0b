"""Bounds between the ELBO and IWAE's: Rainforth et al., arXiv:1802.04537.

A tighter bound helps the decoder and starves the encoder of signal. `MIWAE` averages
several bounds of fewer samples, `CIWAE` mixes the ELBO with IWAE's bound, and `PIWAE`
gives each network the bound that suits it: a phase with MIWAE's for the encoder, and
one with IWAE's, of all samples, for the decoder. Differs from the paper: PIWAE's phases
draw their latents anew, and the decoder's sees the encoder after its step.
"""

import keras
from keras import ops

from kzoo import backend, checks, losses
from kzoo.models.iwae import IWAE


@keras.saving.register_keras_serializable("kzoo")
class MIWAE(IWAE):
    """Multiply importance weighted autoencoder (arXiv:1802.04537).

    Logs as `IWAE` does. The bound is a mean of `groups` of IWAE's, each of `samples`
    latents of its own.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: latents of each bound, the paper's K.
        groups: how many bounds, its M.
        **kwargs: any other argument of `IWAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.MIWAE(image_shape=(8, 8, 1), samples=8, groups=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(self, image_shape, latent_dim=50, samples=8, groups=8, **kwargs):
        super().__init__(image_shape, latent_dim, samples, **kwargs)
        self.groups = checks.positive_int("groups", groups)

    @property
    def draws_per_image(self):
        return self.samples * self.groups

    def bound(self, log_weights):
        shape = (-1, self.groups, self.samples)
        return ops.mean(losses.log_mean_exp(ops.reshape(log_weights, shape)))

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}


@keras.saving.register_keras_serializable("kzoo")
class CIWAE(IWAE):
    """Combination importance weighted autoencoder (arXiv:1802.04537).

    Logs as `IWAE` does. The bound is beta times the ELBO and 1 - beta times IWAE's, of
    the same latents.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: latents of an image in a step, the paper's K.
        elbo_share: its beta, from 0, which is `IWAE`, to 1, which is `VAE`.
        **kwargs: any other argument of `IWAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.CIWAE(image_shape=(8, 8, 1), elbo_share=0.05)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self, image_shape, latent_dim=50, samples=64, elbo_share=0.05, **kwargs
    ):
        super().__init__(image_shape, latent_dim, samples, **kwargs)
        if not 0 <= elbo_share <= 1:
            raise ValueError(
                "Expected elbo_share to be a number from 0 to 1. Received: "
                f"elbo_share={elbo_share!r}."
            )
        self.elbo_share = elbo_share

    def bound(self, log_weights):
        elbo = ops.mean(log_weights)
        tight = super().bound(log_weights)
        return self.elbo_share * elbo + (1 - self.elbo_share) * tight

    def get_config(self):
        return {**super().get_config(), "elbo_share": self.elbo_share}


@keras.saving.register_keras_serializable("kzoo")
class PIWAE(MIWAE):
    """Partially importance weighted autoencoder (arXiv:1802.04537).

    Logs `encoder_loss` and `decoder_loss`, the negative bounds of the two phases, and
    the decoder's `reconstruction` and `kl` of one sample, in nats an image.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples, groups: of the encoder's bound, as in `MIWAE`; the decoder's has all
            `samples * groups`.
        **kwargs: any other argument of `IWAE` but `prior` and `posterior`, which are
            normal: their weights would belong to neither network.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.PIWAE(image_shape=(8, 8, 1), samples=8, groups=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = (*IWAE.fixed, "prior", "components", "posterior")

    def __init__(self, image_shape, latent_dim=50, samples=8, groups=8, **kwargs):
        super().__init__(image_shape, latent_dim, samples, groups, **kwargs)
        self.watch("encoder_loss", "decoder_loss", "reconstruction", "kl")

    def default_optimizer(self):
        return {
            "encoder": keras.optimizers.Adam(1e-3, epsilon=1e-4),
            "decoder": keras.optimizers.Adam(1e-3, epsilon=1e-4),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        images = self.binarized(images)
        logs = self.minimize(self.encoder_loss, images, labels, over="encoder")
        logs |= self.minimize(self.decoder_loss, images, labels, over="decoder")
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        images = self.binarized(images)
        logs = self.encoder_loss(images, labels, training=False)[1]
        logs |= self.decoder_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def encoder_loss(self, images, labels=None, training=True):
        weights = self.weighted(images, self.latent_noise(images), labels, training)
        loss = -self.bound(sum(weights))
        return loss, {"encoder_loss": loss}

    def decoder_loss(self, images, labels=None, training=True):
        noise = self.latent_noise(images)
        evidence, prior = self.weighted(images, noise, labels, training)
        loss = -ops.mean(losses.log_mean_exp(evidence + prior))
        logs = {"reconstruction": -ops.mean(evidence), "kl": -ops.mean(prior)}
        return loss, {"decoder_loss": loss, **logs}
