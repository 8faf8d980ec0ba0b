"""Writing files so that a crash never leaves half of one under a good name."""

import contextlib
import os
import pathlib
import shutil


@contextlib.contextmanager
def replacing(path):
    """Yields a path beside `path`; moves what was written there to `path` at the end.

    If the body raises, what it wrote is removed and `path` is as it was. The temporary
    name keeps the suffix, because Keras and Pillow choose the format by it. A folder
    can be written too.

    Example:

    >>> with replacing("model.keras") as partial:
    ...     model.save(partial)
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        if partial.is_dir() and path.exists():  # a folder cannot be replaced in one go
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
