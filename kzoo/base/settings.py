"""The settings of a model and of its parts, of which compiled steps keep a copy."""

import warnings

import keras

from kzoo import checks, config
from kzoo.backend import keras_internals
from kzoo.base import saving

SAVED = (bool, int, float, str, type(None))
PLAIN = (*SAVED, tuple)
# Attributes of models and layers that training itself changes.
OF_TRAINING = {
    *("built", "compiled", "compiled_settings", "own_batches", "training"),
    *("predict_function", "test_function", "train_function"),
    *("stop_evaluating", "stop_predicting", "stop_training"),
}
# Arguments that networks and weights are made by.
OF_NETWORKS = {
    *("architecture", "image_shape", "latent_dim", "num_classes"),
    *("categories", "continuous", "continuous_dim", "discriminator_widths"),
    *("codes", "components", "depth", "dim", "flows", "levels", "size", "widths"),
}
MANY = 10  # changes that each compile the steps anew


class Settings:
    """The settings of a model and its parts as its compiled steps have them.

    A step keeps a number as it was when the step was traced, and trains what was
    trainable when the model was compiled. Reading all of it takes microseconds.
    """

    def __init__(self, model):
        names = config.argument_names(model, last=keras.Model)
        self.arguments = [name for name in names if name != "optimizers"]
        self.parts = dict(_parts(model, self.arguments))
        owners = [vars(owner) for owner in (model, *self.parts.values())]
        self.owners = [(owner, _plain_names(owner)) for owner in owners]
        self.trainable = saving.trainability(model)
        self.items = [item for _, item, _ in saving.inside(model)]
        self.trained = keras_internals.own_trainable(self.items)
        self.values, self.changes = self._read(), 0
        for path, part in self.parts.items():
            names = set(part.get_config())
            if not path.startswith("architecture"):
                names &= OF_NETWORKS
            part.guard(names)

    def _read(self):
        return [[owner.get(n) for n in names] for owner, names in self.owners]

    def save(self):
        """The numbers and names among the settings, as JSON: a list of dicts."""
        return [
            {n: owner[n] for n in names if isinstance(owner.get(n, ()), SAVED)}
            for owner, names in self._owned()
        ]

    def restore(self, saved):
        """Sets what `save` returned, of a model that was built alike."""
        for (owner, _), values in zip(self._owned(), saved, strict=True):
            owner.update({name: v for name, v in values.items() if name in owner})

    def _owned(self):
        parts = self.parts.values()
        names = [self.arguments, *(part.get_config() for part in parts)]
        owners = [owner for owner, _ in self.owners]
        return zip(owners, names, strict=True)

    def have_changed(self):
        """Whether any has another value than when this was called before."""
        values = self._read()
        if values == self.values:
            return False
        self.values, self.changes = values, self.changes + 1
        if self.changes == MANY:
            warnings.warn(
                f"Settings of the model have changed {MANY} times since it was "
                "compiled. Each time, its steps are compiled anew. What changes in "
                "each step is quicker as a part of the loss: KL(warmup_steps=1000), or "
                "model.ramp(steps) in a model of your own.",
                stacklevel=2,
            )
        return True

    def trainable_has_changed(self):
        """Whether anything is frozen now that was trained at `compile`, or reverse."""
        return keras_internals.own_trainable(self.items) != self.trained

    def checked(self, model, name, value):
        """Returns `value`; raises an error if it is no setting that takes effect.

        Args:
            model: the model, whose attribute `name` is to be set to `value`.

        Raises:
            AttributeError: for what the model is built by, or has in a part.
            ValueError: for a number out of range.
        """
        old = getattr(model, name, None)
        if name not in self.arguments:
            if not hasattr(model, name):
                self._check_no_setting(name)
        elif value is not old:
            config.check_unchanged(model, name, old, value, OF_NETWORKS)
            if value is not None and _is_number(value if old is None else old):
                own = type(model).__module__.startswith("kzoo.")  # none is negative
                return checks.number(name, value, least=0 if own else None)
        return value

    def _check_no_setting(self, name):
        owners = [p for p, part in self.parts.items() if name in part.get_config()]
        if owners:
            raise AttributeError(
                f"The model has no setting {name}, but a part of it has. Expected "
                f"{' or '.join(f'model.{path}.{name}' for path in owners)} to be set. "
                f"Received: model.{name}."
            )


def _parts(owner, names, path=""):
    """Yields the parts of a model or part by their paths, such as `penalty[0]`."""
    for name in names:
        value = getattr(owner, name, None)
        several = enumerate(value) if isinstance(value, tuple) else [(None, value)]
        for i, part in several:
            if isinstance(part, config.Settable):
                here = f"{path}{name}" if i is None else f"{path}{name}[{i}]"
                yield here, part
                yield from _parts(part, part.get_config(), f"{here}.")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain_names(values):
    return [
        name
        for name, value in values.items()
        if isinstance(value, PLAIN) and name[0] != "_" and name not in OF_TRAINING
    ]
