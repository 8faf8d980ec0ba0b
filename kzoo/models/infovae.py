"""InfoVAE: Zhao et al., arXiv:1706.02262.

Beside the divergence of each image's posterior from the prior, the divergence of all
latents together, by maximum mean discrepancy: the first may be weighted
down to 0, so that latents say much of the image, and the second holds them in the
place where `sample` will draw.
"""

import keras

from kzoo import checks
from kzoo.models.vae import VAE
from kzoo.parts.densities import KERNELS, maximum_mean_discrepancy
from kzoo.parts.divergences import KL


@keras.saving.register_keras_serializable("kzoo")
class KLAndMMD(KL):
    """(1 - alpha) kl + (alpha + scale - 1) mmd: Zhao et al., arXiv:1706.02262, eq. 6.

    `kl` is weighted as by `KL`, the model's `beta` included. Logs `mmd` too, the
    squared discrepancy of latents and prior, about 0 where they are spread alike.

    Args:
        alpha: 0 keeps the KL divergence, 1 leaves it out (the paper's MMD-VAE).
        scale: the paper's lambda: how much the discrepancy weighs.
        kernel: `"rbf"` or `"imq"`; see `kzoo.parts.densities`.
        **kwargs: those of `KL`.
    """

    logs = ("kl", "mmd")

    def __init__(self, alpha=0.0, scale=1000.0, kernel="rbf", **kwargs):
        super().__init__(**kwargs)
        self.alpha = checks.probability("alpha", alpha)
        # By the sum, which is the weight of the discrepancy.
        self.scale = checks.number("scale", scale, least=1 - self.alpha)
        self.kernel = checks.one_of("kernel", kernel, KERNELS)

    def __call__(self, model, parameters, latents, log_density, training):
        drawn = parameters, latents, log_density
        weighted, logs = super().__call__(model, *drawn, training)
        prior = model.latents_like(latents)
        mmd = maximum_mean_discrepancy(latents, prior, KERNELS[self.kernel])
        loss = (1 - self.alpha) * weighted + (self.alpha + self.scale - 1) * mmd
        return loss, {**logs, "mmd": mmd}


def InfoVAE(
    image_shape,
    latent_dim=10,
    architecture="mlp",
    likelihood="bernoulli",
    divergence=None,
    name="InfoVAE",
    **kwargs,
):
    """InfoVAE (arXiv:1706.02262): latents that say more of the image.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does, and `mmd`, the squared
    discrepancy, about 0 where latents are spread like the prior.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        divergence: None means `KLAndMMD()`: alpha 0, lambda 1000 and the kernel
            `"rbf"`.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.InfoVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        divergence=divergence or KLAndMMD(),
        name=name,
        **kwargs,
    )
