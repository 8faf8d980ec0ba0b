"""DIP-VAE: Kumar et al., arXiv:1711.00848.

A VAE whose latents, over the batch, are pulled towards variance 1 and covariance 0:
those of the posterior means (DIP-VAE-I), or of the latents as they are
drawn (DIP-VAE-II).
"""

import keras
from keras import ops

from kzoo import checks
from kzoo.models.vae import VAE
from kzoo.parts.divergences import KL, check_normal

KINDS = ("I", "II")


@keras.saving.register_keras_serializable("kzoo")
class MomentMatching(KL):
    """`KL`, and the squares of what the latents' covariances differ from I by.

    Kumar et al., arXiv:1711.00848, equations 6 and 7. Logs `covariance` and `variance`
    too, the sums of squares of what should be 0, before their weights.

    Args:
        kind: `"I"`, of the posterior means over the batch, or `"II"`, of the latents as
            they are drawn.
        covariance_weight: the paper's lambda_od.
        variance_weight: its lambda_d: 10 times the other for `"I"`, as much for `"II"`
            in the paper's experiments.
        **kwargs: those of `KL`.
    """

    logs = ("kl", "covariance", "variance")

    def __init__(
        self, kind="II", covariance_weight=10.0, variance_weight=10.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.kind = checks.one_of("kind", kind, KINDS)
        self.covariance_weight = checks.number(
            "covariance_weight", covariance_weight, least=0
        )
        self.variance_weight = checks.number(
            "variance_weight", variance_weight, least=0
        )

    def check(self, prior, posterior):
        super().check(prior, posterior)
        check_normal(self, None, posterior)

    def __call__(self, model, parameters, latents, log_density, training):
        drawn = parameters, latents, log_density
        loss, logs = super().__call__(model, *drawn, training)
        covariance, variance = self.excess(*parameters)
        loss = loss + self.covariance_weight * covariance
        loss = loss + self.variance_weight * variance
        return loss, {**logs, "covariance": covariance, "variance": variance}

    def excess(self, mean, log_var):
        """Sums of squares of the covariances, and of the variances less 1."""
        moved = mean - ops.mean(mean, axis=0)
        count = ops.cast(ops.shape(mean)[0], "float32")
        matrix = ops.matmul(ops.transpose(moved), moved) / count
        diagonal = ops.diagonal(matrix)
        covariance = ops.sum(ops.square(matrix)) - ops.sum(ops.square(diagonal))
        if self.kind == "II":
            diagonal = diagonal + ops.mean(ops.exp(log_var), axis=0)
        return covariance, ops.sum(ops.square(diagonal - 1))


def DIPVAE(
    image_shape,
    latent_dim=10,
    architecture="conv",
    likelihood="bernoulli",
    divergence=None,
    name="DIPVAE",
    **kwargs,
):
    """DIP-VAE (arXiv:1711.00848): uncorrelated latents by their moments.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does, and `covariance` and
    `variance`, the sums of squares of what should be 0, before their weights.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        divergence: None means `MomentMatching()`, the paper's kind II.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.DIPVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        divergence=divergence or MomentMatching(),
        name=name,
        **kwargs,
    )
