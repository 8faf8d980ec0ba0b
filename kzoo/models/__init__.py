"""The zoo."""

from kzoo.models.aae import AAE
from kzoo.models.acgan import ACGAN
from kzoo.models.began import BEGAN
from kzoo.models.beta_vae import BetaVAE
from kzoo.models.bigan import BiGAN
from kzoo.models.biggan import BigGAN
from kzoo.models.cgan import CGAN
from kzoo.models.cvae import CVAE
from kzoo.models.gan import DCGAN, GAN
from kzoo.models.hvae import HVAE
from kzoo.models.infogan import InfoGAN
from kzoo.models.iwae import IWAE
from kzoo.models.lsgan import LSGAN
from kzoo.models.r3gan import R3GAN
from kzoo.models.sagan import SAGAN
from kzoo.models.sngan import SNGAN
from kzoo.models.stylegan2 import StyleGAN2
from kzoo.models.vae import VAE
from kzoo.models.vaegan import VAEGAN
from kzoo.models.wgan import WGAN, WGANGP

__all__ = [  # noqa: RUF022 (plainly sorted, as a test checks)
    "AAE",
    "ACGAN",
    "BEGAN",
    "BetaVAE",
    "BiGAN",
    "BigGAN",
    "CGAN",
    "CVAE",
    "DCGAN",
    "GAN",
    "HVAE",
    "IWAE",
    "InfoGAN",
    "LSGAN",
    "R3GAN",
    "SAGAN",
    "SNGAN",
    "StyleGAN2",
    "VAE",
    "VAEGAN",
    "WGAN",
    "WGANGP",
]
