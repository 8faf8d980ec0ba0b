"""Conditional VAE: Sohn et al. 2015 (NeurIPS), and Kingma et al., arXiv:1406.5298.

Encoder and decoder are given the label beside their input: the bound is that of
log p(image | label), and the latents are left with what the label does not say, such as
the style of a digit. As in Kingma et al.'s model M2 with all labels known, the latents
do not depend on the label; Sohn et al. learn a prior for each.
"""

from kzoo import checks
from kzoo.models.vae import VAE


def CVAE(
    image_shape,
    num_classes,
    latent_dim=20,
    architecture="mlp",
    likelihood="bernoulli",
    name="CVAE",
    **kwargs,
):
    """Conditional VAE (arXiv:1406.5298): draws the label that you ask for.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does, given the labels.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: number of labels.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        name: what reports call it.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.CVAE(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, epochs=20)
    >>> sevens = model.sample(16, labels=7)
    """
    return VAE(
        image_shape,
        latent_dim,
        architecture,
        likelihood,
        num_classes=checks.positive_int("num_classes", num_classes),
        name=name,
        **kwargs,
    )
