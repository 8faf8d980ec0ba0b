"""Where a data set is: embedded, in a folder, or prepared by TFDS."""

import os
import pathlib
import re

from kzoo import checks
from kzoo.data import embedded, folders, prepared


def checked_size(size):
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(
            "Expected image_size to be a whole number or (height, width). "
            f"Received: image_size={size!r}."
        )
    return tuple(checks.positive_int("image_size", side) for side in pair)


def find(name, split, data_dir):
    """The `Source` of a split. Fast: it imports nothing that reads images."""
    if not isinstance(name, str | os.PathLike) or not isinstance(split, str):
        raise ValueError(
            "Expected name to be a string or a path, and split a string. "
            f"Received: name={name!r}, split={split!r}."
        )
    if name in embedded.SETS:
        return embedded.find(name, split)
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
