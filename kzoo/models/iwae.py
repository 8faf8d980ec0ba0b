"""Importance weighted autoencoder: Burda et al., arXiv:1509.00519.

The VAE's networks with a tighter bound: the logarithm of a mean of k importance weights
(equation 8). The more samples, the less the gradient of the encoder says (Rainforth et
al., arXiv:1802.04537); two estimators without that fault may be chosen: STL of Roeder
et al., arXiv:1703.09194, which leaves out a part whose mean is 0 for a bound of one
sample and is biased for more, and DReG of Tucker et al., arXiv:1810.04152, which is
unbiased for every bound here, any number of samples and any beta.
Differs from the paper: one layer of latents, and the rate of Adam does not fall unless
you let it, as benchmarks/likelihood.py does.
"""

import keras
from keras import ops

from kzoo import checks, config
from kzoo.config import Part
from kzoo.models.vae import VAE
from kzoo.networks.autoencoder import MLPEncoderDecoder
from kzoo.parts.densities import log_mean_exp, normal_log_density
from kzoo.parts.divergences import KL, check_normal
from kzoo.parts.likelihoods import Bernoulli

GRADIENTS = ("dreg", "reparameterized", "stl")


class Bound(Part):
    """A bound of log p(image), made of the importance weights of its latents."""

    groups = 1  # of latents, which are `samples` in each group

    def __call__(self, log_weights):
        """In nats, the mean over images: `(batch, groups * samples)` to a scalar."""
        raise NotImplementedError

    def derivatives(self, log_weights):
        """First and second derivative of an image's bound by each log weight.

        Both `(batch, groups * samples)`, or both times the same factor. For
        `gradient="dreg"`.
        """
        raise NotImplementedError(
            f"gradient='dreg' needs the derivatives of the bound. Expected a method "
            f"`derivatives` of {type(self).__name__}. Write one, or leave gradient out."
        )


@keras.saving.register_keras_serializable("kzoo")
class ImportanceBound(Bound):
    """log of the mean weight: Burda et al., arXiv:1509.00519, equation 8."""

    def __call__(self, log_weights):
        return ops.mean(log_mean_exp(log_weights))

    def derivatives(self, log_weights):
        share = ops.softmax(log_weights, axis=-1)
        return share, share * (1 - share)


BOUNDS = {"importance": ImportanceBound}


@keras.saving.register_keras_serializable("kzoo")
class IWAE(VAE):
    """Importance weighted autoencoder (arXiv:1509.00519): a VAE with a tighter bound.

    Logs `loss`, the negative bound of k samples, and the parts of the bound of one
    sample, `reconstruction` and `kl`, all in nats an image. The networks are the
    paper's: 200-200 tanh units on each side, 50 latents, binarised pixels.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: k, the latents drawn for an image in a step. 1 is a VAE.
        gradient: `"reparameterized"`, that of the bound itself; or for the encoder
            `"stl"`, biased for more than one sample, or `"dreg"`, which is unbiased and
            runs the decoder twice.
        bound: `"importance"`, or an object such as those of `MIWAE` and `CIWAE`.
        architecture: as in `VAE`. None means the paper's.
        likelihood: as in `VAE`. None means `Bernoulli(binarize=True)`.
        **kwargs: any other argument of `VAE`. `beta` and `KL(warmup_steps=...)` weigh
            log p(latents) - log q(latents | image) in each importance weight.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.IWAE(image_shape=(8, 8, 1), samples=5)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.log_likelihood(images, samples=5000).mean()
    """

    def __init__(
        self,
        image_shape,
        latent_dim=50,
        samples=5,
        gradient="reparameterized",
        bound="importance",
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
        self.gradient = checks.one_of("gradient", gradient, GRADIENTS)
        self.bound = config.part("bound", bound, Bound, BOUNDS)
        check_weights(self)

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3, epsilon=1e-4)

    def negative_elbo(self, images, labels=None, training=True):
        images = self.likelihood.binarized(images, self.noise)
        evidence, prior = importance_weights(
            self, self.bound, images, self.samples * self.bound.groups, labels, training
        )
        loss = -self.bound(evidence + weight_of_prior(self, training) * prior)
        logs = {"reconstruction": -ops.mean(evidence), "kl": -ops.mean(prior)}
        return loss, {"loss": loss, **logs}


def paper_networks():
    """The networks of Burda et al.: 200-200 tanh units on each side."""
    return MLPEncoderDecoder((200, 200), "tanh")


def importance_weights(model, bound, images, samples, labels, training):
    """`model.log_weights` of fresh latents, with the gradients of `model.gradient`.

    With "dreg" those of the latents are scaled: see `latents_share`.
    """
    noise = model.noise((ops.shape(images)[0], samples, model.latent_dim))
    if model.gradient == "reparameterized" or not training:
        return model.log_weights(images, noise, labels, training)
    parameters, latents, log_density = model.draws(images, noise, labels, training)
    if model.gradient == "dreg":
        weights = model.weigh(images, latents, log_density, labels, training)
        share = latents_share(bound, *weights, weight_of_prior(model, training))
        share = ops.stop_gradient(ops.reshape(share, (-1, 1)))
        latents = scale_gradient(latents, share)
    # The encoder learns by where the latents are, not by how they are judged.
    fixed = [ops.stop_gradient(p) for p in parameters]
    log_density = normal_log_density(latents, *fixed)
    return model.weigh(images, latents, log_density, labels, training)


def latents_share(bound, evidence, prior, beta):
    """DReG's factor on the gradient by each latent, as shares of the bound's.

    With the log weights l = evidence + beta * prior, the bound's derivatives b' and b''
    by them, and latents z of the encoder's parameters, the bound's gradient by these is

        E[sum b' (dl/dz dz - beta d log q)] = E[sum (b' - beta b'') dl/dz dz],

    as E[f d log q] = E[df/dz dz] (Tucker et al., arXiv:1810.04152, equation 5) turns
    the part of log q, with f = b', into one by the latents. So 1 - beta b'' / b' of the
    usual gradient, b' dl/dz dz, remains: the weights themselves in IWAE's bound with
    beta = 1, where b' is the weight w and b'' is w (1 - w).

    Args:
        bound: a `Bound` with `derivatives`.
        evidence, prior: parts of the log weights, `(batch, samples)`.
        beta: number that `prior` is multiplied by.

    Returns:
        `(batch, samples)`.
    """
    first, second = bound.derivatives(evidence + beta * prior)
    # A weight that is rounded to 0 has no gradient, whatever its share.
    return 1 - beta * second / ops.maximum(first, 1e-30)


def weight_of_prior(model, training):
    """What log p(latents) - log q(latents | image) is multiplied by: beta, ramped."""
    return model.beta * model.ramp(model.divergence.warmup_steps, training)


def check_weights(model):
    """Raises a `ValueError` for what importance weights cannot be made with."""
    received = model.divergence
    if received != KL(warmup_steps=getattr(received, "warmup_steps", 0)):
        raise ValueError(
            f"{type(model).__name__} samples its bound. Expected divergence='kl' or "
            f"KL(warmup_steps=...). Received: divergence={received!r}."
        )
    if model.gradient != "reparameterized":
        check_normal(model, None, model.posterior)


def scale_gradient(tensor, factor):
    """The tensor itself, of whose gradient only the `factor` is passed on."""
    return factor * tensor + ops.stop_gradient((1 - factor) * tensor)
