"""Image data sets as numpy arrays, or as streams of batches.

`load` knows two embedded sets of digits, sets that are drawn, folders of image files,
and every prepared image set of TensorFlow Datasets (TFDS). `sprites` returns the
factors of its images as well. `stream` reads folders and TFDS sets that do not fit in
memory, a batch at a time.

What `load` decodes it keeps in a cache, the folder that the environment variable
`KZOO_CACHE` names, by default `~/.cache/kzoo`. Nothing else is kept there: delete it at
any time.
"""

import functools

from kzoo import checks
from kzoo.data import cache, decoding, finding, shapes, synthetic
from kzoo.data.shapes import FACTORS as SPRITE_FACTORS
from kzoo.data.shapes import SHAPES as SPRITE_SHAPES
from kzoo.data.shapes import sprites
from kzoo.data.source import DatasetNotFound
from kzoo.data.streaming import stream
from kzoo.data.synthetic import MIXTURES

__all__ = [
    "MIXTURES",
    "SPRITE_FACTORS",
    "SPRITE_SHAPES",
    "DatasetNotFound",
    "load",
    "sprites",
    "stream",
]


def load(name="digits", split="train", image_size=None, limit=None, data_dir=None):
    """Loads one split of an image data set.

    Args:
        name: `"digits"`, scikit-learn's (8x8, embedded, offline: 1500 train and 297
            test), or
            `"mnist_10k"`, 10,000 images of MNIST (28x28, embedded, offline): in random
            order 8000 of its train split, 800 a class, and 2000 of its test split, or
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
            splits; what lies deeper belongs to its class. Hidden and system files and
            folders are ignored, and files that are no images.
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
        the set's own, without alpha; of a folder, 1 if all its images are gray and 3
        otherwise. Images are upright as Exif says, on white where they are transparent,
        and in sRGB; of an animation it is the first frame. `labels` is int32 of shape
        `(n,)`, or `None` for a set without one class an image.

    Raises:
        DatasetNotFound: no such folder or set, or it is not prepared. Nothing is ever
            downloaded: the message has the command that does.
        ValueError: a bad argument, an unknown split, no images, images of different
            sizes without `image_size`, a class without images in every split, or an
            image that is unreadable, has pixels of unknown range, or has several pages.
        ImportError: only TFRecord files are there, and TensorFlow is not installed.
            Where it is, reading them starts TensorFlow (on the GPU, if it sees one).

    Example:

    >>> images, labels = kzoo.data.load("digits", limit=16)
    >>> images.shape, labels.shape
    ((16, 8, 8, 1), (16,))
    """
    limit = None if limit is None else checks.positive_int("limit", limit)
    image_size = finding.checked_size(image_size)
    if isinstance(name, str) and name in MIXTURES:
        return synthetic.mixture(name, split, limit)
    if name == "stacked_mnist":
        mnist = functools.partial(_mnist, image_size, data_dir)
        return synthetic.stacked_mnist(split, limit, mnist)
    if name == "sprites":
        return shapes.load_split(split, limit, image_size)
    source = finding.find(name, split, data_dir)
    path = functools.partial(cache.path_of, source, source.identity(), image_size)
    for cached_limit in dict.fromkeys((limit, None)):
        cached = cache.read(path(cached_limit), limit)
        if cached is not None:
            return cached
    images, labels = decoding.decode(source, image_size, limit)
    kept_limit = limit if limit == len(images) else None  # a larger one limits nothing
    cache.write(path(kept_limit), images, labels)
    return images, labels


def _mnist(image_size, data_dir, split):
    return load("mnist", split, image_size, data_dir=data_dir)
