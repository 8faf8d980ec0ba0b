"""Data sets whose modes are known: mixtures of Gaussians and Stacked-MNIST.

The mixtures are those of PacGAN (arXiv:1712.04086, section 4.1), moved into [0, 1]:
each point is an image of shape (1, 1, 2), float32. Stacked-MNIST (Metz et al.,
arXiv:1611.02163) has three random MNIST digits as the channels of an image, and so a
thousand modes.
"""

import math
import zlib
from typing import NamedTuple

import numpy as np

from kzoo.data.source import pick_split

SIZES = {"train": 100_000, "test": 10_000}  # points of a mixture
STACKS = {"train": 128_000, "test": 26_000}


class Mixture(NamedTuple):
    """Equally likely Gaussians: `centres` `(modes, 2)`, standard deviation `scale`."""

    centres: np.ndarray
    scale: float


def _ring(modes=8, side=3.0, scale=0.01):
    angles = 2 * math.pi * np.arange(modes) / modes
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Mixture(points / side + 0.5, scale / side)


def _grid(side=10.0, scale=0.05):
    steps = np.arange(-4, 5, 2) / side + 0.5
    points = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return Mixture(points, scale / side)


MIXTURES = {"grid-25": _grid(), "ring-8": _ring()}


def mixture(name, split, limit=None):
    """Points of a mixture as float32 `(n, 1, 1, 2)`, and the mode of each."""
    size = pick_split(SIZES, split, name)
    centres, scale = MIXTURES[name]
    rng = _rng(name, split)
    labels = rng.integers(len(centres), size=size, dtype="int32")
    points = centres[labels] + scale * rng.standard_normal((size, 2))
    points = np.clip(points, 0, 1).astype("float32")
    return points.reshape(-1, 1, 1, 2)[:limit], labels[:limit]


def stacked_mnist(split, limit, load_mnist):
    """Three digits of the same MNIST split as channels; the label reads them in order.

    Args:
        split: `"train"` or `"test"`.
        limit: number of images, or None for all.
        load_mnist: `load_mnist(split)`, images and labels.
    """
    size = pick_split(STACKS, split, "stacked_mnist")
    digits, classes = load_mnist(split)
    picks = _rng("stacked_mnist", split).integers(len(digits), size=(size, 3))[:limit]
    images = np.concatenate([digits[picks[:, i]] for i in range(3)], axis=-1)
    return images, np.int32(classes[picks] @ [100, 10, 1])


def _rng(name, split):
    """The same points on every machine, others for each split."""
    return np.random.default_rng(zlib.crc32(f"{name}/{split}".encode()))
