"""Keras callbacks that draw, while `fit` runs, what a generative model has learned.

After every `every`-th epoch they write `<folder>/epoch_0001.png` and so on, epochs
counted from 1, and with `log_dir` a TensorBoard image `samples`, `reconstructions` or
`latents` there, its step the epoch. They work between epochs only: a batch hook would
cost Keras its asynchronous dispatch.

Example:

>>> grids = [SampleGrid("run/samples"), ReconstructionGrid("run/pairs", images[:16])]
>>> model.fit(images, epochs=20, callbacks=grids)
"""

import importlib.util
import pathlib
import statistics
import time

import keras
import numpy as np

from kzoo import backend, checks
from kzoo.files import replacing


class _Grid(keras.callbacks.Callback):
    """What the grids share. `prepare` returns the model's inputs, labels, columns."""

    def __init__(self, folder, labels, every, log_dir):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.labels, self.log_dir = labels, log_dir
        self.every = checks.positive_int("every", every)
        if log_dir is not None and importlib.util.find_spec("tensorboard") is None:
            raise ImportError("`log_dir` needs TensorBoard: `pip install tensorboard`.")

    def set_model(self, model):
        # A part that is trained by itself, such as a VQ-VAE's prior, names the whole.
        super().set_model(getattr(model, "whole", lambda: model)())

    def on_train_begin(self, logs=None):
        self._last_epoch = 0
        self._inputs, labels, self._columns = self.prepare()
        one_for_all = labels is not None and np.ndim(labels) == 0
        self._labels = np.full(len(self._inputs), labels) if one_for_all else labels
        self.draw()  # what the model refuses, it refuses before an epoch is spent

    def on_epoch_end(self, epoch, logs=None):
        self._last_epoch = epoch + 1
        if self._last_epoch % self.every:
            return
        examples = self.draw()
        if not backend.is_chief():
            return
        picture = self.model.medium.picture(examples, self._columns)
        path = self.folder / f"epoch_{self._last_epoch:04d}.png"
        with replacing(path) as partial:
            keras.utils.save_img(
                partial, picture, "channels_last", scale=False, compress_level=1
            )
        if self.log_dir is not None:
            _log_image(self.log_dir, self.tag, self._last_epoch, path, picture.shape)

    def draw(self):
        # Clipped, as rounding may leave [0, 1] by a hair.
        return np.clip(self.model.generate(self._inputs, labels=self._labels), 0, 1)


class SampleGrid(_Grid):
    """Draws the same latents after each epoch, and an animation when training ends.

    `<folder>/animation.gif` shows all pictures in the folder up to the last epoch, so
    that a resumed run shows its earlier epochs too: give each run its own folder.

    Args:
        latents: `(n, latent_dim)`. Default: `model.draw_latents(rows * columns, seed)`,
            in each epoch anew, as a prior may be trained as well.
        labels: `(n,)` integers, or one for all. Default for a model with classes:
            `arange(n) % num_classes`, one class a column if `columns == num_classes`.
        columns: images in a row. Default: `num_classes` if that is at most 16, else 8.
        rows, seed: of the latents to draw; not used with `latents`.
    """

    tag = "samples"

    def __init__(
        self,
        folder,
        latents=None,
        labels=None,
        rows=8,
        columns=None,
        seed=0,
        every=1,
        log_dir=None,
    ):
        super().__init__(folder, labels, every, log_dir)
        self.latents, self.seed = latents, checks.whole_number("seed", seed)
        self.rows, self.columns = checks.positive_int("rows", rows), columns
        if columns is not None:
            checks.positive_int("columns", columns)

    def prepare(self):
        classes, latents, labels = self.model.num_classes, self.latents, self.labels
        columns = self.columns or (classes if classes and classes <= 16 else 8)
        n = self.rows * columns if latents is None else len(latents)
        if labels is None and classes:
            labels = np.arange(n) % classes
        if latents is None:
            latents = self.from_prior(n, labels)
        return latents, labels, columns

    def from_prior(self, n, labels):
        given = {} if labels is None else {"labels": labels}
        return self.model.draw_latents(n, seed=self.seed, **given)

    def draw(self):
        if self.latents is None:
            self._inputs = self.from_prior(len(self._inputs), self._labels)
        return super().draw()

    def on_train_end(self, logs=None):
        if backend.is_chief():
            _animate(self.folder, self._last_epoch)


