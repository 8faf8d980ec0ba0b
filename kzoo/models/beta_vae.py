"""Beta-VAE: Higgins et al. 2017 (ICLR), and with a capacity Burgess et al.,
arXiv:1804.03599.

The KL divergence has a weight above 1, so that the posterior comes nearer to the prior,
whose latents are independent: what varies by itself in the images tends to get a latent
of its own. A capacity that grows while the model is trained lets more through in the
end. The networks are those of `VAE`; Burgess et al. had convolutions of 32 maps, 4x4
with stride 2, two dense layers of 256, and 10 latents.
"""

from keras.optimizers import Adam

from kzoo.models.vae import VAE


def BetaVAE(
    image_shape,
    latent_dim=10,
    architecture="conv",
    likelihood="bernoulli",
    beta=4.0,
    divergence="kl",
    optimizers=None,
    name="BetaVAE",
    **kwargs,
):
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
        divergence: as in `VAE`. Burgess et al. take `KL(capacity=25.0,
            capacity_steps=100_000)` for dSprites.
        optimizers: of `compile()`. None means Adam at 5e-4, of arXiv:1804.03599,
            appendix A.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BetaVAE(image_shape=(8, 8, 1), beta=4.0)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        beta,
        divergence,
        optimizers=optimizers or Adam(5e-4),
        name=name,
        **kwargs,
    )
