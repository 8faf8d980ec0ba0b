"""DIP-VAE: Kumar et al., arXiv:1711.00848.

A VAE whose latents, over the batch, are pulled towards variance 1 and covariance 0:
those of the posterior means (DIP-VAE-I), or of the latents as they are
drawn (DIP-VAE-II).
"""

import keras
from keras import ops

from kzoo import checks
from kzoo.models.vae import VAE

KINDS = ("I", "II")


@keras.saving.register_keras_serializable("kzoo")
class DIPVAE(VAE):
    """DIP-VAE (arXiv:1711.00848): uncorrelated latents by their moments.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does, and `covariance` and
    `variance`, the sums of squares of what should be 0, before their weights.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        kind: `"I"` or `"II"`.
        covariance_weight: the paper's lambda_od.
        variance_weight: its lambda_d: 10 times the other for `"I"`, as much for `"II"`
            in the paper's experiments.
        **kwargs: any other argument of `VAE` but `posterior`, which is normal.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.DIPVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = ("posterior",)

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="conv",
        likelihood="bernoulli",
        kind="II",
        covariance_weight=10.0,
        variance_weight=10.0,
        **kwargs,
    ):
        self.refuse(kwargs)
        super().__init__(image_shape, latent_dim, architecture, likelihood, **kwargs)
        self.kind = checks.one_of("kind", kind, KINDS)
        self.covariance_weight = covariance_weight
        self.variance_weight = variance_weight

    def watch(self, *names):
        super().watch(*names, "covariance", "variance")

    def regularization(self, parameters, latents, log_density, labels, training):
        drawn = parameters, latents, log_density, labels
        loss, logs = super().regularization(*drawn, training)
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

    def get_config(self):
        return {
            **super().get_config(),
            "kind": self.kind,
            "covariance_weight": self.covariance_weight,
            "variance_weight": self.variance_weight,
        }
