"""Beta-TCVAE: Chen et al., arXiv:1802.04942.

The KL divergence to the prior is a sum of three (equation 2): what the latents say of
which image it was, how far they depend on each other, and how far each is from its own
prior. Only the second, the total correlation, gets the heavy weight. The density of a
latent over all images is estimated by the batch, an image's own posterior included, as
in Locatello et al., arXiv:1811.12359, not weighted by the size of the data set: that
changes the three logs by constants, and no gradient.
"""

import math

import keras
from keras import ops

from kzoo import checks
from kzoo.models.vae import VAE
from kzoo.parts.divergences import Divergence, check_normal


@keras.saving.register_keras_serializable("kzoo")
class TotalCorrelation(Divergence):
    """alpha * mutual information + beta * total correlation + gamma * marginal KL.

    Chen et al., arXiv:1802.04942, equation 2, estimated by one draw an image; `beta` is
    the model's. Logs the three in nats, and `kl`, their sum.

    Args:
        alpha: weight of the mutual information of image and latents.
        gamma: weight of the divergence of each latent from its own prior.
    """

    logs = ("kl", "mutual_information", "total_correlation", "marginal_kl")

    def __init__(self, alpha=1.0, gamma=1.0):
        self.alpha = checks.number("alpha", alpha, least=0)
        self.gamma = checks.number("gamma", gamma, least=0)

    def check(self, prior, posterior):
        check_normal(self, prior, posterior)

    def __call__(self, model, parameters, latents, log_density, training):
        mean, log_var = parameters
        pairs = ops.square(latents[:, None] - mean) * ops.exp(-log_var) + log_var
        pairs = -0.5 * (pairs + math.log(2 * math.pi))  # (drawn, of image, latent)
        count = ops.log(ops.cast(ops.shape(mean)[0], "float32"))
        joint = ops.logsumexp(ops.sum(pairs, axis=-1), axis=1) - count
        product = ops.sum(ops.logsumexp(pairs, axis=1) - count, axis=-1)
        information = ops.mean(log_density - joint)
        correlation = ops.mean(joint - product)
        marginal = ops.mean(product - model.prior.log_density(latents))
        loss = self.alpha * information + model.beta * correlation
        loss = loss + self.gamma * marginal
        return loss, {
            "kl": information + correlation + marginal,
            "mutual_information": information,
            "total_correlation": correlation,
            "marginal_kl": marginal,
        }


def BetaTCVAE(
    image_shape,
    latent_dim=10,
    architecture="conv",
    likelihood="bernoulli",
    beta=6.0,
    divergence=None,
    name="BetaTCVAE",
    **kwargs,
):
    """Beta-TCVAE (arXiv:1802.04942): latents that do not depend on each other.

    Logs `loss`, `reconstruction`, `kl`, and its three parts in nats, estimated by one
    draw an image: `mutual_information`, `total_correlation` and `marginal_kl`. Their
    sum is the `kl` of the same draws.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        beta: weight of the total correlation. The paper takes 6 for dSprites.
        divergence: None means `TotalCorrelation()`, with the weights 1 of the others.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BetaTCVAE(image_shape=(8, 8, 1), beta=6.0)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        beta,
        divergence or TotalCorrelation(),
        name=name,
        **kwargs,
    )
