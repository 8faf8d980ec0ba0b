"""Least squares GAN: Mao et al., arXiv:1611.04076.

The discriminator is regressed to 1 for real images and 0 for fake ones, the generator
makes it say 1 (equation 9): a fake that is judged real but lies far from the real ones
still has a gradient. The networks are DCGAN's, as in the paper's comparison of
stability. Differs from the paper: normal latents instead of uniform ones. Its LSUN
scenes of 112 pixels had deeper networks, 1024 latents, and Adam at 1e-3.
"""

from kzoo.models.gan import GAN


def LSGAN(
    image_shape,
    latent_dim=100,
    architecture="dcgan",
    loss="least_squares",
    name="LSGAN",
    **kwargs,
):
    """Least squares GAN (arXiv:1611.04076): a gradient wherever the fakes are.

    `GAN` with DCGAN's networks and squared errors. Logs `discriminator_loss` and
    `generator_loss`, half of mean squared errors.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture, loss: as in `GAN`.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.LSGAN(image_shape=(28, 28, 1))
    >>> model.compile()
    """
    return GAN(image_shape, latent_dim, architecture, loss, name=name, **kwargs)
