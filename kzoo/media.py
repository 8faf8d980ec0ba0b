"""What a model draws: images. What else it may be, it has the methods of `Images`."""

import math

import keras
import numpy as np
from keras import ops

from kzoo import checks

LIGHT = 224  # unlike the black and white of images and the gray of untrained ones
MIN_WIDTH = 500  # in pixels, so that a grid of 8x8 images can be seen


class Images:
    """Images of one shape: uint8 in [0, 255] or float in [0, 1], channels last.

    What a medium has: the name of its batches, `shape`, and the methods below.

    Args:
        shape: `(height, width, channels)`.
    """

    name = "images"

    def __init__(self, shape):
        self.shape = image_shape(shape)

    def check_data(self, x, y=None, num_classes=None):
        """Raises a `ValueError` for data that `fit` cannot take: see `check_data`."""
        check_data(self.shape, num_classes, x, y)

    def check_batch(self, batch):
        """Raises a `ValueError` by the shape of a tensor alone: see `batch_shape`."""
        batch_shape(batch, self.shape)

    def check_values(self, examples):
        """Raises a `ValueError` for values that are not of this medium."""
        check_values(checks.to_numpy(examples), self.shape)

    def normalized(self, batch):
        """A tensor as float32 in [0, 1]: see `unit_range`."""
        return unit_range(batch)

    def array(self, examples):
        """NumPy's float32 in [0, 1], values checked: see `images_array`."""
        return images_array(examples, self.shape)

    def picture(self, examples, columns):
        """Examples as one picture, uint8 `(height, width, channels)`: see `picture`."""
        return picture(examples, columns)

    def pairs(self, inputs, outputs, columns):
        """Examples such that a picture has inputs above outputs: see `interleave`."""
        return interleave(inputs, outputs, columns)

    def spec(self):
        """The `keras.InputSpec` of a float batch, for exported signatures."""
        return keras.InputSpec(
            shape=(None, *self.shape), dtype="float32", name=self.name
        )


def image_shape(shape):
    """Returns `shape` as a tuple `(height, width, channels)` of positive ints."""
    shape = tuple(shape)
    if len(shape) != 3 or not all(isinstance(n, int | np.integer) for n in shape):
        raise ValueError(
            "Expected image_shape to be (height, width, channels), three whole "
            f"numbers such as (28, 28, 1). Received: image_shape={shape}."
        )
    return tuple(checks.positive_int("every number in image_shape", n) for n in shape)


def batch_shape(images, shape, argument="images"):
    """Raises a `ValueError` unless `images` is a batch of images of `shape`.

    Works on arrays, tensors and symbolic tensors, by shape alone.
    """
    received = tuple(getattr(images, "shape", ()) or ())
    if len(received) != 4 or tuple(received[1:]) != tuple(shape):
        hint = ""
        if len(received) == 3 and (*received[1:], 1) == tuple(shape):
            hint = f" Add the channel axis: {argument}[..., None]."
        elif None in received[1:]:
            hint = " Fix the size that TensorFlow does not know by tf.ensure_shape."
        elif received == tuple(shape):
            hint = f" Add the batch axis: {argument}[None]."
        height, width, channels = shape
        raise ValueError(
            f"Expected {argument} to be a batch of images of shape "
            f"(batch, {height}, {width}, {channels}). "
            f"Received: {checks.describe(images)}.{hint}"
        )


