"""Hyperspherical VAE: Davidson et al., arXiv:1804.00891.

A VAE whose latents are on the unit sphere: posteriors are von Mises-Fisher densities,
the prior is uniform and has no middle that draws them in. Layers, optimizer, batches of
64 and binary draws of the pixels are those of the authors' code for MNIST. Differs from
the paper: latents are drawn by quantiles, not by rejection; see `kzoo.sphere`.
"""

import keras

from kzoo.models.vae import VAE


@keras.saving.register_keras_serializable("kzoo")
class SphericalVAE(VAE):
    """Hyperspherical VAE (arXiv:1804.00891): latents on the unit sphere.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does. `encode` returns mean
    directions, vectors of length 1; `generate` takes any vectors to the sphere first.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: numbers of a latent vector, at least 2; the sphere has one dimension
            fewer. The paper finds it better than a normal VAE for few of them.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to the authors' `(256, 128)` for `"mlp"`, `(32, 64)` for `"conv"`.
        binarize: draws each pixel as 0 or 1 in each step, as in `VAE`. Default: with
            the Bernoulli likelihood, as the paper does.
        **kwargs: any other argument of `VAE` but `prior` and `posterior`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.SphericalVAE(image_shape=(8, 8, 1), latent_dim=4)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = ("posterior", "prior")

    def __init__(
        self,
        image_shape,
        latent_dim=10,
        architecture="mlp",
        likelihood="bernoulli",
        widths=None,
        binarize=None,
        **kwargs,
    ):
        self.refuse(kwargs)
        if widths is None and architecture == "mlp":
            widths = (256, 128)
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            likelihood,
            widths=widths,
            binarize=likelihood == "bernoulli" if binarize is None else binarize,
            prior="sphere",
            posterior="von_mises_fisher",
            **kwargs,
        )
