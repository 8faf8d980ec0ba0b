"""Bounds between the ELBO and IWAE's: Rainforth et al., arXiv:1802.04537.

A tighter bound helps the decoder and starves the encoder of signal. `MIWAE` averages
several bounds of fewer samples, `CIWAE` mixes the ELBO with IWAE's bound, and `PIWAE`
gives each network the bound that suits it: a phase with MIWAE's for the encoder, and
one with IWAE's, of all samples, for the decoder. Differs from the paper: PIWAE's phases
draw their latents anew, and the decoder's sees the encoder after its step.
"""

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.models.iwae import (
    GRADIENTS,
    IWAE,
    Bound,
    check_weights,
    importance_weights,
    paper_networks,
    weight_of_prior,
)
from kzoo.models.vae import VAE
from kzoo.parts.densities import log_mean_exp
from kzoo.parts.divergences import check_normal
from kzoo.parts.likelihoods import Bernoulli


@keras.saving.register_keras_serializable("kzoo")
class GroupedBound(Bound):
    """A mean of several of IWAE's bounds: MIWAE, arXiv:1802.04537, equation 8.

    Args:
        groups: how many, each of `samples` latents of its own; the paper's M.
    """

    def __init__(self, groups=8):
        self.groups = checks.positive_int("groups", groups)

    def __call__(self, log_weights):
        samples = ops.shape(log_weights)[-1] // self.groups
        shape = (-1, self.groups, samples)
        return ops.mean(log_mean_exp(ops.reshape(log_weights, shape)))

    def derivatives(self, log_weights):
        """Times the number of groups."""
        shape = ops.shape(log_weights)
        grouped = (-1, self.groups, shape[-1] // self.groups)
        share = ops.softmax(ops.reshape(log_weights, grouped), axis=-1)
        share = ops.reshape(share, shape)
        return share, share * (1 - share)


@keras.saving.register_keras_serializable("kzoo")
class MixedBound(Bound):
    """beta times the ELBO, 1 - beta times IWAE's bound: CIWAE, arXiv:1802.04537, eq. 9.

    Args:
        elbo_share: the paper's beta, from 0, which is `IWAE`, to 1, which is `VAE`.
    """

    def __init__(self, elbo_share=0.05):
        self.elbo_share = checks.probability("elbo_share", elbo_share)

    def __call__(self, log_weights):
        elbo = ops.mean(log_weights)
        tight = ops.mean(log_mean_exp(log_weights))
        return self.elbo_share * elbo + (1 - self.elbo_share) * tight

    def derivatives(self, log_weights):
        share = ops.softmax(log_weights, axis=-1)
        equal = ops.softmax(ops.zeros_like(log_weights), axis=-1)
        first = self.elbo_share * equal + (1 - self.elbo_share) * share
        return first, (1 - self.elbo_share) * share * (1 - share)


def MIWAE(image_shape, latent_dim=50, samples=8, groups=8, name="MIWAE", **kwargs):
    """Multiply importance weighted autoencoder (arXiv:1802.04537).

    Logs as `IWAE` does. The bound is a mean of `groups` of IWAE's, each of `samples`
    latents of its own.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: latents of each bound, the paper's K.
        groups: how many bounds, its M.
        name: what reports call it.
        **kwargs: any other argument of `IWAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.MIWAE(image_shape=(8, 8, 1), samples=8, groups=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    bound = GroupedBound(groups)
    return IWAE(image_shape, latent_dim, samples, bound=bound, name=name, **kwargs)


def CIWAE(
    image_shape, latent_dim=50, samples=64, elbo_share=0.05, name="CIWAE", **kwargs
):
    """Combination importance weighted autoencoder (arXiv:1802.04537).

    Logs as `IWAE` does. The bound is beta times the ELBO and 1 - beta times IWAE's, of
    the same latents.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: latents of an image in a step, the paper's K.
        elbo_share: its beta, from 0, which is `IWAE`, to 1, which is `VAE`.
        name: what reports call it.
        **kwargs: any other argument of `IWAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.CIWAE(image_shape=(8, 8, 1), elbo_share=0.05)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    bound = MixedBound(elbo_share)
    return IWAE(image_shape, latent_dim, samples, bound=bound, name=name, **kwargs)


@keras.saving.register_keras_serializable("kzoo")
class PIWAE(VAE):
    """Partially importance weighted autoencoder (arXiv:1802.04537).

    Logs `encoder_loss` and `decoder_loss`, the negative bounds of the two phases, and
    the decoder's `reconstruction` and `kl` of one sample, in nats an image.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples, groups: of the encoder's bound, as in `MIWAE`; the decoder's has all
            `samples * groups`.
        gradient: as in `IWAE`, of the encoder's bound.
        architecture, likelihood: as in `IWAE`.
        **kwargs: any other argument of `VAE`. Prior and posterior are normal: weights
            of theirs would belong to neither network.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.PIWAE(image_shape=(8, 8, 1), samples=8, groups=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=50,
        samples=8,
        groups=8,
        gradient="reparameterized",
        architecture=None,
        likelihood=None,
        **kwargs,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            paper_networks() if architecture is None else architecture,
            Bernoulli(binarize=True) if likelihood is None else likelihood,
            **kwargs,
        )
        self.samples = checks.positive_int("samples", samples)
        self.groups = checks.positive_int("groups", groups)
        self.gradient = checks.one_of("gradient", gradient, GRADIENTS)
        check_weights(self)
        check_normal(self, self.prior, self.posterior)
        self.watch("encoder_loss", "decoder_loss", "reconstruction", "kl")

    def default_optimizer(self):
        return {
            "encoder": keras.optimizers.Adam(1e-3, epsilon=1e-4),
            "decoder": keras.optimizers.Adam(1e-3, epsilon=1e-4),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        images = self.likelihood.binarized(images, self.noise)
        logs = self.minimize(self.encoder_loss, images, labels, over="encoder")
        logs |= self.minimize(self.decoder_loss, images, labels, over="decoder")
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        images = self.likelihood.binarized(images, self.noise)
        logs = self.encoder_loss(images, labels, training=False)[1]
        logs |= self.decoder_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def encoder_loss(self, images, labels=None, training=True):
        bound, samples = GroupedBound(self.groups), self.samples * self.groups
        evidence, prior = importance_weights(
            self, bound, images, samples, labels, training
        )
        loss = -bound(evidence + weight_of_prior(self, training) * prior)
        return loss, {"encoder_loss": loss}

    def decoder_loss(self, images, labels=None, training=True):
        samples = self.samples * self.groups
        noise = self.noise((ops.shape(images)[0], samples, self.latent_dim))
        evidence, prior = self.log_weights(images, noise, labels, training)
        weighted = evidence + weight_of_prior(self, training) * prior
        loss = -ops.mean(log_mean_exp(weighted))
        logs = {"reconstruction": -ops.mean(evidence), "kl": -ops.mean(prior)}
        return loss, {"decoder_loss": loss, **logs}
