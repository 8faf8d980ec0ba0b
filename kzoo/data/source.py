"""One split of a data set, before it is decoded."""

import hashlib
from collections.abc import Callable, Iterator
from typing import NamedTuple


class DatasetNotFound(LookupError):
    """No such data set, or it is not prepared; the message says how to prepare it."""


class Source(NamedTuple):
    """One split of a data set: found, but not read."""

    title: str
    split: str
    identity: str  # differs whenever the images may differ
    read: Callable  # without arguments, to Encoded


class Encoded(NamedTuple):
    """All images of one split, still encoded."""

    count: int
    mode: str  # the Pillow mode that every image is converted to
    examples: Iterator  # of (where it is, path or bytes or array, label or None)


def pick_split(splits, split, title):
    if split not in splits:
        raise ValueError(
            f"Expected split to be one of {', '.join(map(repr, splits))} for {title}. "
            f"Received: split={split!r}."
        )
    return splits[split]


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def stamp(path):
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns
