"""`fit` and `evaluate`: what they check, and what they do with the data."""

import contextlib
import math

import keras

from kzoo import backend, checks

WEIGHTS = (
    "Expected images, or images and labels: kzoo models weigh all images alike. "
    "Received: {}. Leave it out, or repeat images instead."
)


class Fitting:
    """`keras.Model.fit` and `evaluate` for images, with or without labels."""

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        **kwargs,
    ):
        """`keras.Model.fit` on images, or images and labels, checked before it starts.

        Data with a method `set_epoch`, such as a `kzoo.data.stream`, shuffle themselves
        and are told which epoch begins. Stops with a `FloatingPointError` that names
        the loss when one is not finite.
        """
        for argument in ("sample_weight", "class_weight"):
            if kwargs.get(argument) is not None:
                raise ValueError(WEIGHTS.format(argument))
        checks.data(self.image_shape, self.num_classes, x, y)
        shuffle = kwargs.get("shuffle", True)
        if kwargs.get("validation_split"):
            shuffle = None  # Keras has yet to split the arrays
        x, y, own_batch_size, shuffle = self._own_share(x, y, batch_size, shuffle)
        if shuffle is False:
            kwargs["shuffle"] = False
        if kwargs.get("validation_data") is not None:
            data = kwargs["validation_data"]
            data = data if isinstance(data, tuple) else (data,)
            checks.data(self.image_shape, self.num_classes, *data)
            size = kwargs.get("validation_batch_size") or batch_size
            images, labels = *data, *[None] * (2 - len(data))
            *data, size, _ = self._own_share(images, labels, size)
            kwargs |= {"validation_data": tuple(data), "validation_batch_size": size}
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [StopOnNonFinite(), *keras.tree.flatten(callbacks or [])]
        if hasattr(x, "set_epoch"):
            _check_shuffles_itself(kwargs)
            callbacks.append(
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: x.set_epoch(epoch)
                )
            )
        backend.synchronize([*self.variables, *self.optimizer.variables])
        kwargs["verbose"] = verbose if backend.is_chief() else 0
        with self._reading(x):
            return super().fit(
                x, y, own_batch_size, epochs, callbacks=callbacks, **kwargs
            )

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """`keras.Model.evaluate`, with the data checked as in `fit`."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked it
            checks.data(self.image_shape, self.num_classes, x, y)
            x, y, batch_size, _ = self._own_share(x, y, batch_size)
        with self._reading(x):
            return super().evaluate(x, y, batch_size, *args, **kwargs)

    def _own_share(self, x, y, batch_size, shuffle=False):
        """Data for this process, if others train on the rest."""
        checks.shared_alike(x, batch_size, backend.parts())
        return backend.own_share(x, y, batch_size, shuffle)

    @contextlib.contextmanager
    def _reading(self, data):
        """Says whether the batches of `data` are for this process alone.

        And names its errors: TensorFlow reads data in a thread and hides one there.
        """
        before = self.own_batches
        self.own_batches = getattr(data, "data_shard", (0, 1))[1] > 1
        try:
            yield
        except Exception:
            if getattr(data, "failure", None) is not None:
                raise data.failure from None
            raise
        finally:
            self.own_batches = before

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing is left to build. Keras would add up uint8 images over workers."""

    def __setattr__(self, name, value):
        if name == "_jax_state":  # Keras's, of each step: it holds no layers to track
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _make_function(self, step_function, **kwargs):
        execution = super()._make_function(step_function, **kwargs)
        one = self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile
        if kwargs or one:
            return execution
        return backend.execution(execution, step_function, self.steps_per_execution)


def _check_shuffles_itself(arguments):
    """Keras is not to shuffle batches, nor to end an epoch elsewhere."""
    arguments.setdefault("shuffle", False)
    if arguments.get("steps_per_epoch"):
        raise ValueError(
            "Expected data with set_epoch to know how long an epoch is. Received: "
            f"steps_per_epoch={arguments['steps_per_epoch']} in fit. Pass it to "
            "kzoo.data.stream instead."
        )


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
