"""scikit-learn's embedded digits."""

import functools
import itertools

import numpy as np

from kzoo.data.source import Encoded, Source, pick_split

DIGITS_TRAIN = 1500  # of the 1797 digits; the others are the test split


def find(split):
    parts = {"train": slice(DIGITS_TRAIN), "test": slice(DIGITS_TRAIN, None)}
    part = pick_split(parts, split, "digits")
    return Source("digits", split, lambda: "", functools.partial(_read_digits, part))


def _read_digits(part):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images[part] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    examples = zip(itertools.repeat("digits"), images, labels[part], strict=False)
    return Encoded(len(images), "L", True, examples)
