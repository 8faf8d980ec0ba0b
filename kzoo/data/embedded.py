"""Sets that need neither a network nor a folder: digits of two sizes."""

import functools
import itertools
import pathlib

import numpy as np

from kzoo.data.source import Encoded, Source, pick_split

DIGITS_TRAIN = 1500  # of scikit-learn's 1797 digits; the others are the test split
MNIST = pathlib.Path(__file__).parent / "mnist_10k.npz"
SPLITS = ("train", "test")


def find(name, split):
    """The `Source` of one of `SETS`."""
    pick_split(dict.fromkeys(SPLITS), split, name)
    read = functools.partial(_read, name, SETS[name], split)
    return Source(name, split, lambda: "", read)


def _read(name, arrays, split):
    images, labels = arrays(split)
    examples = zip(itertools.repeat(name), images, labels, strict=False)
    return Encoded(len(images), "L", True, examples)


def _digits(split):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    train = split == "train"
    part = slice(DIGITS_TRAIN) if train else slice(DIGITS_TRAIN, None)
    return images[part], labels[part]


def _mnist_10k(split):
    with np.load(MNIST) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"]


SETS = {"digits": _digits, "mnist_10k": _mnist_10k}