class ReconstructionGrid(_Grid):
    """Draws rows of images, each above the row that an autoencoder makes of it.

    Args:
        images: `(n, height, width, channels)` of the model's shape, uint8 in [0, 255]
            or float in [0, 1]. The first 64 are drawn.
        labels: `(n,)` integers, or one for all, if the model has classes.
        columns: images in a row.
    """

    tag = "reconstructions"

    def __init__(self, folder, images, labels=None, columns=8, every=1, log_dir=None):
        super().__init__(folder, labels, every, log_dir)
        self.images = images
        self.columns = checks.positive_int("columns", columns)

    def prepare(self):
        if not hasattr(self.model, "reconstruct"):
            raise TypeError(
                "ReconstructionGrid expected a model with `reconstruct`. Received: "
                f"{checks.title(self.model)}. Use SampleGrid, which needs no encoder."
            )
        images = self.model.medium.array(self.images[:64])
        labels = self.labels[:64] if np.ndim(self.labels) else self.labels
        return images, labels, min(self.columns, len(images))

    def draw(self):
        outputs = self.model.reconstruct(self._inputs, labels=self._labels)
        return self.model.medium.pairs(self._inputs, outputs, self._columns)


class LatentGrid(_Grid):
    """Draws what the coordinates of the latent space mean.

    Two dimensions give a walk over the plane, at quantiles of the standard normal from
    5 % to 95 %: the first coordinate grows to the right, the second upwards. Else row
    `i`, of at most 10, moves coordinate `i` from -3 to 3 with the others at 0.

    Args:
        labels: the class of all images, if the model has classes. Default: 0.
        size: images in a row.
    """

    tag = "latents"

    def __init__(self, folder, labels=None, size=15, every=1, log_dir=None):
        super().__init__(folder, labels, every, log_dir)
        self.size = checks.positive_int("size", size)

    def prepare(self):
        labels = 0 if self.labels is None and self.model.num_classes else self.labels
        return _walk(self.size, self.model.latent_dim), labels, self.size


def _walk(size, dim):
    if dim == 2:
        quantile = statistics.NormalDist().inv_cdf
        steps = [quantile(p) for p in np.linspace(0.05, 0.95, size)]
        return np.array([(x, y) for y in reversed(steps) for x in steps], "float32")
    axes = np.eye(min(dim, 10), dim, dtype="float32")
    steps = np.linspace(-3, 3, size, dtype="float32")
    return (axes[:, None] * steps[:, None]).reshape(-1, dim)


def _animate(folder, last_epoch):
    """Writes `animation.gif` from the folder's pictures up to `last_epoch`, if any."""
    names = {path.stem[6:]: path for path in folder.glob("epoch_*.png")}
    epochs = sorted((int(n), path) for n, path in names.items() if n.isdecimal())
    paths = [path for epoch, path in epochs if epoch <= last_epoch]
    # A GIF has one size, and a run with other settings may have left its pictures here.
    paths = [path for path in paths if _size(path) == _size(paths[-1])]
    if paths:
        frames, times = map(_frame, paths), [200] * (len(paths) - 1) + [2000]
        with replacing(folder / "animation.gif") as gif:
            next(frames).save(
                gif, save_all=True, append_images=frames, duration=times, loop=0
            )


def _frame(path):
    from PIL import Image

    with Image.open(path) as picture:
        if picture.mode == "L":
            return picture.copy()
        # Pillow's default, median cut, takes 0.2 s a frame and leaves bands of colour.
        palette = picture.quantize(method=Image.Quantize.FASTOCTREE)
        return picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _size(path):
    from PIL import Image

    with Image.open(path) as image:
        return image.size


def _log_image(log_dir, tag, step, png, shape):
    # tensorboard's EventFileWriter would import TensorFlow where it is installed.
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    sizes = dict(zip(("height", "width", "colorspace"), shape, strict=True))
    value = {"tag": tag, "image": {"encoded_image_string": png.read_bytes(), **sizes}}
    event = Event(wall_time=time.time(), step=step, summary={"value": [value]})
    # All grids share a file, because TensorBoard follows only the last in a folder.
    path = pathlib.Path(log_dir, "events.out.tfevents.kzoo")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        RecordWriter(file).write(event.SerializeToString())
