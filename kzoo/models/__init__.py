"""The zoo."""

from kzoo.models.gan import DCGAN, GAN
from kzoo.models.vae import VAE
from kzoo.models.wgan import WGAN, WGANGP

__all__ = ["DCGAN", "GAN", "VAE", "WGAN", "WGANGP"]
