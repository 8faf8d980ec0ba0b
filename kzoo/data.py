"""Image data sets as numpy arrays, decoded once and then read from a cache.

`load` knows scikit-learn's embedded digits, folders of image files, and every prepared
image set of TensorFlow Datasets (TFDS).

The cache is the folder that the environment variable `KZOO_CACHE` names, by default
`~/.cache/kzoo`. Nothing else is kept there: delete it at any time.
"""

import contextlib
import difflib
import functools
import hashlib
import importlib.util
import io
import itertools
import json
import os
import pathlib
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np

from kzoo import checks, files

DIGITS_TRAIN = 1500  # of the 1797 digits; the others are the test split
PROGRESS_FROM = 5000  # images; fewer are there before a progress bar can be read
CACHE_FORMAT = 1  # to be changed whenever the same source would be decoded differently


class DatasetNotFound(LookupError):
    """No such data set, or it is not prepared; the message says how to prepare it."""


class _Source(NamedTuple):
    """One split of a data set: found, but not read."""

    title: str
    split: str
    identity: str  # differs whenever the images may differ
    read: Callable  # without arguments, to _Encoded


class _Encoded(NamedTuple):
    """All images of one split, still encoded."""

    count: int
    mode: str  # the Pillow mode that every image is converted to
    examples: Iterator  # of (where it is, path or bytes or array, label or None)


