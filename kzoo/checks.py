"""What users pass in, checked once, with errors that say what to change."""

import keras
import numpy as np
from keras import ops


def one_of(argument, value, known):
    """Raises a `ValueError` unless `value` is one of the names in `known`."""
    if value not in known:
        raise ValueError(
            f"Unknown {argument}. Expected one of {', '.join(map(repr, known))}. "
            f"Received: {argument}={value!r}."
        )
    return value


def some_of(argument, names, known):
    """A name, several or None as a tuple of names that are all in `known`."""
    names = (names,) if isinstance(names, str) else tuple(names or ())
    return tuple(one_of(argument, name, known) for name in names)


def positive_int(argument, value):
    """Raises a `ValueError` unless `value` is a whole number of at least 1."""
    return whole_number(argument, value, least=1)


def whole_number(argument, value, least=0):
    """Raises a `ValueError` unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int | np.integer) or value < least:
        raise ValueError(
            f"Expected {argument} to be a whole number of at least {least}. "
            f"Received: {argument}={value!r}."
        )
    return int(value)


def image_shape(shape):
    """Returns `shape` as a tuple `(height, width, channels)` of positive ints."""
    shape = tuple(shape)
    if len(shape) != 3 or not all(isinstance(n, int | np.integer) for n in shape):
        raise ValueError(
            "Expected image_shape to be (height, width, channels), three whole "
            f"numbers such as (28, 28, 1). Received: image_shape={shape}."
        )
    return tuple(positive_int("every number in image_shape", n) for n in shape)


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
            f"Received: {describe(images)}.{hint}"
        )


def unit_range(images):
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are."""
    dtype = _dtype_name(images)
    if dtype == "uint8":
        return ops.cast(images, "float32") / 255.0
    if "float" in dtype:
        return ops.cast(images, "float32")
    raise ValueError(
        "Expected images to be uint8 in [0, 255] or float in [0, 1]. "
        f"Received: {describe(images)}. Convert them: images.astype('uint8')."
    )


def images_array(images, shape, argument="images"):
    """Checks an array of images, values included; returns float32 in [0, 1], numpy.

    Raises:
        ValueError: for another shape or dtype, no images, NaN, or values outside
            [0, 1] in float images.
    """
    images = to_numpy(images)
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


def has_classes(model, num_classes):
    """Raises a `ValueError` if a model that needs labels is not told how many."""
    if num_classes is None:
        raise ValueError(
            f"{model} is trained on labels. Expected num_classes, the number of "
            "different ones. Received: num_classes=None. Pass num_classes=10, say, and "
            "fit(images, labels), or take a model that needs no labels."
        )


def check_labels(labels, num_classes, argument="labels"):
    """Raises a `ValueError` unless labels fit a model of `num_classes` classes.

    Whether there are labels is checked on anything; which values they take only on
    numpy arrays.
    """
    if num_classes is None and labels is not None:
        raise ValueError(
            f"Received {argument}, but the model has no classes. Pass images alone, or "
            "build the model with num_classes=... to condition it on labels."
        )
    if num_classes is not None and labels is None:
        raise ValueError(
            f"The model has num_classes={num_classes} and needs {argument}, one whole "
            "number an image. Received: images alone."
        )
    if labels is None:
        return
    if len(getattr(labels, "shape", ())) != 1 or "int" not in _dtype_name(labels):
        raise ValueError(
            f"Expected {argument} to be whole numbers of shape (batch,). "
            f"Received: {describe(labels)}."
        )
    if isinstance(labels, np.ndarray) and labels.size:
        low, high = labels.min(), labels.max()
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"Expected {argument} from 0 to {num_classes - 1}, as num_classes is "
                f"{num_classes}. Received: {argument} from {low} to {high}."
            )


def data(shape, num_classes, x, y=None):
    """Raises a `ValueError` for what a model of this image shape cannot be fitted to.

    Arrays are checked whole; of a data set that can be read again, the first batch.
    Nothing is read ahead from an iterator that can be read only once.
    """
    if hasattr(x, "shape"):
        check_values(to_numpy(x), shape)
        check_labels(y, num_classes)
    elif hasattr(x, "__getitem__") or (hasattr(x, "__iter__") and iter(x) is not x):
        first = next(iter(x), None)
        if first is None:
            raise ValueError("Expected at least one batch. Received: no data.")
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(first)
        check_values(to_numpy(images), shape)
        check_labels(labels, num_classes)


def shared_alike(x, batch_size, replicas):
    """Raises a `ValueError` unless all batches of an array divide among replicas."""
    if replicas == 1 or not hasattr(x, "shape"):
        return
    size = batch_size or 32  # Keras's default
    last = len(x) % size
    if size % replicas or last % replicas:
        raise ValueError(
            f"Expected batches that divide among {replicas} devices. Received: "
            f"batch_size={size} and {len(x)} images, so that the last batch has "
            f"{last or size}. Take a batch_size that is a multiple of {replicas}, and "
            f"leave out the last {len(x) % replicas} images."
        )


def features(argument, array, rows=2):
    """Features as float64 `(n, d)`.

    Raises:
        ValueError: for another rank, fewer than `rows` rows, NaN or infinity.
    """
    array = np.asarray(to_numpy(array), "float64")
    if array.ndim != 2 or len(array) < rows:
        raise ValueError(
            f"Expected {argument} of shape (n, d), one row an image, with n >= {rows}. "
            f"Received: {describe(array)}."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"Expected {argument} to be finite. Received: NaN or infinity."
        )
    return array


def same_features(first, second):
    """Raises a `ValueError` unless two arrays `(n, d)` have the same d."""
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            "Expected two sets with as many features an image. Received: "
            f"{first.shape[1]} and {second.shape[1]}."
        )


def to_numpy(array):
    """A numpy view or copy of any array or tensor, wherever it lives."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)


def describe(array):
    """`shape (32, 28, 28, 1) and dtype uint8`, or the type of what is no array."""
    if not hasattr(array, "shape"):
        return f"an object of type {type(array).__name__}"
    return f"shape {tuple(array.shape)} and dtype {_dtype_name(array)}"


def _dtype_name(array):
    """`"uint8"` and the like for numpy arrays and the tensors of any framework."""
    return keras.utils.standardize_dtype(array.dtype)
