"""Spectrally normalised GAN: Miyato et al., arXiv:1802.05957.

`GAN` with residual networks, the hinge loss and a discriminator whose kernels are
divided by their largest singular value. Labels enter as in Miyato and Koyama,
arXiv:1802.05637.
"""

import keras

from kzoo.models.gan import GAN


@keras.saving.register_keras_serializable("kzoo")
class SNGAN(GAN):
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
        architecture, loss, normalization, discriminator_steps: as in `GAN`, by default
            the paper's: `"resnet"`, `"hinge"`, `"spectral"` and 5.
        dropout: share of the `"mlp"` discriminator's hidden units that a step leaves
            out.
        num_classes: number of labels to condition both networks on, or None.
        conditioning: as in `GAN`. None means `"projection"` where there are labels.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.SNGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> model.sample(16, labels=3).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=128,
        architecture="resnet",
        loss="hinge",
        normalization="spectral",
        discriminator_steps=5,
        dropout=0.0,
        num_classes=None,
        conditioning=None,
        **kwargs,
    ):
        if conditioning is None:
            conditioning = "concatenation" if num_classes is None else "projection"
        super().__init__(
            image_shape,
            latent_dim,
            architecture=architecture,
            loss=loss,
            discriminator_steps=discriminator_steps,
            dropout=dropout,
            normalization=normalization,
            num_classes=num_classes,
            conditioning=conditioning,
            **kwargs,
        )

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9),
            "generator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9),
        }