def unit_range(images):
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are."""
    dtype = checks.dtype_name(images)
    if dtype == "uint8":
        return ops.cast(images, "float32") / 255.0
    if "float" in dtype:
        return ops.cast(images, "float32")
    raise ValueError(
        "Expected images to be uint8 in [0, 255] or float in [0, 1]. "
        f"Received: {checks.describe(images)}. Convert them: images.astype('uint8')."
    )


def images_array(images, shape, argument="images"):
    """Checks an array of images, values included; returns float32 in [0, 1], numpy.

    Raises:
        ValueError: for another shape or dtype, no images, NaN, or values outside
            [0, 1] in float images.
    """
    images = checks.to_numpy(images)
    check_values(images, shape, argument)
    scale = 1 / 255 if images.dtype == np.uint8 else 1
    return images.astype("float32") * np.float32(scale)


def check_values(images, shape, argument="images"):
    """The checks of `images_array`, without making the float copy."""
    batch_shape(images, shape, argument)
    if len(images) == 0:
        raise ValueError(f"Expected at least one image. Received: {argument} is empty.")
    if images.dtype == np.uint8:
        return
    unit_range(images[:1])  # rejects other dtypes
    low, high = images.min(), images.max()
    if np.isnan(low):
        raise ValueError(f"Expected numbers in {argument}. Received: NaN among them.")
    if low < 0 or high > 1:
        raise ValueError(
            f"Expected float {argument} in [0, 1]. Received: values from {low:g} to "
            f"{high:g}. Rescale them, or pass uint8 in [0, 255]."
        )


def check_data(shape, num_classes, x, y=None):
    """Raises a `ValueError` for what a model of this image shape cannot be fitted to.

    Arrays are checked whole; of a data set that can be read again, the first batch.
    Nothing is read ahead from an iterator that can be read only once.
    """
    if hasattr(x, "shape"):
        check_values(checks.to_numpy(x), shape)
        checks.check_labels(y, num_classes)
    elif hasattr(x, "__getitem__") or (hasattr(x, "__iter__") and iter(x) is not x):
        first = next(iter(x), None)
        if first is None:
            raise ValueError("Expected at least one batch. Received: no data.")
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(first)
        check_values(checks.to_numpy(images), shape)
        checks.check_labels(labels, num_classes)


def picture(images, columns):
    """Images as one picture, enlarged to at least `MIN_WIDTH` pixels across: `tile`."""
    images, columns = checks.to_numpy(images), checks.positive_int("columns", columns)
    if images.ndim == 4 and images.shape[2]:
        images = enlarged(images, math.ceil(MIN_WIDTH / (columns * images.shape[2])))
    return tile(images, columns)


def tile(images, columns, gap=2):
    """Arranges images row by row, with light gaps, and light cells after the last one.

    Args:
        images: `(n, height, width, channels)` with 1 or 3 channels, uint8 in [0, 255]
            or float in [0, 1].
        columns, gap: images in a row, and pixels between neighbours.

    Returns uint8 `(rows * (height + gap) - gap, columns * (width + gap) - gap,
    channels)`, where `rows` is `n / columns` rounded up.
    """
    images = checks.to_numpy(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Expected images of shape (n, height, width, channels), 1 or 3 channels. "
            f"Received: {checks.describe(images)}. Add or move the missing axis."
        )
    images = np.uint8(images_array(images, images.shape[1:]) * 255 + 0.5)
    gap = checks.whole_number("gap", gap)
    missing = -len(images) % checks.positive_int("columns", columns)
    margins = [(0, missing), (0, gap), (0, gap), (0, 0)]
    cells = np.pad(images, margins, constant_values=LIGHT)
    rows = np.concatenate(cells.reshape(-1, columns, *cells.shape[1:]), axis=1)
    picture = np.concatenate(rows, axis=1)
    return picture[: len(picture) - gap, : picture.shape[1] - gap]


def interleave(images, outputs, columns):
    """Rows of `columns` images, each above the row of outputs, light at the end.

    Both float in [0, 1], up to rounding, of shape `(n, height, width, channels)`.
    """
    pair = np.stack([images, np.clip(outputs, 0, 1)])
    margins = [(0, 0), (0, -len(images) % columns), *[(0, 0)] * 3]
    pair = np.pad(pair, margins, constant_values=LIGHT / 255)
    rows = pair.reshape(2, -1, columns, *images.shape[1:]).swapaxes(0, 1)
    return rows.reshape(-1, *images.shape[1:])


def enlarged(images, times):
    """`(n, height, width, channels)` with each pixel repeated to both sides."""
    return images.repeat(times, axis=1).repeat(times, axis=2)
