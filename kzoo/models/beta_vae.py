"""Beta-VAE: Higgins et al. 2017 (ICLR), and with a capacity Burgess et al.,
arXiv:1804.03599.

The KL divergence has a weight above 1, so that the posterior comes nearer to the prior,
whose latents are independent: what varies by itself in the images tends to get a latent
of its own. A capacity that grows while the model is trained lets more through in the
end. The networks are those of `VAE`; Burgess et al. had convolutions of 32 maps, 4x4
with stride 2, two dense layers of 256, and 10 latents.
"""

import keras

from kzoo.models.vae import VAE


@keras.saving.register_keras_serializable("kzoo")
class BetaVAE(VAE):
    """Beta-VAE (arXiv:1804.03599): latents that mean one thing each.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does. The loss is no bound of the
    likelihood; `elbo` and `log_likelihood` are still those of the model.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        beta: weight of the KL divergence; with a capacity, of its distance to that,
            for which Burgess et al. take 1000.
        capacity: nats that the KL divergence is held at in the end, or None. Burgess
            et al. take 25 for dSprites.
        capacity_steps: steps over which the capacity grows from 0.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BetaVAE(image_shape=(8, 8, 1), beta=4.0)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="conv",
        likelihood="bernoulli",
        beta=4.0,
        capacity=None,
        capacity_steps=0,
        **kwargs,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            likelihood,
            beta,
            capacity=capacity,
            capacity_steps=capacity_steps,
            **kwargs,
        )

    def default_optimizer(self):
        return keras.optimizers.Adam(5e-4)  # of arXiv:1804.03599, appendix A
