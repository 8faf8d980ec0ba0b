"""kzoo: the Keras 3 zoo of generative models."""

import importlib
import os
import sys

__version__ = "0.1.0"

__all__ = [
    "GenerativeModel",
    "backend",
    "callbacks",
    "data",
    "distribution",
    "layers",
    "metrics",
    "models",
    "networks",
    "parts",
    "show",
]
_HOMES = {"GenerativeModel": "kzoo.base", "show": "kzoo.figures"}


def __getattr__(name):
    """Loads a part of the package when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'kzoo' has no attribute {name!r}")
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        value = importlib.import_module(f"kzoo.{name}")
    globals()[name] = value
    return value


def _is_command():
    """Whether Python was started as `kzoo ...` or as `python -m kzoo ...`."""
    program = (getattr(sys, "argv", None) or [""])[0]
    if program == "-m":  # until Python has found the module
        options = sys.orig_argv
        return "-m" in options and options[options.index("-m") + 1] == "kzoo"
    return os.path.basename(program) in ("kzoo", "kzoo.exe")


# Loading the models registers their classes with Keras: `keras.saving.load_model` needs
# no more than `import kzoo`. The command answers --help without Keras.
if not _is_command():
    from kzoo import (
        backend,
        callbacks,
        data,
        distribution,
        layers,
        metrics,
        models,
        networks,
        parts,
    )
    from kzoo.base import GenerativeModel
    from kzoo.figures import show
