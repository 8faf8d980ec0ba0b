"""Decoded arrays on disk."""

import functools
import os
import pathlib
import re
import warnings

import numpy as np

from kzoo import files
from kzoo.data.source import digest

CACHE_FORMAT = 2  # to be changed whenever the same source would be decoded differently


def path_of(source, identity, image_size, limit):
    folder = os.environ.get("KZOO_CACHE") or os.path.join("~", ".cache", "kzoo")
    name = re.sub(r"[^\w.-]+", "-", f"{source.title}-{source.split}")[-60:].strip("-.")
    key = digest(CACHE_FORMAT, source.title, source.split, identity, image_size, limit)
    return pathlib.Path(os.path.expanduser(folder), f"{name}-{key}.npz")


def read(path, limit):
    try:
        with np.load(path) as arrays:  # checks a sum over each array
            images, labels = arrays["images"], arrays.get("labels")
    except Exception:  # whatever is wrong with the file, it can be written anew
        return None
    if limit is None or limit >= len(images):
        return images, labels
    return images[:limit].copy(), None if labels is None else labels[:limit].copy()


def write(path, images, labels):
    arrays = (
        {"images": images} if labels is None else {"images": images, "labels": labels}
    )
    try:
        with files.replacing(path) as partial:
            np.savez(partial, **arrays)
    except OSError as error:
        _warn_unwritable(str(path.parent), str(error))


@functools.cache  # once
def _warn_unwritable(folder, reason):
    warnings.warn(
        f"Expected to keep decoded images in {folder}. Received: {reason}. They will "
        "be decoded every time. Set KZOO_CACHE to a folder that can be written.",
        stacklevel=4,
    )
