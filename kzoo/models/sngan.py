"""Spectrally normalised GAN: Miyato et al., arXiv:1802.05957.

`GAN` with residual networks, the hinge loss and a discriminator whose kernels are
divided by their largest singular value. Labels enter as in Miyato and Koyama,
arXiv:1802.05637.
"""

from keras.optimizers import Adam

from kzoo.models.gan import GAN
from kzoo.networks.architectures import named


def SNGAN(
    image_shape,
    latent_dim=128,
    architecture="resnet",
    loss="hinge",
    discriminator_steps=5,
    optimizers=None,
    name="SNGAN",
    **kwargs,
):
    """Spectrally normalised GAN (arXiv:1802.05957): a Lipschitz discriminator.

    The discriminator cannot get steep, as each layer's largest singular value is held
    at 1, and so has slopes to offer to the generator however far it is ahead. Labels
    enter by projection (arXiv:1802.05637). Logs `discriminator_loss` and
    `generator_loss`.

    Differs from the papers: the learning rates are constant, where the authors let them
    fall linearly to 0 (pass `keras.optimizers.schedules.PolynomialDecay` in optimizers
    of your own); the discriminator's steps share a batch of real images and its labels,
    where theirs each draw another; the generator's step makes as many images as the
    batch has, not twice as many; and no noise is added to the 256 grey levels.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`. A name means with spectral
            normalisation of the discriminator, labels by projection, and no dropout;
            an object stays as it is, so say `normalization="spectral"` there.
        loss, discriminator_steps: as in `GAN`, by default the paper's.
        optimizers: of `compile()`. None means the paper's: Adam at 2e-4, beta_1 = 0.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.SNGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> model.sample(16, labels=3).shape
    (16, 8, 8, 1)
    """
    settings = {"normalization": "spectral", "conditioning": "projection"}
    paper = {
        network: Adam(2e-4, beta_1=0.0, beta_2=0.9)
        for network in ("discriminator", "generator")
    }
    return GAN(
        image_shape,
        latent_dim,
        named(architecture, **settings, dropout=0.0),
        loss,
        discriminator_steps=discriminator_steps,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )
