"""Self-attention GAN: Zhang et al., arXiv:1805.08318.

`SNGAN`'s residual networks with a layer by which each place of a map looks at all
others. The generator's kernels are normalised too, and the discriminator has a higher
learning rate in place of more steps.
"""

from keras.optimizers import Adam

from kzoo.models.gan import GAN
from kzoo.networks.resnet import ResNetNetworks


def SAGAN(
    image_shape,
    latent_dim=128,
    architecture=None,
    loss="hinge",
    optimizers=None,
    name="SAGAN",
    **kwargs,
):
    """Self-attention GAN (arXiv:1805.08318): parts of an image that agree from afar.

    `GAN` with residual networks, spectral normalisation in both, self-attention and the
    hinge loss. Logs `discriminator_loss` and `generator_loss`. `model.generator` shows
    where the attention is; its gain starts as 0.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks. None means `sagan_networks(image_shape)`.
        loss: as in `GAN`.
        optimizers: of `compile()`. None means the paper's: Adam at 4e-4 for the
            discriminator and 1e-4 for the generator, beta_1 = 0.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.SAGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> threes = model.sample(16, labels=3)
    """
    paper = {
        "discriminator": Adam(4e-4, beta_1=0.0, beta_2=0.9),
        "generator": Adam(1e-4, beta_1=0.0, beta_2=0.9),
    }
    return GAN(
        image_shape,
        latent_dim,
        architecture or sagan_networks(image_shape),
        loss,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )


def sagan_networks(image_shape, widths=None, attention=None):
    """`ResNetNetworks` with spectral normalisation in both networks, and attention.

    Args:
        image_shape: `(height, width, channels)`.
        widths: as in `ResNetNetworks`.
        attention: height of the maps with self-attention. None means the largest of at
            most 32 that is a half, a quarter and so on of the images': 32 for 128
            pixels, as in the paper, 16 for 32 and 14 for 28.
    """
    return ResNetNetworks(
        widths,
        normalization="spectral",
        conditioning="projection",
        attention=attention or attention_height(image_shape),
        generator_normalization="spectral",
    )


def attention_height(image_shape):
    """The first of the halves of the images' height that is at most 32."""
    height = image_shape[0] // 2
    while height > 32:
        height //= 2
    return height
