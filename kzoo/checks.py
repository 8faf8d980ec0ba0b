"""What users pass in, checked once, with errors that say what to change."""

import math
import numbers
import operator
import re

import keras
import numpy as np

WEIGHTS = (
    "Expected images, or images and labels: kzoo models weigh all images alike. "
    "Received: {}. Leave it out, or repeat images instead."
)


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
    """Raises a `ValueError` unless `value` is a whole number of at least `least`.

    No bool, though Python counts them among the whole numbers. Returns an int.
    """
    if not _is_number(value, numbers.Integral) or value < least:
        raise ValueError(
            f"Expected {argument} to be a whole number of at least {least}. "
            f"Received: {argument}={value!r}."
        )
    return int(value)


def number(argument, value, least=None, above=None, most=None, below=None):
    """Raises a `ValueError` unless `value` is a finite number in this range.

    Args:
        argument: what the user passed it as.
        value: an int or float, Python's or NumPy's; no bool, string or tensor.
        least, most: bounds that belong to the range, or None.
        above, below: bounds that do not, or None.

    Returns:
        An int or a float.
    """
    bounds = (
        ("of at least", least, operator.ge),
        ("above", above, operator.gt),
        ("of at most", most, operator.le),
        ("below", below, operator.lt),
    )
    bounds = [bound for bound in bounds if bound[1] is not None]
    known = _is_number(value, numbers.Real) and math.isfinite(value)
    if known and all(inside(value, bound) for _, bound, inside in bounds):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    told = " and".join(f" {words} {bound}" for words, bound, _ in bounds)
    if least is not None and most is not None:
        told = f" from {least} to {most}"
    raise ValueError(
        f"Expected {argument} to be a finite number{told}. "
        f"Received: {argument}={value!r}."
    )


def probability(argument, value):
    """Raises a `ValueError` unless `value` is a number from 0 to 1; returns it."""
    return number(argument, value, least=0, most=1)


def positive_ints(argument, values):
    """Returns `values`, several or one, as a tuple of positive ints, at least one."""
    values = tuple(values) if hasattr(values, "__iter__") else (values,)
    if not values:
        raise ValueError(
            f"Expected at least one number in {argument}. Received: {argument}=()."
        )
    return tuple(positive_int(f"every number in {argument}", n) for n in values)


def _is_number(value, kind):
    """Whether a number of Python or NumPy is of the kind, which no bool is here."""
    return isinstance(value, kind) and not isinstance(value, bool)


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

    Of symbolic tensors only shape and dtype are checked, of all others the values, too.
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
    shape = tuple(getattr(labels, "shape", ()))
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)) or not is_whole(labels):
        raise ValueError(
            f"Expected {argument} to be whole numbers of shape (batch,) or (batch, 1). "
            f"Received: {describe(labels)}.{label_hint(labels, argument)}"
        )
    if isinstance(labels, np.ndarray) and labels.size:
        low, high = labels.min(), labels.max()
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"Expected {argument} from 0 to {num_classes - 1}, as num_classes is "
                f"{num_classes}. Received: {argument} from {low} to {high}."
            )


def is_whole(array):
    """Whether an array or tensor has an integer dtype."""
    return "int" in dtype_name(array)


def label_hint(labels, argument="labels"):
    """How to make labels whole numbers of shape `(batch,)`; "" if that is not known."""
    shape = tuple(getattr(labels, "shape", ()))
    if not hasattr(labels, "dtype"):
        return ""
    kind = dtype_name(labels)
    if len(shape) == 2 and shape[1] != 1:
        return f" Are they one-hot? Convert them: {argument}.argmax(-1)."
    if "int" in kind:
        return ""
    if "float" in kind or kind == "bool":
        return f" Convert them: {argument}.astype('int32')."
    return f" Number them: np.unique({argument}, return_inverse=True)[1]."


def flat_labels(labels):
    """Labels `(batch, 1)` as `(batch,)`; others, and None, as they are."""
    if tuple(getattr(labels, "shape", ()))[1:] != (1,):
        return labels
    return labels[:, 0]


def same_length(images, labels):
    """Raises a `ValueError` unless there is one label for each image."""
    if labels is not None and len(images) != len(labels):
        raise ValueError(
            "Expected one label for each image. Received: "
            f"{len(images)} images and {len(labels)} labels."
        )


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
    if hasattr(array, "detach"):
        array = array.detach().cpu()
        if "bfloat16" in str(array.dtype):  # NumPy has no such numbers
            array = array.float()
    return np.asarray(array)


def describe(array):
    """`shape (32, 28, 28, 1) and dtype uint8`, or the type of what is no array."""
    if not hasattr(array, "shape"):
        return f"an object of type {type(array).__name__}"
    return f"shape {tuple(array.shape)} and dtype {dtype_name(array)}"


def title(model):
    """What reports and messages call a model: the name it was given, or its class's.

    Keras gives one without a name that of its class, in snake case and numbered.
    """
    name, kind = getattr(model, "name", ""), type(model).__name__
    made_up = re.sub(r"_\d+$", "", name).replace("_", "").lower()
    return kind if made_up in ("", kind.lower()) else name


def differences(received, expected):
    """What differs between two configs, as `"latent_dim=2 instead of 3"`; "" if alike.

    Names are left out. Of two objects of a class only the differing settings are told.
    """
    received, expected = _nameless(received), _nameless(expected)
    pairs = [(k, received.get(k), expected.get(k)) for k in {**received, **expected}]
    return ", ".join(f"{k}={_difference(a, b)}" for k, a, b in pairs if a != b)


def _nameless(value):
    """A config without names, many of which Keras makes up and numbers."""
    if isinstance(value, dict):
        return {k: _nameless(v) for k, v in value.items() if k != "name"}
    return list(map(_nameless, value)) if isinstance(value, list | tuple) else value


def _difference(received, expected):
    if isinstance(received, dict) and isinstance(expected, dict):
        kind = received.get("class_name", "dict")
        if kind == expected.get("class_name", "dict"):
            settings = (x.get("config", x) for x in (received, expected))
            return f"{kind}({differences(*settings)})"
    return f"{_written(received)} instead of {_written(expected)}"


def _written(value):
    """A value of a config as Python would write it."""
    if isinstance(value, dict):
        settings = value.get("config", value).items()
        settings = ", ".join(f"{k}={_written(v)}" for k, v in settings)
        return f"{value.get('class_name', 'dict')}({settings})"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return repr(value)


def dtype_name(array):
    """`"uint8"` and the like for numpy arrays and the tensors of any framework."""
    try:
        return keras.utils.standardize_dtype(array.dtype)
    except ValueError:  # text, objects, complex numbers
        return str(array.dtype)
