"""What a model draws: images. What else it may be, it has the methods of `Images`."""

import math

import keras
import numpy as np
from keras import ops

from kzoo import checks

LIGHT = 224  # unlike the black and white of images and the gray of untrained ones
MIN_WIDTH = 500  # in pixels, so that a grid of 8x8 images can be seen
ROUNDING = 1e-6  # how far outside [0, 1] float images may be
KEYS = {"image": 0, "images": 0, "label": 1, "labels": 1}


class Images:
    """Images of one shape: uint8 in [0, 255] or float in [0, 1], channels last.

    What a medium has: the name of its batches, `shape`, and the methods below.

    Args:
        shape: `(height, width, channels)`.
    """

    name = "images"

    def __init__(self, shape):
        self.shape = image_shape(shape)

    def check_examples(self, batch, num_classes=None):
        """Raises a `ValueError` for data of no use: see `check_batch_values`."""
        check_batch_values(self.shape, num_classes, batch)

    def plausible(self, batch, num_classes=None):
        """Whether tensors pass `check_examples`: see `plausible_batch`."""
        return plausible_batch(self.shape, num_classes, batch)

    def split(self, batch):
        """A batch as `(examples, labels)`: see `split_batch`."""
        return split_batch(batch)

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
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats are clipped.

    Values outside [0, 1] by more than rounding are refused before: `check_values`.
    """
    check_dtype(images)
    if checks.dtype_name(images) == "uint8":
        return ops.cast(images, "float32") / 255.0
    return ops.clip(ops.cast(images, "float32"), 0.0, 1.0)


def check_dtype(images, argument="images"):
    """Raises a `ValueError` unless images are uint8 or float."""
    dtype = checks.dtype_name(images)
    if dtype != "uint8" and "float" not in dtype:
        raise ValueError(
            f"Expected {argument} to be uint8 in [0, 255] or float in [0, 1]. "
            f"Received: {checks.describe(images)}. Convert them: "
            f"{argument}.astype('uint8')."
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
    return np.clip(images.astype("float32") * np.float32(scale), 0.0, 1.0)


def check_values(images, shape, argument="images"):
    """The checks of `images_array`, without making the float copy."""
    batch_shape(images, shape, argument)
    if len(images) == 0:
        raise ValueError(f"Expected at least one image. Received: {argument} is empty.")
    if images.dtype == np.uint8:
        return
    check_dtype(images, argument)
    low, high = images.min(), images.max()
    if np.isnan(low):
        raise ValueError(f"Expected numbers in {argument}. Received: NaN among them.")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"Expected float {argument} in [0, 1]. Received: values from {low} to "
            f"{high}. Rescale them, or pass uint8 in [0, 255]."
        )


def split_batch(batch):
    """A batch as `(images, labels)`; labels are `(batch,)`, or None where none are.

    A batch is images, `(images,)`, `(images, labels)`, or a dict with the keys
    `"image"` or `"images"`, and `"label"` or `"labels"`.

    Raises:
        ValueError: for other keys, more or fewer parts, or weights.
    """
    parts = [None, None]
    if isinstance(batch, dict):
        for key, value in batch.items():
            place = KEYS.get(key)
            if place is None or parts[place] is not None:
                raise ValueError(
                    "Expected a batch with the keys 'image' and, for a model with "
                    f"classes, 'label'. Received: the keys {list(batch)}. Leave out or "
                    f"rename {key!r}."
                )
            parts[place] = value
        if parts[0] is None:
            raise ValueError(
                f"Expected a batch with the key 'image'. Received: {list(batch)}."
            )
    elif isinstance(batch, tuple | list):
        if len(batch) == 1 and isinstance(batch[0], dict):
            return split_batch(batch[0])
        batch = list(batch)
        if len(batch) == 3 and batch[2] is not None:
            raise ValueError(checks.WEIGHTS.format("a sample_weight in the data"))
        if not 1 <= len(batch) <= 3:
            raise ValueError(
                "Expected a batch to be images, or (images, labels). Received: "
                f"a {type(batch).__name__} of {len(batch)} parts."
            )
        parts[: len(batch[:2])] = batch[:2]
    else:
        parts[0] = batch
    return parts[0], checks.flat_labels(parts[1])


def check_batch_values(shape, num_classes, batch):
    """Raises a `ValueError` for a batch, or whole arrays, that no model can train on.

    Args:
        shape: that of the images, `(height, width, channels)`.
        num_classes: number of labels, or None for none.
        batch: as for `split_batch`, arrays or tensors anywhere.
    """
    images, labels = split_batch(batch)
    check_values(checks.to_numpy(images), shape)
    labels = None if labels is None else checks.to_numpy(labels)
    checks.check_labels(labels, num_classes)
    checks.same_length(images, labels)


def plausible_batch(shape, num_classes, batch):
    """Whether a batch of tensors passes `check_batch_values`, as a boolean tensor."""
    try:
        images, labels = split_batch(batch)
        batch_shape(images, shape)
        check_dtype(images)
        checks.check_labels(labels, num_classes)
    except ValueError:
        return ops.array(False)
    good = ops.shape(images)[0] > 0
    if "float" in checks.dtype_name(images):
        inside = (images >= -ROUNDING) & (images <= 1 + ROUNDING)
        good = good & ops.all(inside)
    if labels is not None:
        good = good & (ops.shape(images)[0] == ops.shape(labels)[0])
        numbers = ops.cast(labels, "int64")
        good = good & ops.all((numbers >= 0) & (numbers < num_classes))
    return ops.convert_to_tensor(good, "bool")


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
