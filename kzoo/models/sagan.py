"""Self-attention GAN: Zhang et al., arXiv:1805.08318.

`SNGAN`'s residual networks with a layer by which each place of a map looks at all
others. The generator's kernels are normalised too, and the discriminator has a higher
learning rate in place of more steps.
"""

import keras

from kzoo.models.gan import GAN


@keras.saving.register_keras_serializable("kzoo")
class SAGAN(GAN):
    """Self-attention GAN (arXiv:1805.08318): parts of an image that agree from afar.

    `GAN` with the architecture `"resnet"`, spectral normalisation in both networks,
    self-attention and the hinge loss. Logs `discriminator_loss` and `generator_loss`.
    `model.generator` shows where the attention is; its gain starts as 0.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        loss, normalization: as in `GAN`.
        attention: height of the maps with self-attention. None means the largest of at
            most 32 that is a half, a quarter and so on of the images': 32 for 128
            pixels, as in the paper, 16 for 32 and 14 for 28.
        num_classes: number of labels to condition both networks on, or None.
        conditioning: as in `GAN`. None means `"projection"` where there are labels.
        **kwargs: any other argument of `GAN` but `architecture`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.SAGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> threes = model.sample(16, labels=3)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=128,
        loss="hinge",
        normalization="spectral",
        attention=None,
        num_classes=None,
        conditioning=None,
        **kwargs,
    ):
        if conditioning is None:
            conditioning = "concatenation" if num_classes is None else "projection"
        super().__init__(
            image_shape,
            latent_dim,
            "resnet",
            loss,
            normalization=normalization,
            attention=attention or attention_height(image_shape),
            num_classes=num_classes,
            conditioning=conditioning,
            **kwargs,
        )

    def network_settings(self):
        of_generator, of_discriminator = super().network_settings()
        return {**of_generator, "kernels": "spectral"}, of_discriminator

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(4e-4, beta_1=0.0, beta_2=0.9),
            "generator": keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9),
        }

    def get_config(self):
        config = super().get_config()
        del config["architecture"]
        return config


def attention_height(image_shape):
    """The first of the halves of the images' height that is at most 32."""
    height = image_shape[0] // 2
    while height > 32:
        height //= 2
    return height
