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

from kzoo.models.vae import VAE


@keras.saving.register_keras_serializable("kzoo")
class BetaTCVAE(VAE):
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
        alpha, gamma: weights of the mutual information and of the marginal divergence.
        **kwargs: any other argument of `VAE` that is not of its KL divergence: it has
            no `kl`, `warmup_steps`, `capacity`, `free_bits`, `prior` or `posterior`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BetaTCVAE(image_shape=(8, 8, 1), beta=6.0)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = (
        "kl",
        "warmup_steps",
        "capacity",
        "capacity_steps",
        "free_bits",
        "prior",
        "components",
        "posterior",
    )

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="conv",
        likelihood="bernoulli",
        beta=6.0,
        alpha=1.0,
        gamma=1.0,
        **kwargs,
    ):
        self.refuse(kwargs)
        super().__init__(
            image_shape, latent_dim, architecture, likelihood, beta, **kwargs
        )
        self.alpha, self.gamma = alpha, gamma

    def watch(self, *names):
        super().watch(*names, "mutual_information", "total_correlation", "marginal_kl")

    def regularization(self, parameters, latents, log_density, labels, training):
        mean, log_var = parameters
        pairs = ops.square(latents[:, None] - mean) * ops.exp(-log_var) + log_var
        pairs = -0.5 * (pairs + math.log(2 * math.pi))  # (drawn, of image, latent)
        count = ops.log(ops.cast(ops.shape(mean)[0], "float32"))
        joint = ops.logsumexp(ops.sum(pairs, axis=-1), axis=1) - count
        product = ops.sum(ops.logsumexp(pairs, axis=1) - count, axis=-1)
        logs = {
            "mutual_information": ops.mean(log_density - joint),
            "total_correlation": ops.mean(joint - product),
            "marginal_kl": ops.mean(product - self.latent_prior.log_density(latents)),
        }
        weights = self.alpha, self.beta, self.gamma
        loss = sum(w * part for w, part in zip(weights, logs.values(), strict=True))
        return loss, {"kl": sum(logs.values()), **logs}

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}
