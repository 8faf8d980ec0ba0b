"""R3GAN: Huang et al., arXiv:2501.05441, "The GAN is dead; long live the GAN!".

Relativistic pairs with a penalty on the slope at real and at fake images (equations 2
and 3) are stable enough for a plain residual network, without normalisation or tricks.
Written from the paper's text. Differs from it: few and narrow layers unless asked
for, constant hyperparameters, and no augmentation by default.
"""

from keras.optimizers import Adam

from kzoo.models.gan import GAN
from kzoo.networks.r3gan import R3GANNetworks
from kzoo.parts.penalties import R1, R2


def R3GAN(
    image_shape,
    latent_dim=64,
    architecture=None,
    loss="relativistic_pairing",
    penalty=None,
    ema=0.999,
    optimizers=None,
    name="R3GAN",
    **kwargs,
):
    """R3GAN (arXiv:2501.05441): a stable GAN of modern parts and no tricks.

    `GAN` with the loss `"relativistic_pairing"`, the penalties `"r1"` and `"r2"`, no
    momentum and residual networks. Logs `discriminator_loss`, `generator_loss`, `r1`
    and `r2`.

    The paper starts with a burn-in, in which learning rate, penalty and Adam's beta_2
    go from one value to another. Here all are constant: pass a Keras schedule as the
    optimizers' learning rate (the paper: 2e-4 to 5e-5). Its settings for four data
    sets, the penalties' weights from start to end:

    >>> R3GANNetworks((768,) * 4, blocks=2)  # Stacked MNIST: .25 to .025
    >>> R3GANNetworks((768,) * 4, blocks=2)  # CIFAR-10, ema=0.9999: .0125 to .00125
    >>> R3GANNetworks((768,) * 4 + (384, 192, 96), blocks=2)  # FFHQ: 37.5 to 3.75
    >>> R3GANNetworks((1536,) * 5, blocks=2, group_size=32)  # ImageNet: .25 to .025

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks. None means `R3GANNetworks()`, `(64, 32, 16)`
            channels for 28 pixels.
        loss: as in `GAN`.
        penalty: as in `GAN`. None means `(R1(0.0125), R2(0.0125))`: the weights of half
            the squared slopes are a quarter of the paper's gamma, as slopes are of
            images in [0, 1], twice those of the paper's images in [-1, 1]. In the paper
            lazy penalties were worse, and failed on Stacked MNIST.
        ema: decay of the average of the generator's weights that makes the samples, or
            None; see `GAN`. The longer the training, the nearer to 1.
        optimizers: of `compile()`. None means the paper's: Adam at 2e-4, beta_1 = 0.
        name: what reports call it.
        **kwargs: any other argument of `GAN`. The images of a generator of your own may
            leave [0, 1]: samples are clipped.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.R3GAN(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """
    paper = {
        network: Adam(2e-4, beta_1=0.0, beta_2=0.9)
        for network in ("discriminator", "generator")
    }
    return GAN(
        image_shape,
        latent_dim,
        architecture or R3GANNetworks(),
        loss,
        penalty=(R1(0.0125), R2(0.0125)) if penalty is None else penalty,
        ema=ema,
        optimizers=optimizers or paper,
        name=name,
        **kwargs,
    )
