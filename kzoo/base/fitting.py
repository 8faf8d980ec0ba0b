"""What `fit` and `evaluate` of a `PhasedModel` check and prepare before Keras runs."""

import contextlib
import math

import keras

from kzoo import backend, checks

WEIGHTS = (
    "Expected images, or images and labels: kzoo models weigh all images alike. "
    "Received: {}. Leave it out, or repeat images instead."
)


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


def refuse_weights(**weights):
    """Raises a `ValueError` unless every argument is None."""
    for name, value in weights.items():
        if value is not None:
            raise ValueError(WEIGHTS.format(name))


def fit_arguments(model, x, y, batch_size, callbacks, options):
    """The arguments of `keras.Model.fit` for checked data, each process with its share.

    Args:
        model: a `PhasedModel`.
        x, y, batch_size, callbacks: those of `fit`.
        options: the other arguments of `fit`, as a dict.

    Raises:
        ValueError: for data that the model cannot be fitted to.
    """
    refuse_weights(**{k: options.get(k) for k in ("sample_weight", "class_weight")})
    model.check_data(x, y)
    options = options | validation_arguments(model, batch_size, options)
    shuffle = options.get("shuffle", True)
    if options.get("validation_split"):
        shuffle = None  # Keras has yet to split the arrays
    settings = {
        "data": checks.describe(x),
        "batch_size": batch_size,
        **{k: options.get(k) for k in ("validation_split", "steps_per_epoch")},
    }
    callbacks = [StopOnNonFinite(), *in_order(callbacks, model, settings)]
    if hasattr(x, "set_epoch"):
        check_shuffles_itself(options)
        callbacks.append(TellEpoch(x))
    x, y, batch_size, shuffle = own_share(x, y, batch_size, shuffle)
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
    data = data if isinstance(data, tuple) else (data,)
    if len(data) > 2:
        raise ValueError(WEIGHTS.format("weights in validation_data"))
    x, y = *data, *[None] * (2 - len(data))
    model.check_data(x, y)
    size = options.get("validation_batch_size") or batch_size
    x, y, size, _ = own_share(x, y, size)
    return {"validation_data": (x, y), "validation_batch_size": size}


def own_share(x, y, batch_size, shuffle=False):
    """The data for this process, if others train on the rest."""
    checks.shared_alike(x, batch_size, backend.parts())
    return backend.own_share(x, y, batch_size, shuffle)


@contextlib.contextmanager
def reading(model, data):
    """Says whether the batches of `data` are for this process alone.

    And names its errors: TensorFlow reads data in a thread and hides one there.
    """
    before = model.own_batches
    model.own_batches = getattr(data, "data_shard", (0, 1))[1] > 1
    try:
        yield
    except Exception:
        if getattr(data, "failure", None) is not None:
            raise data.failure from None
        raise
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
