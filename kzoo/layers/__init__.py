"""Layers that Keras lacks, and some that it has, by faster kernels."""

from kzoo.layers.attention import SelfAttention
from kzoo.layers.convolutions import Conv2D, Conv2DTranspose
from kzoo.layers.minibatch import MinibatchStandardDeviation
from kzoo.layers.normalization import (
    BatchNormalization,
    ConditionalBatchNormalization,
    SpectralNormalization,
)
from kzoo.layers.sampling import Dropout, Sampling, SharedScale

__all__ = [
    "BatchNormalization",
    "ConditionalBatchNormalization",
    "Conv2D",
    "Conv2DTranspose",
    "Dropout",
    "MinibatchStandardDeviation",
    "Sampling",
    "SelfAttention",
    "SharedScale",
    "SpectralNormalization",
]
