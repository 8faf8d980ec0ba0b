"""Pictures to look at: images side by side, and the loss curves of a run.

Drawn by matplotlib's figure objects alone: no window, no pyplot, no global state.

Example:

>>> images, _ = kzoo.data.load("digits", limit=32)
>>> kzoo.show(images)  # as the last line of a notebook cell: the picture
>>> kzoo.show(images).save("digits.png")
"""

import io
import math
import pathlib

import numpy as np

from kzoo import checks, media
from kzoo.files import replacing

DPI = 64  # a power of two, so that pixels divided by it are exact
PANELS = 3  # in a row


def show(images, columns=None):
    """Arranges images as one picture, row by row.

    Args:
        images: `(n, height, width, channels)`, or one image `(height, width,
            channels)`, with 1 or 3 channels, uint8 in [0, 255] or float in [0, 1].
        columns: images in a row. Default: 8, or more to make a square of over 64.

    Returns:
        A `Picture`, which a notebook shows; `show(images).save("grid.png")` writes it.

    Raises:
        ValueError: for another shape or dtype, no images, or values out of range.
    """
    columns = None if columns is None else checks.positive_int("columns", columns)
    images = checks.to_numpy(images)
    if images.ndim == 3:
        images = images[None]
    if columns is None:
        columns = max(1, min(len(images), 8), math.ceil(math.sqrt(len(images))))
    return Picture(media.picture(images, columns))


class Picture:
    """A picture that a notebook shows and that can be saved.

    Attributes:
        pixels: uint8 `(height, width, channels)`, 1 or 3 channels.
    """

    def __init__(self, pixels):
        self.pixels = pixels

    @property
    def figure(self):
        """A new `matplotlib.figure.Figure` of exactly these pixels."""
        figure = new_figure(dpi=DPI)
        colors = np.broadcast_to(self.pixels, (*self.pixels.shape[:2], 3))
        figure.figimage(colors, origin="upper", resize=True)
        return figure

    def save(self, path):
        """Writes the picture; the suffix of `path` says how: `.png`, `.jpg`, `.pdf`.

        A file that is there is replaced, in one step.
        """
        save_figure(self.figure, path)

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png")
        return buffer.getvalue()


def draw_history(history, path):
    """Draws the curves of a run, a panel for each log, and writes them to `path`.

    Args:
        history: `{name: [one number an epoch]}`, as `fit` returns in `.history`. What
            is called `val_...` shares the panel of what it validates. A list that is
            shorter than the longest is taken for one number every few epochs.
        path: the file, `history.png`. One that is there is replaced, in one step.
    """
    names = [name for name in history if not _validates(name, history)] or [None]
    epochs = max(map(len, history.values()), default=0)
    columns = min(PANELS, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(figsize=(4.5 * columns, 3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for panel, name in zip(panels, names, strict=False):
        _draw_curves(panel, name, history, epochs)
    for panel in list(figure.axes)[len(names) :]:
        panel.remove()
    save_figure(figure, path)


def _validates(name, history):
    return name.startswith("val_") and name.removeprefix("val_") in history


def _draw_curves(panel, name, history, epochs):
    from matplotlib.ticker import MaxNLocator

    if not epochs:
        panel.set_title("no epochs")
        return
    for key, label in ((name, "training"), (f"val_{name}", "validation")):
        values = history.get(key, [])
        if len(values):
            step = epochs // len(values)
            x = step * np.arange(1, len(values) + 1)
            panel.plot(x, values, label=label, marker="." if len(values) < 30 else "")
    if f"val_{name}" in history:
        panel.legend()
    panel.set_title(name)
    panel.set_xlabel("epoch")
    panel.set_xlim(0.5, epochs + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    panel.grid(alpha=0.3)


def new_figure(**settings):
    """A matplotlib figure that no window and no pyplot knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(**settings)
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure, path):
    """Writes a figure; a file that is there is replaced, in one step."""
    with replacing(pathlib.Path(path)) as partial:
        figure.savefig(partial)
