"""Prepared sets of TensorFlow Datasets."""

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

from kzoo.data.source import DatasetNotFound, Encoded, Source, digest, stamp


def find(name, split, data_dir):
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = pathlib.Path(root).expanduser().absolute()
    folder = _newest_version(root, name)
    if folder is None:
        raise DatasetNotFound(_how_to_find(name, root))
    identity = digest(sorted(map(stamp, folder.resolve().iterdir())))
    read = functools.partial(_read_prepared, root, folder, name, split)
    return Source(name, split, identity, read)


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
    return Encoded(count, mode, examples)


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
