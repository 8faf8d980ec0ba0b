"""One split of a data set, before it is decoded."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple


class DatasetNotFound(LookupError):
    """No such data set, or it is not prepared; the message says how to prepare it."""


class Source(NamedTuple):
    """One split of a data set: found, but not read."""

    title: str
    split: str
    identity: Callable  # to a string that differs whenever the images may differ
    read: Callable  # without arguments, to Encoded


class Encoded(NamedTuple):
    """All images of one split, still encoded.

    An example is a tuple (where it is, the image, label or None). The image is a path,
    bytes, an array, or the exception that reading it raised.
    """

    count: int
    mode: str  # that every image is converted to, "L" or "RGB"
    labelled: bool
    examples: Iterator  # in the order of the split
    pick: Callable | None = None  # of indices, to a list of examples
    # Where there is no `pick`: of a seed or None, to examples in that seed's order
    ordered: Callable | None = None


def in_blocks(pick, count, size=512):
    """All examples in order, picked many at once, which is faster than one by one."""
    for start in range(0, count, size):
        yield from pick(range(start, min(start + size, count)))


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
    """What differs once a file has changed, even if its date was set back."""
    try:
        stat = os.stat(path)
    except FileNotFoundError:  # a link to nothing, which is said when it is decoded
        return str(path), None
    return str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
