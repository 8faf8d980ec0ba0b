"""Encoded images to one array, in threads."""

import contextlib
import functools
import io
import itertools
import os
from concurrent import futures

import numpy as np

from kzoo.data import pictures

PROGRESS_AFTER = 1  # second; before that a progress bar cannot be read


class Unreadable(ValueError):
    """An image that cannot be decoded; `received` says which one, and why."""

    def __init__(self, received):
        super().__init__(
            f"Expected a readable image. Received: {received}. Replace it or remove it."
        )
        self.received = received


def decode(source, image_size, limit):
    from tqdm import tqdm

    encoded = source.read()
    count = min(limit or encoded.count, encoded.count)
    if not count:
        raise ValueError(
            f"Expected images in {source.title}, split {source.split!r}. "
            "Received: none."
        )
    decode_one = functools.partial(pixels, encoded.mode, image_size)
    examples = itertools.islice(encoded.examples, count)
    progress = {"desc": f"Decoding {source.title}", "delay": PROGRESS_AFTER}
    with tqdm(_in_threads(decode_one, examples), total=count, **progress) as decoded:
        return _stack(decoded, count)


def _in_threads(function, items):
    """Maps in order, with few images in memory.

    A thread takes several at once: small images are decoded faster than handed over.
    """
    batches = iter(lambda: list(itertools.islice(items, 16)), [])
    with futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        while block := list(itertools.islice(batches, 16)):
            for results in pool.map(lambda batch: [function(*i) for i in batch], block):
                yield from results


def _stack(decoded, count):
    first, image, label = next(decoded := iter(decoded))
    images = np.empty((count, *image.shape), np.uint8)
    labels = None if label is None else np.empty(count, np.int32)
    together = itertools.chain([(first, image, label)], decoded)
    for index, (where, image, label) in enumerate(together):
        check_size(images.shape[1:], first, image.shape, where)
        images[index] = image
        if labels is not None:
            labels[index] = label
    return images, labels


def check_size(expected, first, shape, where):
    if shape != expected:
        raise ValueError(
            "Expected images of one size, as image_size is not given. Received: "
            f"{expected[:2]} ({first}) and {shape[:2]} ({where}). "
            "Pass image_size=(height, width)."
        )


def pixels(mode, image_size, where, encoded, label):
    """An example with uint8 `(height, width, channels)` in the place of its image.

    Raises:
        Unreadable: if it cannot be decoded.
    """
    with opened(encoded, where) as image:
        image = pictures.convert(image, mode)
        array = np.asarray(_fitted(image, image_size) if image_size else image)
    return where, array.reshape(*array.shape[:2], -1), label


@contextlib.contextmanager
def opened(encoded, where):
    """The Pillow image; an error while it is open names `where` it is."""
    from PIL import Image

    try:
        if isinstance(encoded, Exception):
            raise encoded
        if isinstance(encoded, np.ndarray):
            yield Image.fromarray(encoded)
        else:
            is_bytes = isinstance(encoded, bytes)
            # Not by its path: Pillow then maps TIFFs that lie on their side wrongly.
            with (
                io.BytesIO(encoded) if is_bytes else open(encoded, "rb") as file,
                Image.open(file) as image,
            ):
                yield image
    except Exception as error:  # Pillow's formats raise all sorts of them
        reason = pictures.why_unreadable(encoded, error)
        raise Unreadable(f"{where} ({reason})") from error


def _fitted(image, size):
    """Crops to the aspect ratio of `size = (height, width)`, then resizes."""
    from PIL import Image

    height, width = size
    scale = min(image.height / height, image.width / width)
    crop_height = max(1, round(height * scale))
    crop_width = max(1, round(width * scale))
    # Whole pixels, so that a crop without resizing keeps them as they are.
    left = (image.width - crop_width) // 2
    top = (image.height - crop_height) // 2
    box = (left, top, left + crop_width, top + crop_height)
    return image.resize((width, height), Image.Resampling.BILINEAR, box)
