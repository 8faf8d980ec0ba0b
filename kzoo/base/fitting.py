"""What `fit` and `evaluate` of a `PhasedModel` check and prepare before Keras runs."""

import contextlib
import math

import keras

from kzoo import backend, checks

WEIGHTS = (
    "Expected images, or images and labels: kzoo models weigh all images alike. "
    "Received: {}. Leave it out, or repeat images instead."
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
    for name in ("sample_weight", "class_weight"):
        if options.get(name) is not None:
            raise ValueError(WEIGHTS.format(name))
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
