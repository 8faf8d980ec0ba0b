"""Sprites: pictures of one shape whose factors of variation are known.

Made in the manner of dSprites (Matthey et al. 2017), by which disentanglement is
measured, but drawn here, smaller and with soft edges. A white square, ellipse or heart
on black has a scale, an orientation and a place, and each combination of these occurs
once: no factor tells anything of another.
"""

import math
import zlib

import numpy as np

from kzoo import checks
from kzoo.data.source import pick_split

FACTORS = ("shape", "scale", "orientation", "x", "y")
SHAPES = ("square", "ellipse", "heart")
RADIUS = 0.22  # of the circle around the largest shape, over the side of the image
SUPERSAMPLING = 8  # points a pixel has along each side
TEST_PART = 9  # one image of so many is in the test split


def sprites(image_size=32, scales=4, orientations=8, positions=12):
    """All pictures of one shape, and the factors that each was drawn from.

    The shapes are a square, an ellipse half as high as wide, and a heart. Scales go
    from 0.5 to 1, at which the shape fits in a circle of 0.44 of the image's side.
    Orientation k is a turn by k * 90 / `orientations` degrees, clockwise as one sees
    it: a quarter turn is left out, because it would not change the square. The centre
    of gravity moves to the right with x and down with y, in steps that are even to 1/8
    of a pixel, as far as the largest shape stays inside.

    Args:
        image_size: side of the images in pixels; dSprites has 64.
        scales, orientations, positions: how many there are; `positions` in x and in y.

    Returns:
        `(images, factors)`: uint8 `(n, image_size, image_size, 1)` in [0, 255], the
        share of each pixel that the shape covers, and int32 `(n, 5)`, for each of
        `SPRITE_FACTORS` a number from 0. Sorted by the factors, the last one fastest;
        n = 3 * scales * orientations * positions², by default 13,824 images, 14 MB.

    Raises:
        ValueError: for numbers below 1, or images too small to be all different.

    Example:

    >>> images, factors = kzoo.data.sprites()
    >>> images.shape, factors[-1]
    ((13824, 32, 32, 1), array([ 2,  3,  7, 11, 11], dtype=int32))
    """
    size = checks.positive_int("image_size", image_size)
    sizes = (
        len(SHAPES),
        checks.positive_int("scales", scales),
        checks.positive_int("orientations", orientations),
        checks.positive_int("positions", positions),
        positions,
    )
    images = np.empty((math.prod(sizes[:3]), positions, positions, size, size), "uint8")
    for i, (shape, scale, turn) in enumerate(np.ndindex(sizes[:3])):
        mask = _mask(
            SHAPES[shape],
            np.linspace(0.5, 1, scales)[scale] * RADIUS * size * SUPERSAMPLING,
            turn * math.pi / 2 / orientations,
        )
        images[i] = _placed(mask, size, positions)
    images = images.reshape(-1, size, size, 1)
    if len({image.tobytes() for image in images}) < len(images):
        raise ValueError(
            "Expected images large enough to show every difference of the factors. "
            f"Received: image_size={size} with {scales} scales, {orientations} "
            f"orientations and {positions} positions, where some images are equal. "
            "Take larger images or fewer values."
        )
    return images, np.indices(sizes, "int32").reshape(len(sizes), -1).T.copy()


def load_split(split, limit=None, image_size=None):
    """Sprites in a random but fixed order, and their shapes as labels."""
    height, width = image_size or (32, 32)
    if height != width:
        raise ValueError(
            "Expected sprites to be square. Received: "
            f"image_size=({height}, {width}). Pass one whole number."
        )
    images, factors = sprites(height)
    order = np.random.default_rng(zlib.crc32(b"sprites")).permutation(len(images))
    tests = len(images) // TEST_PART
    parts = {"train": order[tests:], "test": order[:tests]}
    chosen = pick_split(parts, split, "sprites")[:limit]
    return images[chosen], factors[chosen, 0]


def _mask(shape, radius, angle):
    """The points that a shape covers, around its centre: bool `(side, side)`."""
    half = math.ceil(radius)
    points = (np.arange(-half, half) + 0.5) / radius
    x, y = points, points[:, None]  # y grows downwards
    u = math.cos(angle) * x + math.sin(angle) * y
    v = math.cos(angle) * y - math.sin(angle) * x
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= math.sqrt(0.5)
    if shape == "ellipse":
        return u**2 + (2 * v) ** 2 <= 1
    # The sextic heart, moved to its centre of gravity and into the unit circle.
    u, v = 1.2935 * u, 0.2935 - 1.2935 * v
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


def _placed(mask, size, positions):
    """A mask at each place: `(positions, positions, size, size)`, x before y."""
    half = len(mask) // 2
    sums = np.pad(np.cumsum(np.cumsum(mask, axis=0), axis=1), (1, 0))
    margin = RADIUS * size * SUPERSAMPLING
    centres = np.linspace(margin, size * SUPERSAMPLING - margin, positions)
    # Pixel edges, seen from the mask; beyond it the sums no longer change.
    edges = SUPERSAMPLING * np.arange(size + 1) - np.rint(centres).astype(int)[:, None]
    edges = np.clip(edges + half, 0, 2 * half)
    covered = sums[edges[None, :, :, None], edges[:, None, None, :]]
    covered = np.diff(np.diff(covered, axis=2), axis=3)
    return np.rint(covered * (255 / SUPERSAMPLING**2)).astype("uint8")
