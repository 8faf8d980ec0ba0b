"""Hyperspherical VAE: Davidson et al., arXiv:1804.00891.

A VAE whose latents are on the unit sphere: posteriors are von Mises-Fisher densities,
the prior is uniform and has no middle that draws them in. Layers, optimizer, batches of
64 and binary draws of the pixels are those of the authors' code for MNIST. Differs from
the paper: latents are drawn by quantiles, not by rejection; see `kzoo.parts.sphere`.
"""

from kzoo.models.vae import VAE
from kzoo.networks.autoencoder import MLPEncoderDecoder
from kzoo.parts.likelihoods import Bernoulli


def SphericalVAE(
    image_shape,
    latent_dim=10,
    architecture="mlp",
    likelihood=None,
    name="SphericalVAE",
    **kwargs,
):
    """Hyperspherical VAE (arXiv:1804.00891): latents on the unit sphere.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does. `encode` returns mean
    directions, vectors of length 1; `generate` takes any vectors to the sphere first.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: numbers of a latent vector, at least 2; the sphere has one dimension
            fewer. The paper finds it better than a normal VAE for few of them.
        architecture: as in `VAE`. `"mlp"` means the authors' widths `(256, 128)`.
        likelihood: of pixels, as in `VAE`. None means the paper's
            `Bernoulli(binarize=True)`.
        name: what reports call it.
        **kwargs: any other argument of `VAE`, whose prior and posterior are on the
            sphere.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.SphericalVAE(image_shape=(8, 8, 1), latent_dim=4)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    if architecture == "mlp":
        architecture = MLPEncoderDecoder((256, 128))
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        Bernoulli(binarize=True) if likelihood is None else likelihood,
        prior="sphere",
        posterior="von_mises_fisher",
        name=name,
        **kwargs,
    )
