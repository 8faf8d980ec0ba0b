"""VAE with a VampPrior: Tomczak and Welling, arXiv:1705.07120.

The prior is the mean posterior of a few hundred images that are learned with the rest:
it lies where the posteriors lie, and fewer latents stay unused. Differs from the
paper's one-level model: the hidden layers are not gated, and pixels stay grey, unless
`binarize` draws them as 0 or 1 anew in each step. Its schedule for MNIST: batches of
100, up to 2000 epochs, the KL divergence weighted from 0 to 1 over the first 100.
"""

import keras

from kzoo.models.vae import VAE


@keras.saving.register_keras_serializable("kzoo")
class VampVAE(VAE):
    """VAE with a VampPrior (arXiv:1705.07120): a prior learned as images.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does. The learned images are
    `model.latent_prior.pseudo_inputs`, `(components, height, width, channels)`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        components: how many images the prior learns. The paper takes 500 for MNIST.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to the paper's `(300, 300)` for `"mlp"`, `(32, 64)` for `"conv"`.
        **kwargs: any other argument of `VAE` but `prior`, say `binarize=True` for
            likelihoods that can be compared.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VampVAE(image_shape=(8, 8, 1), components=50)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    fixed = ("prior",)

    def __init__(
        self,
        image_shape,
        latent_dim=40,
        architecture="mlp",
        likelihood="bernoulli",
        components=500,
        widths=None,
        **kwargs,
    ):
        self.refuse(kwargs)
        if widths is None and architecture == "mlp":
            widths = (300, 300)
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            likelihood,
            components=components,
            widths=widths,
            prior="vamp",
            **kwargs,
        )

    def default_optimizer(self):
        return keras.optimizers.Adam(5e-4)
