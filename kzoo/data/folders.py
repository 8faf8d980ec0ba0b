"""Folders of image files."""

import functools
import os

from kzoo.data import pictures
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

# Besides those with a dot: of macOS, Synology, QNAP, Windows, Linux and Python.
SYSTEM_FOLDERS = {
    "__macosx",
    "@eadir",
    "#recycle",
    "#snapshot",
    "@recycle",
    "@recently-snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "__pycache__",
}
# Unless Pillow, or a plugin of it, reads them.
UNREADABLE_SUFFIXES = {
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".hif": "HEIC",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
}


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
    labelled = _list_images(root, classes, list(roots.values()))
    identity = functools.partial(_identity, classes, labelled)
    read = functools.partial(_read_folder, labelled)
    return Source(str(root), split, identity, read)


def _identity(classes, labelled):
    return digest(classes, [(*stamp(path), label) for path, label in labelled])


def _subfolders(folder):
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _entries(folder):
    """The entries of a folder, sorted by name, without those of operating systems."""
    with os.scandir(folder) as entries:
        visible = (e for e in entries if not e.name.startswith("."))
        visible = [e for e in visible if e.name.lower() not in SYSTEM_FOLDERS]
    return sorted(visible, key=lambda entry: entry.name)


def _list_images(root, classes, roots):
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
    if pairs:
        _check_no_class_is_empty(classes, {label for _, label in pairs}, roots)
    return pairs or [(path, None) for path in loose]


def _check_no_class_is_empty(classes, labels, roots):
    """A class may lack images in some splits, where the others keep their numbers."""
    absent = [name for label, name in enumerate(classes) if label not in labels]
    folders = [[root / name for root in roots] for name in absent]
    empty = [some for some in folders if not any(map(any, map(_image_files, some)))]
    if empty:
        names = ", ".join(str(f) for some in empty for f in some if f.is_dir())
        raise ValueError(
            "Expected images in every sub-folder, as each is a class. Received: none "
            f"in {names}. Remove or move what is no class, or add its images."
        )


def _image_files(folder, recursive=True, above=()):
    """Paths as strings, sorted folder by folder; links to folders are followed."""
    if not os.path.isdir(folder):
        return
    above = (*above, os.path.realpath(folder))
    for entry in _entries(folder):
        if not entry.is_dir():
            if _is_image(entry):
                yield entry.path
        elif recursive and not _leads_back(entry, above):
            yield from _image_files(entry.path, above=above)


def _leads_back(entry, above):
    """Whether a link leads to a folder that it is in, and so round and round."""
    real = os.path.realpath(entry.path)
    return entry.is_symlink() and any(
        path == real or path.startswith(os.path.join(real, "")) for path in above
    )


def _is_image(entry):
    """By the suffix, and without one by how the file begins.

    Raises:
        ValueError: for an image that would be left out because of its suffix.
    """
    suffix = os.path.splitext(entry.name)[1].lower()
    if _reads(suffix):
        return entry.is_file() or entry.is_symlink()
    if not entry.is_file():
        return False
    kind = UNREADABLE_SUFFIXES.get(suffix) or pictures.kind_of(_head(entry.path))
    if kind in UNREADABLE_SUFFIXES.values():
        raise ValueError(
            f"Expected images that Pillow reads. Received: {entry.path}, which is "
            f"{kind}. Convert it to JPEG or PNG, or register a plugin of Pillow that "
            "reads it, such as pillow-heif for HEIC, before loading."
        )
    if kind and suffix:
        raise ValueError(
            "Expected images to have the suffix of their format. Received: "
            f"{entry.path}, which begins as {kind}. Rename it, convert it (a camera's "
            "raw file) or move it elsewhere."
        )
    return bool(kind)


def _head(path):
    with open(path, "rb") as file:
        return file.read(12)


def _reads(suffix):
    from PIL import Image

    return Image.registered_extensions().get(suffix) in Image.OPEN


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
            return pictures.is_gray(image)
    except Unreadable:  # which is said when it is decoded
        return True
