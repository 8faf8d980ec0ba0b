"""Folders of image files."""

import functools
import os

from kzoo.data.decoding import Unreadable, opened
from kzoo.data.source import (
    DatasetNotFound,
    Encoded,
    Source,
    digest,
    in_blocks,
    pick_split,
    stamp,
)


def find(folder, split):
    if not folder.is_dir():
        raise DatasetNotFound(
            f"Expected a folder of images. Received: {folder.absolute()}, which is "
            "none. For a TensorFlow Datasets set, pass its name without a separator."
        )
    folder = folder.resolve()
    roots = {name: folder / name for name in _subfolders(folder)}
    if not {"train", "test"} & set(roots):
        roots = {"train": folder}
    root = pick_split(roots, split, f"the folder {folder}")
    classes = sorted({name for other in roots.values() for name in _subfolders(other)})
    labelled = _list_images(root, classes)
    identity = functools.partial(_identity, classes, labelled)
    read = functools.partial(_read_folder, labelled)
    return Source(str(root), split, identity, read)


def _identity(classes, labelled):
    return digest(classes, [(*stamp(path), label) for path, label in labelled])


def _subfolders(folder):
    names = (sub.name for sub in folder.iterdir() if sub.is_dir())
    return sorted(name for name in names if not name.startswith("."))


def _list_images(root, classes):
    """Pairs of an image file and the index of its class; all have one, or none has."""
    loose = list(_image_files(root, recursive=False))
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
    """Paths as strings, sorted folder by folder."""
    parent, subfolders, names = next(os.walk(folder), (folder, [], []))
    subfolders = set(subfolders)
    for name in sorted([*subfolders, *names]):
        path = os.path.join(parent, name)
        if name.startswith("."):
            continue
        if name not in subfolders:
            if _is_image(name):
                yield path
        elif recursive and not os.path.islink(path):
            yield from _image_files(path)


def _is_image(name):
    return os.path.splitext(name)[1].lower() in _image_suffixes()


@functools.cache
def _image_suffixes():
    from PIL import Image

    suffixes = Image.registered_extensions().items()
    return {suffix for suffix, kind in suffixes if kind in Image.OPEN}


def _read_folder(labelled):
    # Every file is asked, so that the channels do not depend on the limit.
    mode = "L" if all(_is_gray(path) for path, _ in labelled) else "RGB"
    pick = functools.partial(_pick_files, labelled)
    has_labels = bool(labelled) and labelled[0][1] is not None
    examples = in_blocks(pick, len(labelled))
    return Encoded(len(labelled), mode, has_labels, examples, pick)


def _pick_files(labelled, indices):
    pairs = (labelled[i] for i in indices)
    return [(path, path, label) for path, label in pairs]


def _is_gray(path):
    try:
        with opened(path, path) as image:
            return image.mode in ("1", "L", "LA") or image.mode.startswith("I;16")
    except Unreadable:  # which is said when it is decoded
        return True
