"""Wasserstein GANs: WGAN clips its critic's weights, WGAN-GP penalises its slope.

Arjovsky et al., arXiv:1701.07875, and Gulrajani et al., arXiv:1704.00028. The
discriminator is a critic, whose score is no logit: the difference of its means over
real and fake images estimates their earth mover's distance, up to a factor. Differs
from the papers: the critic's steps that belong to one step of the generator see the
same real images.
"""

import keras

from kzoo.models.gan import GAN


@keras.saving.register_keras_serializable("kzoo")
class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty (arXiv:1704.00028, algorithm 1).

    Logs `discriminator_loss`, the critic's, which is minus the distance plus the
    weighted penalty, `generator_loss` and `gradient_penalty`. The critic's layer
    normalisation keeps a batch's images apart, so that each has a slope of its own.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`.
        loss: the game, as in `GAN`.
        discriminator_steps: steps of the critic for each of the generator.
        penalty: on the critic's slope, as in `GAN`.
        penalty_weight: what the penalty is multiplied by.
        dropout: share of the `"mlp"` critic's hidden units that a step leaves out.
        normalization: of the `"dcgan"` critic, as in `GAN`; not `"batch"`.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.WGANGP(image_shape=(28, 28, 1))
    >>> model.compile()
    """

    def __init__(
        self,
        image_shape,
        latent_dim=128,
        architecture="dcgan",
        loss="wasserstein",
        discriminator_steps=5,
        penalty="gradient_penalty",
        penalty_weight=10.0,
        dropout=0.0,
        normalization="layer",
        **kwargs,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            loss,
            discriminator_steps=discriminator_steps,
            penalty=penalty,
            penalty_weight=penalty_weight,
            dropout=dropout,
            normalization=normalization,
            **kwargs,
        )

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9),
            "generator": keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9),
        }


@keras.saving.register_keras_serializable("kzoo")
class WGAN(GAN):
    """Wasserstein GAN with clipped weights (arXiv:1701.07875, algorithm 1).

    Logs `discriminator_loss`, the critic's, which is minus the distance, and
    `generator_loss`. It learns slowly, and `WGANGP` draws better: clipping is here for
    comparison.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`.
        loss: the game, as in `GAN`.
        discriminator_steps: steps of the critic for each of the generator.
        weight_clip: largest absolute value of the critic's weights.
        dropout: share of the `"mlp"` critic's hidden units that a step leaves out.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.WGAN(image_shape=(28, 28, 1))
    >>> model.compile()
    """

    def __init__(
        self,
        image_shape,
        latent_dim=100,
        architecture="dcgan",
        loss="wasserstein",
        discriminator_steps=5,
        weight_clip=0.01,
        dropout=0.0,
        **kwargs,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            loss,
            discriminator_steps=discriminator_steps,
            weight_clip=weight_clip,
            dropout=dropout,
            **kwargs,
        )

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.RMSprop(5e-5),
            "generator": keras.optimizers.RMSprop(5e-5),
        }