def load(name="digits", split="train", image_size=None, limit=None, data_dir=None):
    """Loads one split of an image data set.

    Args:
        name: `"digits"` (8x8, embedded, offline: 1500 train and 297 test), or
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
        `(images, labels)`, both writable. `images` is uint8 in [0, 255] of shape
        `(n, height, width, channels)`. The channels are the set's own; of a folder, 1
        if all its images are gray and 3 otherwise, without alpha. `labels` is int32 of
        shape `(n,)`, or `None` for a set without one class an image.

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
    source = _find(name, split, data_dir)
    for cached_limit in dict.fromkeys((limit, None)):
        cached = _read_cache(_cache_path(source, image_size, cached_limit), limit)
        if cached is not None:
            return cached
    images, labels = _decode(source, image_size, limit)
    kept_limit = limit if limit == len(images) else None  # a larger one limits nothing
    _write_cache(_cache_path(source, image_size, kept_limit), images, labels)
    return images, labels


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
    """The `_Source` of a split. Fast: it imports nothing that reads images."""
    if not isinstance(name, str | os.PathLike) or not isinstance(split, str):
        raise ValueError(
            "Expected name to be a string or a path, and split a string. "
            f"Received: name={name!r}, split={split!r}."
        )
    if name == "digits":
        return _find_digits(split)
    if _means_folder(name):
        return _find_folder(pathlib.Path(name).expanduser(), split)
    return _find_prepared(name, split, data_dir)


def _means_folder(name):
    if isinstance(name, os.PathLike):
        return True
    # TFDS writes a set's configuration behind a slash: "lsun/bedroom".
    configured = re.fullmatch(r"\w+/\w[\w.-]*(:[\d.*]+)?", name)
    separated = "/" in name or os.sep in name
    return separated and (not configured or pathlib.Path(name).is_dir())


def _pick_split(splits, split, title):
    if split not in splits:
        raise ValueError(
            f"Expected split to be one of {', '.join(map(repr, splits))} for {title}. "
            f"Received: split={split!r}."
        )
    return splits[split]


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]


def _stamp(path):
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


# Digits


def _find_digits(split):
    parts = {"train": slice(DIGITS_TRAIN), "test": slice(DIGITS_TRAIN, None)}
    part = _pick_split(parts, split, "digits")
    return _Source("digits", split, "", functools.partial(_read_digits, part))


def _read_digits(part):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images[part] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    examples = zip(itertools.repeat("digits"), images, labels[part], strict=False)
    return _Encoded(len(images), "L", examples)


# Folders


def _find_folder(folder, split):
    if not folder.is_dir():
        raise DatasetNotFound(
            f"Expected a folder of images. Received: {folder.absolute()}, which is "
            "none. For a TensorFlow Datasets set, pass its name without a separator."
        )
    folder = folder.resolve()
    roots = {name: folder / name for name in _subfolders(folder)}
    if not {"train", "test"} & set(roots):
        roots = {"train": folder}
    root = _pick_split(roots, split, f"the folder {folder}")
    classes = sorted({name for other in roots.values() for name in _subfolders(other)})
    labelled = _list_images(root, classes)
    identity = _digest(classes, [(*_stamp(path), label) for path, label in labelled])
    read = functools.partial(_read_folder, labelled)
    return _Source(str(root), split, identity, read)


def _subfolders(folder):
    names = (sub.name for sub in folder.iterdir() if sub.is_dir())
    return sorted(name for name in names if not name.startswith("."))


def _list_images(root, classes):
    """Pairs of an image file and the index of its class; all have one, or none has."""
    loose = _image_files(root, recursive=False)
    pairs = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _image_files(root / name)
    ]
    if loose and pairs:
        raise ValueError(
            "Expected all images in the folders of their classes, or none. "
            f"Received: {loose[0]} beside {pairs[0][0]}. Move the one or the other."
        )
    return pairs or [(path, None) for path in loose]


def _image_files(folder, recursive=True):
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [s for s in subfolders if recursive and not s.startswith(".")]
        paths = (pathlib.Path(parent, n) for n in names if not n.startswith("."))
        found += [path for path in paths if path.suffix.lower() in _image_suffixes()]
    return sorted(found)


@functools.cache
def _image_suffixes():
    from PIL import Image

    suffixes = Image.registered_extensions().items()
    return {suffix for suffix, kind in suffixes if kind in Image.OPEN}


def _read_folder(labelled):
    # Every file is asked, so that the channels do not depend on the limit.
    mode = "L" if all(_is_gray(path) for path, _ in labelled) else "RGB"
    examples = ((path, path, label) for path, label in labelled)
    return _Encoded(len(labelled), mode, examples)


def _is_gray(path):
    with _opened(path, path) as image:
        return image.mode in ("1", "L", "LA") or image.mode.startswith("I;16")


# TensorFlow Datasets


def _find_prepared(name, split, data_dir):
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = pathlib.Path(root).expanduser().absolute()
    folder = _newest_version(root, name)
    if folder is None:
        raise DatasetNotFound(_how_to_find(name, root))
    identity = _digest(sorted(map(_stamp, folder.resolve().iterdir())))
    read = functools.partial(_read_prepared, root, folder, name, split)
    return _Source(name, split, identity, read)


def _newest_version(root, name):
    """`root/set/[configuration/]version` of a prepared set, or None."""
    name, _, version = name.partition(":")
    folder = root / name
    metadata = folder / ".config" / "metadata.json"
    if metadata.is_file():
        folder /= json.loads(metadata.read_text()).get("default_config_name") or ""
    versions = [
        path
        for path in folder.glob(version or "*")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.name)
        and (path / "dataset_info.json").is_file()
    ]
    return max(versions, key=lambda p: [*map(int, p.name.split("."))], default=None)


def _how_to_find(name, root):
    # Not by TFDS's own download: offline it retries noisily for minutes and then leaves
    # half-filled folders behind.
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    base = re.split("[:/]", name)[0]
    received = "a folder without it" if root.is_dir() else "no such folder"
    message = f"Expected the data set {name!r} in {root}. Received: {received}. "
    if base in known:
        return message + f"Pass another data_dir, or {_how_to_prepare(name, root)}"
    close = ", ".join(difflib.get_close_matches(base.lower(), [*known, "digits"]))
    message += f"TensorFlow Datasets knows no {base!r}; close matches: {close or '-'}."
    if pathlib.Path(name).is_dir():
        message += f" For the folder of this name, pass {'./' + name!r}."
    return message


def _how_to_prepare(name, root):
    """The command. `tfds build` would be shorter, but needs apache-beam to start."""
    prepare = (
        f"import tensorflow_datasets as tfds; tfds.builder({json.dumps(name)}, "
        f'data_dir={json.dumps(str(root))}, file_format="array_record")'
        ".download_and_prepare()"
    )
    return (
        "prepare it once, with a network: pip install tensorflow importlib_resources "
        f"&& python -c {shlex.quote(prepare)}"
    )


def _read_prepared(root, folder, name, split):
    import tensorflow_datasets as tfds

    random_access = any(folder.glob("*.array_record*"))
    if not random_access and importlib.util.find_spec("tensorflow") is None:
        raise ImportError(_how_to_reprepare(name, root, folder))
    file_format = "array_record" if random_access else None
    builder = tfds.builder_from_directory(folder, file_format=file_format)
    count = _count(builder.info.splits, split, name)
    mode, labelled = _checked_features(dict(builder.info.features.items()), name)
    if random_access:
        pairs = _array_records(builder, split, count)
    else:
        pairs = _tfrecords(builder, split, labelled)
    examples = (
        (f"{name} {split} image {index}", image, label if labelled else None)
        for index, (image, label) in enumerate(pairs)
    )
    return _Encoded(count, mode, examples)


def _how_to_reprepare(name, root, folder):
    # Into another folder: TFDS refuses a second format beside the first.
    apart = root / "array_record"
    return (
        f"Expected array_record files, or TensorFlow to read others. Received: {folder}"
        " has no array_record files and TensorFlow is not installed. Either pip install"
        f" tensorflow, or pass data_dir={str(apart)!r} and "
        f"{_how_to_prepare(name, apart)}"
    )


def _count(splits, split, name):
    try:
        return splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"Expected split to be one of {', '.join(map(repr, splits))} for {name}, "
            f"or a slice such as 'train[:10%]'. Received: split={split!r} ({error})."
        ) from error


def _checked_features(features, name):
    """The Pillow mode of `image`, and whether every image has one class."""
    import tensorflow_datasets as tfds

    image = features.get("image")
    if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
        raise ValueError(
            f"Expected a set with a feature 'image' of uint8 images. Received: {name} "
            f"with the features {', '.join(features)}."
        )
    mode = {1: "L", 2: "LA", 4: "RGBA"}.get(image.shape[-1], "RGB")
    label = features.get("label")
    scalar = isinstance(label, tfds.features.Tensor) and label.shape == ()
    return mode, scalar and np.issubdtype(label.np_dtype, np.integer)


def _array_records(builder, split, count):
    import tensorflow_datasets as tfds

    raw = {"image": tfds.decode.SkipDecoding()}
    records = builder.as_data_source(split=split, decoders=raw)
    for start in range(0, count, 512):  # in blocks: four times as fast as one by one
        block = range(start, min(start + 512, count))
        for example in records.__getitems__(list(block)):
            yield example["image"], example.get("label")


def _tfrecords(builder, split, labelled):
    import tensorflow_datasets as tfds

    batches = builder.as_dataset(
        split=split,
        batch_size=512,
        decoders=tfds.decode.PartialDecoding(
            {"image": True, "label": labelled},
            decoders={"image": tfds.decode.SkipDecoding()},
        ),
        # One file after the other, so that the order is that of array_record.
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    for batch in tfds.as_numpy(batches):
        labels = batch.get("label", itertools.repeat(None))
        yield from zip(batch["image"], labels, strict=False)


# Decoding


def _decode(source, image_size, limit):
    from tqdm import tqdm

    encoded = source.read()
    count = min(limit or encoded.count, encoded.count)
    if not count:
        raise ValueError(
            f"Expected images in {source.title}, split {source.split!r}. "
            "Received: none."
        )
    pixels = functools.partial(_pixels, encoded.mode, image_size)
    examples = itertools.islice(encoded.examples, count)
    progress = {"desc": f"Decoding {source.title}", "disable": count <= PROGRESS_FROM}
    with tqdm(_in_threads(pixels, examples), total=count, **progress) as decoded:
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
        if image.shape != images.shape[1:]:
            raise ValueError(
                "Expected images of one size, as image_size is not given. Received: "
                f"{images.shape[1:3]} ({first}) and {image.shape[:2]} ({where}). "
                "Pass image_size=(height, width)."
            )
        images[index] = image
        if labels is not None:
            labels[index] = label
    return images, labels


def _pixels(mode, image_size, where, encoded, label):
    with _opened(encoded, where) as image:
        image = _converted(image, mode)
        pixels = np.asarray(_fitted(image, image_size) if image_size else image)
    return where, pixels.reshape(*pixels.shape[:2], -1), label


@contextlib.contextmanager
def _opened(encoded, where):
    """The Pillow image; an error while it is open names `where` it is."""
    from PIL import Image

    try:
        if isinstance(encoded, np.ndarray):
            yield Image.fromarray(encoded)
        else:
            file = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
            with Image.open(file) as image:
                yield image
    except Exception as error:  # Pillow's formats raise all sorts of them
        raise ValueError(
            f"Expected a readable image. Received: {where} ({error}). Replace it or "
            "remove it."
        ) from error


def _converted(image, mode):
    from PIL import Image

    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, of unknown range")
    if image.mode.startswith("I;16"):  # which Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == mode else image.convert(mode)


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


# The cache


def _cache_path(source, image_size, limit):
    folder = os.environ.get("KZOO_CACHE") or os.path.join("~", ".cache", "kzoo")
    name = re.sub(r"[^\w.-]+", "-", f"{source.title}-{source.split}")[-60:].strip("-.")
    key = _digest(CACHE_FORMAT, *source[:3], image_size, limit)
    return pathlib.Path(os.path.expanduser(folder), f"{name}-{key}.npz")


def _read_cache(path, limit):
    try:
        with np.load(path) as arrays:  # checks a sum over each array
            images, labels = arrays["images"], arrays.get("labels")
    except Exception:  # whatever is wrong with the file, it can be written anew
        return None
    if limit is None or limit >= len(images):
        return images, labels
    return images[:limit].copy(), None if labels is None else labels[:limit].copy()


def _write_cache(path, images, labels):
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
