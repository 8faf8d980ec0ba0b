"""What the models share: one line of classes, each in a file of its own."""

from kzoo.base.autoencoder import AutoencoderModel
from kzoo.base.generative import GenerativeModel
from kzoo.base.likelihood import LikelihoodModel
from kzoo.base.phased import PhasedModel

__all__ = ["AutoencoderModel", "GenerativeModel", "LikelihoodModel", "PhasedModel"]
