"""Image data sets as numpy arrays, decoded once and then read from a cache.

`load` knows scikit-learn's embedded digits, sets that are drawn, folders of image
files, and every prepared image set of TensorFlow Datasets (TFDS). `sprites` returns the
factors of its images as well.

The cache is the folder that the environment variable `KZOO_CACHE` names, by default
`~/.cache/kzoo`. Nothing else is kept there: delete it at any time.
"""

import functools
import os
import pathlib
import re

from kzoo import checks
from kzoo.data import cache, decoding, digits, folders, prepared, shapes, synthetic
from kzoo.data.shapes import FACTORS as SPRITE_FACTORS
from kzoo.data.shapes import SHAPES as SPRITE_SHAPES
from kzoo.data.shapes import sprites
from kzoo.data.source import DatasetNotFound
from kzoo.data.synthetic import MIXTURES

__all__ = [
    "MIXTURES",
    "SPRITE_FACTORS",
    "SPRITE_SHAPES",
    "DatasetNotFound",
    "load",
    "sprites",
]


def load(name="digits", split="train", image_size=None, limit=None, data_dir=None):
    """Loads one split of an image data set.

    Args:
        name: `"digits"` (8x8, embedded, offline: 1500 train and 297 test), or
            `"ring-8"` or `"grid-25"`, points of a mixture of Gaussians as float32
            images of shape (1, 1, 2); `MIXTURES` has their centres and scale; or
            `"stacked_mnist"`, three random digits as channels, made from `"mnist"`:
            1000 modes, 128,000 images (301 MB) unless limited; or
            `"sprites"`, white shapes on black, drawn in every scale, orientation and
            place, 32x32 unless `image_size` says otherwise: 12,288 train and 1536 test
            in random order, whose labels number `SPRITE_SHAPES`; or
            a folder of image files, as a `pathlib.Path` or as a string with a separator
            (`"./photos"`), or
            a TFDS set that is prepared in `data_dir`: `"mnist"`, `"celeb_a"`,
            `"mnist:3.0.1"`, `"lsun/bedroom"`.
            If a folder has a sub-folder `train` or `test`, its sub-folders are splits.
            Sub-folders of a split are classes, numbered in sorted order over all
            splits. Hidden files, and those whose suffix Pillow does not know, are
            ignored.
        split: The split's name; for TFDS also its slices, such as `"train[:10%]"`.
        image_size: `None`, one int for a square, or `(height, width)`. Images are
            cropped to this aspect ratio around their centre, then resized with
            Pillow's bilinear filter, which is antialiased.
        limit: Load only the first `limit` images, in the order of the data set: of a
            folder of classes, these are the first classes.
        data_dir: Where TFDS sets are; by default the environment variable
            `TFDS_DATA_DIR`, then `~/tensorflow_datasets`.

    Returns:
        `(images, labels)`, both writable. `images` is uint8 in [0, 255], for mixtures
        float32 in [0, 1], of shape `(n, height, width, channels)`. The channels are
        the set's own; of a folder, 1 if all its images are gray and 3 otherwise,
        without alpha. `labels` is int32 of shape `(n,)`, or `None` for a set without
        one class an image.

    Raises:
        DatasetNotFound: no such folder or set, or it is not prepared. Nothing is ever
            downloaded: the message has the command that does.
        ValueError: a bad argument, an unknown split, no images, images of different
            sizes without `image_size`, or an unreadable image.
        ImportError: only TFRecord files are there, and TensorFlow is not installed.
            Where it is, reading them starts TensorFlow (on the GPU, if it sees one).

    Example:

    >>> images, labels = kzoo.data.load("digits", limit=16)
    >>> images.shape, labels.shape
    ((16, 8, 8, 1), (16,))
    """
    limit = None if limit is None else checks.positive_int("limit", limit)
    image_size = _checked_size(image_size)
    if isinstance(name, str) and name in MIXTURES:
        return synthetic.mixture(name, split, limit)
    if name == "stacked_mnist":
        mnist = functools.partial(_mnist, image_size, data_dir)
        return synthetic.stacked_mnist(split, limit, mnist)
    if name == "sprites":
        return shapes.load_split(split, limit, image_size)
    source = _find(name, split, data_dir)
    for cached_limit in dict.fromkeys((limit, None)):
        cached = cache.read(cache.path_of(source, image_size, cached_limit), limit)
        if cached is not None:
            return cached
    images, labels = decoding.decode(source, image_size, limit)
    kept_limit = limit if limit == len(images) else None  # a larger one limits nothing
    cache.write(cache.path_of(source, image_size, kept_limit), images, labels)
    return images, labels


def _mnist(image_size, data_dir, split):
    return load("mnist", split, image_size, data_dir=data_dir)


def _checked_size(size):
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            "Expected image_size to be a whole number or (height, width). "
            f"Received: image_size={size!r}."
        )
    return tuple(checks.positive_int("image_size", side) for side in pair)


def _find(name, split, data_dir):
    """The `Source` of a split. Fast: it imports nothing that reads images."""
    if not isinstance(name, str | os.PathLike) or not isinstance(split, str):
        raise ValueError(
            "Expected name to be a string or a path, and split a string. "
            f"Received: name={name!r}, split={split!r}."
        )
    if name == "digits":
        return digits.find(split)
    if _means_folder(name):
        return folders.find(pathlib.Path(name).expanduser(), split)
    return prepared.find(name, split, data_dir)


def _means_folder(name):
    if isinstance(name, os.PathLike):
        return True
    # TFDS writes a set's configuration behind a slash: "lsun/bedroom".
    configured = re.fullmatch(r"\w+/\w[\w.-]*(:[\d.*]+)?", name)
    separated = "/" in name or os.sep in name
    return separated and (not configured or pathlib.Path(name).is_dir())
