"""InfoVAE: Zhao et al., arXiv:1706.02262.

Beside the divergence of each image's posterior from the prior, the divergence of all
latents together, by maximum mean discrepancy: the first may be weighted
down to 0, so that latents say much of the image, and the second holds them in the
place where `sample` will draw.
"""

import keras
from keras import ops

from kzoo import checks, losses
from kzoo.models.vae import VAE


@keras.saving.register_keras_serializable("kzoo")
class InfoVAE(VAE):
    """InfoVAE (arXiv:1706.02262): latents that say more of the image.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does, and `mmd`, the squared
    discrepancy, about 0 where latents are spread like the prior. The loss is
    reconstruction + (1 - alpha) kl + (alpha + scale - 1) mmd.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        alpha: 0 keeps the KL divergence, 1 leaves it out (the paper's MMD-VAE).
        scale: the paper's lambda: how much the discrepancy weighs.
        kernel: `"rbf"` or `"imq"`, as in `WAE`.
        **kwargs: any other argument of `VAE` that is not of its KL divergence: it has
            no `beta`, `warmup_steps`, `capacity` or `free_bits`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.InfoVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = ("beta", "warmup_steps", "capacity", "capacity_steps", "free_bits")

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="mlp",
        likelihood="bernoulli",
        alpha=0.0,
        scale=1000.0,
        kernel="rbf",
        **kwargs,
    ):
        self.refuse(kwargs)
        super().__init__(image_shape, latent_dim, architecture, likelihood, **kwargs)
        self.alpha, self.scale = alpha, scale
        self.kernel = checks.one_of("kernel", kernel, losses.KERNELS)

    def watch(self, *names):
        super().watch(*names, "mmd")

    def regularization(self, parameters, latents, log_density, labels, training):
        kl, _ = self.divergence(parameters, latents, log_density)
        normal = self.noise((ops.shape(latents)[0], self.prior_size))
        kernel = losses.KERNELS[self.kernel]
        mmd = losses.maximum_mean_discrepancy(latents, self.prior(normal), kernel)
        loss = (1 - self.alpha) * kl + (self.alpha + self.scale - 1) * mmd
        return loss, {"kl": kl, "mmd": mmd}

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "scale": self.scale,
            "kernel": self.kernel,
        }
