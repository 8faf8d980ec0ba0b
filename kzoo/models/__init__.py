"""The zoo."""

from kzoo.models.aae import AAE
from kzoo.models.acgan import ACGAN
from kzoo.models.autoencoder import Autoencoder
from kzoo.models.began import BEGAN
from kzoo.models.beta_tcvae import BetaTCVAE
from kzoo.models.beta_vae import BetaVAE
from kzoo.models.bigan import BiGAN
from kzoo.models.biggan import BigGAN
from kzoo.models.cgan import CGAN
from kzoo.models.cvae import CVAE
from kzoo.models.denoising_vae import DenoisingVAE
from kzoo.models.dip_vae import DIPVAE
from kzoo.models.factor_vae import FactorVAE
from kzoo.models.gan import DCGAN, GAN
from kzoo.models.hvae import HVAE
from kzoo.models.infogan import InfoGAN
from kzoo.models.infovae import InfoVAE
from kzoo.models.iwae import IWAE
from kzoo.models.joint_vae import JointVAE
from kzoo.models.lsgan import LSGAN
from kzoo.models.piwae import CIWAE, MIWAE, PIWAE
from kzoo.models.r3gan import R3GAN
from kzoo.models.rae import RAE
from kzoo.models.sagan import SAGAN
from kzoo.models.sngan import SNGAN
from kzoo.models.spherical_vae import SphericalVAE
from kzoo.models.stylegan2 import StyleGAN2
from kzoo.models.vae import VAE
from kzoo.models.vaegan import VAEGAN
from kzoo.models.vampvae import VampVAE
from kzoo.models.vqvae import VQVAE
from kzoo.models.wae import WAE
from kzoo.models.wgan import WGAN, WGANGP

__all__ = [  # noqa: RUF022 (plainly sorted, as a test checks)
    "AAE",
    "ACGAN",
    "Autoencoder",
    "BEGAN",
    "BetaTCVAE",
    "BetaVAE",
    "BiGAN",
    "BigGAN",
    "CGAN",
    "CIWAE",
    "CVAE",
    "DCGAN",
    "DIPVAE",
    "DenoisingVAE",
    "FactorVAE",
    "GAN",
    "HVAE",
    "IWAE",
    "InfoGAN",
    "InfoVAE",
    "JointVAE",
    "LSGAN",
    "MIWAE",
    "PIWAE",
    "R3GAN",
    "RAE",
    "SAGAN",
    "SNGAN",
    "SphericalVAE",
    "StyleGAN2",
    "VAE",
    "VAEGAN",
    "VQVAE",
    "VampVAE",
    "WAE",
    "WGAN",
    "WGANGP",
]
