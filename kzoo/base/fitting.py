"""What `fit` and `evaluate` of a `PhasedModel` check and prepare before Keras runs."""

import contextlib
import math
import traceback

import keras
import numpy as np

from kzoo import backend, checks
from kzoo.backend import keras_internals

LOSS = (
    "{} is trained by a loss of its own and logs its parts. Received: {}, which "
    "has no effect. Leave it out. Settings of the loss are arguments of the model's "
    "constructor; for another loss override the loss method of a subclass, for other "
    "logs see docs/keras.md."
)


def check_compile(model, losses, switches, jit_compile, steps_per_execution):
    """Raises a `ValueError` for arguments of `compile` that would have no effect.

    Args:
        model: a `PhasedModel`.
        losses: `{argument: value}` of those that a model has by itself.
        switches: `{argument: value}` of those that are True or False.
        jit_compile: True, False or `"auto"`.
        steps_per_execution: a positive whole number.
    """
    received = ", ".join(k for k, value in losses.items() if value is not None)
    if received:
        raise ValueError(LOSS.format(type(model).__name__, received))
    if jit_compile not in ("auto", None):
        switches = switches | {"jit_compile": jit_compile}
    for name, value in switches.items():
        if value not in (True, False):
            raise ValueError(
                f"Expected {name} to be True or False. Received: {name}={value!r}."
            )
    checks.positive_int("steps_per_execution", steps_per_execution)


def check_fit(epochs, batch_size, callbacks, options):
    """Raises a `ValueError` for arguments of `fit` that would have no effect."""
    checks.whole_number("epochs", epochs)
    names = ("steps_per_epoch", "validation_steps", "validation_batch_size")
    check_counts(batch_size=batch_size, **{k: options.get(k) for k in names})
    checks.whole_number("initial_epoch", options.get("initial_epoch", 0))
    if options.get("shuffle", True) not in (True, False, None):
        raise ValueError(
            "Expected shuffle to be True or False. "
            f"Received: shuffle={options['shuffle']!r}."
        )
    check_validation(options)
    for callback in keras.tree.flatten(callbacks or []):
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(
                "Expected callbacks to be objects of keras.callbacks.Callback. "
                f"Received: {callback!r}."
            )


def check_counts(**counts):
    """Raises a `ValueError` unless each argument is None or a positive number."""
    for name, value in counts.items():
        if value is not None:
            checks.positive_int(name, value)


def check_validation(options):
    """Raises a `ValueError` for arguments about validation data that are not there."""
    split, data = options.get("validation_split"), options.get("validation_data")
    if split and not 0 < split < 1:
        raise ValueError(
            "Expected validation_split to be a share of the images, at least 0 and "
            f"below 1. Received: validation_split={split!r}."
        )
    if split and data is not None:
        raise ValueError(
            "Expected validation_data or validation_split. Received: both. Leave out "
            "validation_split, which would have no effect."
        )
    unused = [
        k for k in ("validation_steps", "validation_batch_size") if options.get(k)
    ]
    if options.get("validation_freq", 1) != 1:
        unused.append("validation_freq")
    if unused and not split and data is None:
        raise ValueError(
            f"Expected validation_data or validation_split beside {', '.join(unused)}, "
            "which has no effect without. Received: neither."
        )


def fit_arguments(model, x, y, batch_size, callbacks, options):
    """The arguments of `keras.Model.fit` for checked data, each process with its share.

    Args:
        model: a `PhasedModel`.
        x, y, batch_size, callbacks: those of `fit`.
        options: the other arguments of `fit`, as a dict.

    Raises:
        ValueError: for data that the model cannot be fitted to.
    """
    weights = {name: options.get(name) for name in ("sample_weight", "class_weight")}
    check_no_weights(**weights)
    options = options | validation_arguments(model, batch_size, options)
    settings = {
        "data": checks.describe(x),
        "batch_size": batch_size,
        **{k: options.get(k) for k in ("validation_split", "steps_per_epoch")},
    }
    callbacks = [StopOnNonFinite(), *in_order(callbacks, model, settings)]
    if hasattr(x, "set_epoch"):
        check_shuffles_itself(options)
        callbacks.append(TellEpoch(x))
    callbacks.append(TakeSettings(model))  # after those that set them
    shuffle = options.get("shuffle", True)
    if options.get("validation_split"):
        if not is_arrays(x):
            raise ValueError(
                "Expected validation_split with arrays. Received: x of type "
                f"{type(x).__name__}. Pass validation_data instead."
            )
        shuffle = None  # Keras has yet to split the arrays
    x, y, batch_size, shuffle = checked_share(model, x, y, batch_size, shuffle)
    if shuffle is False:
        options["shuffle"] = False
    options |= {"x": x, "y": y, "batch_size": batch_size, "callbacks": callbacks}
    return options


def in_order(callbacks, model, settings=None):
    """A flat list of callbacks, those with a method `before_fit` at its end.

    They are told the model, the other callbacks and `settings`, the arguments of `fit`
    that a dict holds: `Checkpoint` saves the state of all others after they have run.
    """
    callbacks = list(flat(callbacks))
    last = [one for one in callbacks if hasattr(one, "before_fit")]
    others = [one for one in callbacks if not hasattr(one, "before_fit")]
    for callback in last:
        callback.before_fit(model, others, settings or {})
    return [*others, *last]


def flat(callbacks):
    """The callbacks of a list, of nested lists or of `CallbackList`s."""
    for callback in keras.tree.flatten(callbacks or []):
        if type(callback) is keras.callbacks.CallbackList:
            yield from flat(callback.callbacks)
        else:
            yield callback


