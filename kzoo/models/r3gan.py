"""R3GAN: Huang et al., arXiv:2501.05441, "The GAN is dead; long live the GAN!".

Relativistic pairs with a penalty on the slope at real and at fake images (equations 2
and 3) are stable enough for a plain residual network, without normalisation or tricks.
Written from the paper's text alone. Differs from it: few and narrow layers unless asked
for, constant hyperparameters, and no augmentation by default.
"""

import functools

import keras
from keras import ops

from kzoo import checks
from kzoo.models.gan import GAN
from kzoo.networks import check_widths
from kzoo.networks.r3gan import (
    build_r3gan_discriminator,
    build_r3gan_generator,
    r3gan_widths,
)


@keras.saving.register_keras_serializable("kzoo")
class R3GAN(GAN):
    """R3GAN (arXiv:2501.05441): a stable GAN of modern parts and no tricks.

    `GAN` with the loss `"relativistic_pairing"`, the penalties `"r1"` and `"r2"`, no
    momentum and residual networks. Logs `discriminator_loss`, `generator_loss`, `r1`
    and `r2`.

    The paper starts with a burn-in, in which learning rate, penalty and Adam's beta_2
    go from one value to another. Here all are constant: pass a Keras schedule as the
    optimizers' learning rate (the paper: 2e-4 to 5e-5). Its settings for four data
    sets, `penalty_weight` from start to end (see there):

    >>> R3GAN((32, 32, 3), widths=(768,) * 4, blocks=2)  # Stacked MNIST: .25 to .025
    >>> R3GAN(
    ...     (32, 32, 3), widths=(768,) * 4, blocks=2, ema=0.9999, num_classes=10
    ... )  # CIFAR-10: .0125 to .00125
    >>> R3GAN(
    ...     (256, 256, 3), widths=(768, 768, 768, 768, 384, 192, 96), blocks=2
    ... )  # FFHQ: 37.5 to 3.75
    >>> R3GAN(
    ...     (64, 64, 3), widths=(1536,) * 5, blocks=2, group_size=32, num_classes=1000
    ... )  # ImageNet: .25 to .025

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        widths: channels of each resolution from latents to images; the discriminator
            mirrors them. The first map is the image halved once for each width but
            one. Defaults to `r3gan_widths`: `(64, 32, 16)` for 28 pixels.
        blocks: residual blocks at each resolution; the paper has 2.
        group_size: channels of a group in the 3x3 convolutions, which are twice as wide
            as `widths`. The paper has 16, and 32 for ImageNet.
        loss, penalty: as in `GAN`.
        penalty_weight: what `r1` and `r2`, half the squared slopes, are multiplied by.
            It is a quarter of the paper's gamma, as slopes are of images in [0, 1],
            twice those of the paper's images in [-1, 1].
        ema: decay of the average of the generator's weights that makes the samples, or
            None; see `GAN`. The longer the training, the nearer to 1.
        num_classes: number of labels to condition on, or None. The generator takes an
            embedding beside its latents, the discriminator is a projection.
        generator, discriminator: your own networks, as in `GAN`. The generator's images
            may leave [0, 1]: samples are clipped.
        **kwargs: `discriminator_steps`, `penalty_every`, `weight_clip` or
            `augmentation`, as in `GAN`. In the paper lazy penalties were worse, and
            failed on Stacked MNIST.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.R3GAN(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=64,
        widths=None,
        blocks=1,
        group_size=16,
        loss="relativistic_pairing",
        penalty=("r1", "r2"),
        penalty_weight=0.0125,
        ema=0.999,
        num_classes=None,
        generator=None,
        discriminator=None,
        **kwargs,
    ):
        widths = r3gan_widths(image_shape) if widths is None else check_widths(widths)
        self.blocks = checks.positive_int("blocks", blocks)
        self.group_size = check_group_size(group_size, widths)
        super().__init__(
            image_shape,
            latent_dim,
            architecture="mlp",  # not built: see `add_network`
            loss=loss,
            penalty=penalty,
            penalty_weight=penalty_weight,
            dropout=0.0,
            normalization=None,
            ema=ema,
            widths=widths,
            num_classes=num_classes,
            generator=generator,
            discriminator=discriminator,
            **kwargs,
        )

    def add_network(self, name, own, build, inputs, outputs):
        # `GAN` would build those of its own architectures.
        build = {
            "generator": build_r3gan_generator,
            "discriminator": build_r3gan_discriminator,
        }[name]
        build = functools.partial(build, blocks=self.blocks, group_size=self.group_size)
        super().add_network(name, own, build, inputs, outputs)

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9),
            "generator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9),
        }

    def generate_batch(self, latents, labels=None):
        # The discriminator judges what is not clipped, so that its slope never ends.
        return ops.clip(super().generate_batch(latents, labels), 0.0, 1.0)

    def get_config(self):
        config = super().get_config()
        for of_other_networks in ("architecture", "dropout", "normalization"):
            del config[of_other_networks]
        return {**config, "blocks": self.blocks, "group_size": self.group_size}


def check_group_size(group_size, widths):
    """Raises a `ValueError` unless twice every width is a multiple of `group_size`."""
    checks.positive_int("group_size", group_size)
    if any(2 * width % group_size for width in widths):
        raise ValueError(
            "Expected twice every width to be a multiple of group_size. "
            f"Received: group_size={group_size}, widths={tuple(widths)}. Change either."
        )
    return group_size
