"""Wasserstein autoencoder: Tolstikhin et al., arXiv:1711.01558.

An autoencoder whose codes, all together, are held to the prior by maximum mean
discrepancy (algorithm 2, WAE-MMD): no image's codes have to hide where the others are,
so reconstructions stay sharp. The encoder is deterministic. Differs from the paper: the
networks are kzoo's, without batch normalisation, and the learning rate stays. WAE-GAN,
its algorithm 1, is the model `AAE`.
"""

import keras

from kzoo import checks
from kzoo.models.autoencoder import Autoencoder
from kzoo.parts.densities import KERNELS, maximum_mean_discrepancy


@keras.saving.register_keras_serializable("kzoo")
class WAE(Autoencoder):
    """Wasserstein autoencoder (arXiv:1711.01558): sharp, and yet to draw from.

    Logs `loss` and `reconstruction` as `Autoencoder` does, and `mmd`, the squared
    discrepancy of codes and prior, about 0 where they are spread alike.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents. The paper takes 8 for MNIST.
        architecture: `"mlp"` or `"conv"`, as in `Autoencoder`.
        scale: the paper's lambda: how much the discrepancy weighs, 10 for MNIST.
        kernel: `"imq"`, the paper's, or `"rbf"`; see `kzoo.parts.densities`.
        **kwargs: any other argument of `Autoencoder`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.WAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=8,
        architecture="conv",
        scale=10.0,
        kernel="imq",
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, architecture, **kwargs)
        self.scale = checks.number("scale", scale, least=0)
        self.kernel = checks.one_of("kernel", kernel, KERNELS)

    def further_logs(self):
        return ["mmd"]

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3, beta_1=0.5)

    def regularization(self, codes, labels, training):
        prior = self.latents_like(codes, labels)
        kernel = KERNELS[self.kernel]
        mmd = maximum_mean_discrepancy(codes, prior, kernel)
        return self.scale * mmd, {"mmd": mmd}
