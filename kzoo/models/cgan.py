"""Conditional GAN: Mirza and Osindero, arXiv:1411.1784.

Both networks are given the label, the generator so that it draws that class, the
discriminator so that it tells whether the image is a real one of that class. In the
paper's MLP the label has hidden units of its own, which join those of the latents or
pixels: beside hundreds of pixels a one-hot label alone is soon overlooked. Differs
from the paper: normal latents, leaky ReLU instead of ReLU in the generator, dropout in
the discriminator alone, and Adam instead of momentum.
"""

from kzoo import checks
from kzoo.models.gan import GAN
from kzoo.networks.cgan import CGANNetworks


def CGAN(
    image_shape,
    latent_dim=100,
    architecture="mlp",
    num_classes=None,
    name="CGAN",
    **kwargs,
):
    """Conditional GAN (arXiv:1411.1784): draws images of the class that is asked for.

    Logs `discriminator_loss` and `generator_loss`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks: `"mlp"`, the paper's `CGANNetworks()`, or any
            other of `GAN`'s.
        num_classes: number of labels.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Raises:
        ValueError: without `num_classes`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.CGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, epochs=20)
    >>> threes = model.sample(16, labels=3)
    """
    checks.has_classes("CGAN", num_classes)
    if architecture == "mlp":
        architecture = CGANNetworks()
    return GAN(
        image_shape,
        latent_dim,
        architecture,
        num_classes=num_classes,
        name=name,
        **kwargs,
    )
