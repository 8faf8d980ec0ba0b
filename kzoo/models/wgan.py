"""Wasserstein GANs: WGAN clips its critic's weights, WGAN-GP penalises its slope.

Arjovsky et al., arXiv:1701.07875, and Gulrajani et al., arXiv:1704.00028. The
discriminator is a critic, whose score is no logit: the difference of its means over
real and fake images estimates their earth mover's distance, up to a factor. Differs
from the papers: the critic's steps that belong to one step of the generator see the
same real images.
"""

from keras.optimizers import Adam, RMSprop

from kzoo.models.gan import GAN
from kzoo.networks.architectures import named


def WGANGP(
    image_shape,
    latent_dim=128,
    architecture="dcgan",
    loss="wasserstein",
    discriminator_steps=5,
    penalty="gradient_penalty",
    optimizers=None,
    name="WGANGP",
    **kwargs,
):
    """Wasserstein GAN with gradient penalty (arXiv:1704.00028, algorithm 1).

    Logs `discriminator_loss`, the critic's, which is minus the distance plus the
    weighted penalty, `generator_loss` and `gradient_penalty`. The critic's layer
    normalisation keeps a batch's images apart, so that each has a slope of its own.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`. A name means without dropout, and
            with layer normalisation in the critic; an object stays as it is, so say
            `normalization="layer"` or None there: `"batch"` mixes the slopes.
        loss: as in `GAN`.
        discriminator_steps: steps of the critic for each of the generator.
        penalty: on the critic's slope, as in `GAN`.
        optimizers: of `compile()`. None means the paper's: Adam at 1e-4, beta_1 = 0.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.WGANGP(image_shape=(28, 28, 1))
    >>> model.compile()
    """
    paper = {
        network: Adam(1e-4, beta_1=0.0, beta_2=0.9)
        for network in ("discriminator", "generator")
    }
    return GAN(
        image_shape,
        latent_dim,
        named(architecture, normalization="layer", dropout=0.0),
        loss,
        discriminator_steps=discriminator_steps,
        penalty=penalty,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )


def WGAN(
    image_shape,
    latent_dim=100,
    architecture="dcgan",
    loss="wasserstein",
    discriminator_steps=5,
    weight_clip=0.01,
    optimizers=None,
    name="WGAN",
    **kwargs,
):
    """Wasserstein GAN with clipped weights (arXiv:1701.07875, algorithm 1).

    Logs `discriminator_loss`, the critic's, which is minus the distance, and
    `generator_loss`. `WGANGP` is its successor, which learns without the clipping.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`. A name means without dropout.
        loss: as in `GAN`.
        discriminator_steps: steps of the critic for each of the generator.
        weight_clip: largest absolute value of the critic's weights.
        optimizers: of `compile()`. None means the paper's: RMSprop at 5e-5.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.WGAN(image_shape=(28, 28, 1))
    >>> model.compile()
    """
    paper = {network: RMSprop(5e-5) for network in ("discriminator", "generator")}
    return GAN(
        image_shape,
        latent_dim,
        named(architecture, dropout=0.0),
        loss,
        discriminator_steps=discriminator_steps,
        weight_clip=weight_clip,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )
