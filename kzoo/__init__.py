"""kzoo: the Keras 3 zoo of generative models."""

from kzoo import backend, callbacks, data, distribution, layers, losses, metrics, models
from kzoo.training import GenerativeModel

__version__ = "0.1.0"

__all__ = [
    "GenerativeModel",
    "backend",
    "callbacks",
    "data",
    "distribution",
    "layers",
    "losses",
    "metrics",
    "models",
]
