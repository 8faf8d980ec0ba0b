"""Wasserstein autoencoder: Tolstikhin et al., arXiv:1711.01558.

An autoencoder whose codes, all together, are held to the prior by maximum mean
discrepancy (algorithm 2, WAE-MMD): no image's codes have to hide where the others are,
so reconstructions stay sharp. The encoder is deterministic. Differs from the paper: the
networks are kzoo's, without batch normalisation, and the learning rate stays. WAE-GAN,
its algorithm 1, is the model `AAE`.
"""

import keras
from keras import ops

from kzoo import checks, losses
from kzoo.models.autoencoder import Autoencoder


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
        kernel: `"imq"`, the paper's, or `"rbf"`; see `kzoo.losses`.
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
        self.scale = scale
        self.kernel = checks.one_of("kernel", kernel, losses.KERNELS)

    def watch(self, *names):
        super().watch(*names, "mmd")

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3, beta_1=0.5)

    def regularization(self, codes, labels, training):
        prior = self.prior(self.noise(ops.shape(codes)))
        kernel = losses.KERNELS[self.kernel]
        mmd = losses.maximum_mean_discrepancy(codes, prior, kernel)
        return self.scale * mmd, {"mmd": mmd}

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "kernel": self.kernel}