def validation_arguments(model, batch_size, options):
    """The arguments of `fit` about validation data, checked, with this process's share.

    Empty where there are no such data.
    """
    data = options.get("validation_data")
    if data is None:
        return {}
    data = tuple(data) if isinstance(data, tuple | list) else (data,)
    if len(data) > 2:
        raise ValueError(checks.WEIGHTS.format("weights in validation_data"))
    x, y = *data, *[None] * (2 - len(data))
    size = options.get("validation_batch_size") or batch_size
    x, y, size, _ = checked_share(model, x, y, size)
    return {"validation_data": (x, y), "validation_batch_size": size}


def checked_share(model, x, y, batch_size, shuffle=False):
    """The data for this process, if others train on the rest, checked.

    Arrays are checked now, whole; of a data set each batch when it is read.
    """
    if not is_arrays(x):
        if x is None or y is not None:
            raise ValueError(
                "Expected images, images and labels, or a data set alone. Received: "
                f"x of type {type(x).__name__}, y of type {type(y).__name__}."
            )
        data = keras_internals.CheckedData(
            x,
            model.check_batch,
            model.split_batch,
            model.plausible,
            shuffle=shuffle is not False,
        )
        return data, None, None, shuffle
    x, y = checked_arrays(model, x, y)
    checks.shared_alike(x, batch_size, backend.parts())
    return backend.own_share(x, y, batch_size, shuffle)


def is_arrays(x):
    """Whether `x` is an array, a tensor, or a list, tuple or dict, and no data set."""
    return hasattr(x, "shape") or isinstance(x, list | tuple | dict)


def checked_arrays(model, x, y=None):
    """`x` and `y` as arrays or tensors, checked; lists and tables become NumPy's.

    A batch, such as a dict with images and labels, may be `x`.
    """
    if isinstance(x, dict):
        if y is not None:
            raise ValueError("Expected labels in the dict or as y. Received: both.")
        x, y = model.split_batch(x)
    x, y = (None if part is None else as_array(part) for part in (x, y))
    model.check_batch((x,) if y is None else (x, y))
    return x, checks.flat_labels(y)


def checked_inputs(model, x):
    """The data set `x` for `predict`: of each batch what `call` takes is checked."""

    def check(batch):
        model.check_inputs(keras.utils.unpack_x_y_sample_weight(batch)[0])

    return keras_internals.CheckedData(x, check, keras.utils.unpack_x_y_sample_weight)


def as_array(data):
    """An array or tensor as it is, a list or a table as a NumPy array."""
    if hasattr(data, "shape") and not hasattr(data, "to_numpy"):
        return data
    try:
        return np.asarray(data)
    except ValueError:
        raise ValueError(
            "Expected a list of images of one shape, and labels as y. Received: a "
            f"{type(data).__name__} of {len(data)} parts of different shapes."
        ) from None


def check_compiled(model, verb):
    """Raises a `ValueError` before `compile`."""
    if not model.compiled:
        raise ValueError(
            f"Expected a compiled model in {verb}. Received: one without an optimizer. "
            "Call model.compile() first; without arguments it trains as its paper does."
        )


def check_no_weights(**weights):
    """Raises a `ValueError` for weights of images or classes."""
    for name, value in weights.items():
        if value is not None:
            raise ValueError(checks.WEIGHTS.format(name))


def take_failure(data):
    """Removes and returns the first exception among the attributes `failure`, or None.

    A stream keeps its own: it says of the last batch whether it could be read.
    """
    failures = [each for each in data if getattr(each, "failure", None) is not None]
    if not failures:
        return None
    failure = failures[0].failure
    for each in failures:
        if isinstance(each, keras_internals.CheckedData):
            each.failure = None
    return failure


@contextlib.contextmanager
def reading(model, data, *checked):
    """Says whether the batches of `data` are for this process alone.

    And names errors of `data` and of what was made of it, the `checked` arguments:
    TensorFlow reads data in a thread and hides one there.
    """
    before = model.own_batches
    model.own_batches = getattr(data, "data_shard", (0, 1))[1] > 1
    try:
        yield
    except Exception as error:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()  # Keras does so after `fit` alone
        failure = take_failure((data, *keras.tree.flatten(checked)))
        if failure is None:
            raise
        # The frames hold an iterator. TensorFlow hangs if Python ends before it does.
        traceback.clear_frames(error.__traceback__)
        try:
            raise failure from None
        finally:
            del failure  # its traceback holds this frame
    finally:
        model.own_batches = before


def check_shuffles_itself(options):
    """Keras is neither to shuffle the batches of such data nor to end their epochs."""
    options.setdefault("shuffle", False)
    if options.get("steps_per_epoch"):
        raise ValueError(
            "Expected data with set_epoch to know how long an epoch is. Received: "
            f"steps_per_epoch={options['steps_per_epoch']} in fit. Pass it to "
            "kzoo.data.stream instead."
        )


class TellEpoch(keras.callbacks.Callback):
    """Tells data that shuffle themselves which epoch begins."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        self.data.set_epoch(epoch)


class TakeSettings(keras.callbacks.Callback):
    """Lets settings of the model that a callback has changed take effect."""

    async_safe = True  # reads no logs

    def __init__(self, model):
        super().__init__()
        self.trained = model  # on JAX `self.model` copies all variables

    def on_train_batch_begin(self, batch, logs=None):
        self.trained.make_train_function()

    def on_test_batch_begin(self, batch, logs=None):
        self.trained.make_test_function()


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises a `FloatingPointError` that names the loss which is not finite."""

    async_safe = True  # reads only the logs it is given

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(
                f"{' and '.join(bad)} stopped being finite in epoch {self.epoch + 1}, "
                f"by step {batch + 1}. Training stopped; the weights in memory are "
                "spoilt, those saved by a callback are not. Lower the learning rate or "
                "look for outliers in the data."
            )
