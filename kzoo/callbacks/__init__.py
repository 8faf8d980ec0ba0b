"""Keras callbacks for generative models."""

from kzoo.callbacks.checkpoint import Checkpoint
from kzoo.callbacks.evaluate import Evaluate
from kzoo.callbacks.grids import LatentGrid, ReconstructionGrid, SampleGrid
from kzoo.media import tile

__all__ = [
    "Checkpoint",
    "Evaluate",
    "LatentGrid",
    "ReconstructionGrid",
    "SampleGrid",
    "tile",
]
