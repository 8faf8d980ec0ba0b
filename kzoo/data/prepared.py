"""Prepared sets of TensorFlow Datasets."""

import contextlib
import difflib
import functools
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shlex

import numpy as np

from kzoo.data import embedded
from kzoo.data.source import DatasetNotFound, Encoded, Source, digest, in_blocks, stamp

SHUFFLE_BUFFER = 2048  # encoded images of TFRecord files
# Where a set that is not in the folder is looked for: so many levels below it, and so
# many folders of a level. The folder may be a home.
LEVELS_BELOW, FOLDERS_OF_LEVEL = 2, 1000


def find(name, split, data_dir):
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = pathlib.Path(root).expanduser().absolute()
    folder = _newest_version(root, name)
    if folder is None:
        raise DatasetNotFound(_how_to_find(name, root))
    identity = functools.partial(_identity, folder)
    read = functools.partial(_read_prepared, root, folder, name, split)
    return Source(name, split, identity, read)


def _identity(folder):
    return digest(sorted(map(stamp, folder.resolve().iterdir())))


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
    received = "a folder without it" if root.is_dir() else "no such folder"
    message = f"Expected the data set {name!r} in {root}. Received: {received}. "
    below = _folder_below(root, name)
    if below is None:
        return message + _how_to_get(name, root)
    place = below.relative_to(root) / name.partition(":")[0]
    return (
        f"{message}The set is below it, in {place}: pass data_dir={str(below)!r}, or "
        f"set TFDS_DATA_DIR={shlex.quote(str(below))}"
    )


def _folder_below(root, name):
    """The nearest folder below `root` that has the set, or None."""
    folders = [root]
    for _ in range(LEVELS_BELOW):
        below = (folder for parent in folders for folder in _subfolders(parent))
        folders = list(itertools.islice(below, FOLDERS_OF_LEVEL))
        for folder in folders:
            with contextlib.suppress(OSError):  # no permission
                if _newest_version(folder, name):
                    return folder
    return None


def _subfolders(folder):
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
        return [folder / name for name in sorted(names) if not name.startswith(".")]
    return []


def _how_to_get(name, root):
    # Not by TFDS's own download: offline it retries noisily for minutes and then leaves
    # half-filled folders behind.
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    base = re.split("[:/]", name)[0]
    if base in known:
        return f"Pass another data_dir, or {_how_to_prepare(name, root)}"
    choices = [*known, *embedded.SETS]
    close = ", ".join(difflib.get_close_matches(base.lower(), choices))
    message = f"TensorFlow Datasets knows no {base!r}; close matches: {close or '-'}."
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
    if not random_access:
        ordered = functools.partial(_tfrecords, builder, split, labelled)
        return Encoded(count, mode, labelled, ordered(), ordered=ordered)
    raw = {"image": tfds.decode.SkipDecoding()}
    records = builder.as_data_source(split=split, decoders=raw)
    files = [
        (pathlib.Path(part.filename).name, part.skip, part.take)
        for part in builder.info.splits[split].file_instructions
    ]
    pick = functools.partial(_pick_records, records, files, labelled)
    return Encoded(count, mode, labelled, in_blocks(pick, count), pick)


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
    mode = "L" if image.shape[-1] in (1, 2) else "RGB"
    label = features.get("label")
    scalar = isinstance(label, tfds.features.Tensor) and label.shape == ()
    return mode, scalar and np.issubdtype(label.np_dtype, np.integer)


def _pick_records(records, files, labelled, indices):
    indices = [int(i) for i in indices]
    try:
        picked = records.__getitems__(indices)
    except Exception:  # the module for array_record has no class of its own for them
        picked = [_record_or_error(records, i) for i in indices]
    return [
        (_place(files, i), one["image"], one.get("label") if labelled else None)
        for i, one in zip(indices, picked, strict=True)
    ]


def _record_or_error(records, index):
    try:
        return records[index]
    except Exception as error:
        return {"image": error}


def _place(files, index):
    """The file that a record is in and its number there, as TFDS writes them."""
    for name, skip, take in files:
        if index < take:
            return f"{name}__{skip + index}"
        index -= take
    raise IndexError(index)


def _tfrecords(builder, split, labelled, seed=None):
    """All examples, in the order of the split or, with a seed, in a random one.

    Files are read in random order, sixteen at a time, and images shuffled on the way
    through a buffer: TFRecord files can only be read from the beginning.
    """
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(
        add_tfds_id=True,
        try_autocache=False,
        shuffle_seed=seed,
        # One file after the other, so that the order is that of array_record.
        interleave_cycle_length=1 if seed is None else 16,
    )
    dataset = builder.as_dataset(
        split=split,
        shuffle_files=seed is not None,
        decoders=tfds.decode.PartialDecoding(
            {"image": True, "label": labelled},
            decoders={"image": tfds.decode.SkipDecoding()},
        ),
        read_config=config,
    )
    if seed is not None:
        dataset = dataset.shuffle(SHUFFLE_BUFFER, seed)
    for batch in tfds.as_numpy(dataset.batch(64)):
        places = [place.decode() for place in batch["tfds_id"]]
        labels = batch.get("label", itertools.repeat(None))
        yield from zip(places, batch["image"], labels, strict=False)
