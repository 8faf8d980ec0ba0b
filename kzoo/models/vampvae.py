"""VAE with a VampPrior: Tomczak and Welling, arXiv:1705.07120.

The prior is the mean posterior of a few hundred images that are learned with the rest:
it lies where the posteriors lie, and fewer latents stay unused. Differs from the
paper's one-level model: the hidden layers are not gated, log variances start at -2 for
every image, and pixels stay grey, unless `Bernoulli(binarize=True)` draws them as 0 or
1 anew in each step. Its schedule for
MNIST: batches of 100, up to 2000 epochs, the KL divergence weighted from 0 to 1 over
the first 100.
"""

from keras.optimizers import Adam

from kzoo.models.vae import VAE
from kzoo.networks.autoencoder import MLPEncoderDecoder
from kzoo.parts.posteriors import DiagonalNormal
from kzoo.parts.priors import VampPrior


def VampVAE(
    image_shape,
    latent_dim=40,
    architecture="mlp",
    likelihood="bernoulli",
    prior="vamp",
    posterior=None,
    optimizers=None,
    name="VampVAE",
    **kwargs,
):
    """VAE with a VampPrior (arXiv:1705.07120): a prior learned as images.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does. The learned images are
    `model.prior.pseudo_inputs`, `(components, height, width, channels)`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: as in `VAE`. `"mlp"` means the paper's widths `(300, 300)`.
        likelihood: of pixels, as in `VAE`, say `Bernoulli(binarize=True)` for
            likelihoods that can be compared.
        prior: `"vamp"`, of 500 images, as the paper takes for MNIST, or
            `VampPrior(components)`; see there for images that are not mostly black.
        posterior: as in `VAE`. None means normal with log variances in [-6, 2], as in
            the authors' code (jmtomczak/vae_vampprior).
        optimizers: of `compile()`. None means Adam at 5e-4.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> prior = kzoo.parts.VampPrior(50)
    >>> model = kzoo.models.VampVAE(image_shape=(8, 8, 1), prior=prior)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """
    if prior != "vamp" and not isinstance(prior, VampPrior):
        raise ValueError(
            "Expected prior='vamp' or VampPrior(components). Received: "
            f"prior={prior!r}. For another prior take VAE."
        )
    if architecture == "mlp":
        architecture = MLPEncoderDecoder((300, 300))
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        prior=prior,
        posterior=posterior or DiagonalNormal(log_var_range=(-6.0, 2.0)),
        optimizers=optimizers or Adam(5e-4),
        name=name,
        **kwargs,
    )
