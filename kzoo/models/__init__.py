"""The zoo."""

from kzoo.models.gan import DCGAN, GAN
from kzoo.models.r3gan import R3GAN
from kzoo.models.vae import VAE

__all__ = ["DCGAN", "GAN", "R3GAN", "VAE"]
