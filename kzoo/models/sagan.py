"""Self-attention GAN: Zhang et al., arXiv:1805.08318.

`SNGAN`'s residual networks with a layer by which each place of a map looks at all
others. The generator's kernels are normalised too, and the discriminator has a higher
learning rate in place of more steps.
"""

from keras.optimizers import Adam

from kzoo.models.gan import GAN
from kzoo.networks.resnet import sagan_networks


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
        architecture: of both networks, as in `GAN`. None means
            `kzoo.networks.sagan_networks()`.
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
        sagan_networks() if architecture is None else architecture,
        loss,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )
