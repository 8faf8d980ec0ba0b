"""Networks of all models: what several are built from, and a file for each kind.

What a model takes as `architecture` are the names and the classes here.
"""

from kzoo.networks.autoencoder import (
    ConvEncoderDecoder,
    EncoderDecoder,
    MLPEncoderDecoder,
)
from kzoo.networks.biggan import BigGANNetworks
from kzoo.networks.blocks import GANNetworks
from kzoo.networks.cgan import CGANNetworks
from kzoo.networks.dcgan import DCGANNetworks
from kzoo.networks.mlp import MLPNetworks
from kzoo.networks.r3gan import R3GANNetworks
from kzoo.networks.resnet import ResNetNetworks, sagan_networks
from kzoo.networks.stylegan import StyleGANNetworks

__all__ = [
    "BigGANNetworks",
    "CGANNetworks",
    "ConvEncoderDecoder",
    "DCGANNetworks",
    "EncoderDecoder",
    "GANNetworks",
    "MLPEncoderDecoder",
    "MLPNetworks",
    "R3GANNetworks",
    "ResNetNetworks",
    "StyleGANNetworks",
    "sagan_networks",
]
