"""Parts of models: names or objects, whose config is what they were made with.

What a user may pass by name (`loss="hinge"`) or as an object with settings of its own
(`penalty=R1(weight=0.1)`) is a `Part`, or a Keras layer where it has weights.
"""

import copy
import inspect

import keras

from kzoo import optimizers

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Settable:
    """Base of parts: once its model is compiled, a part refuses what has no effect."""

    def guard(self, fixed):
        """From now on checks what is set; nothing in `fixed` may change any more."""
        object.__setattr__(self, "_guarded", frozenset(fixed))

    def __setattr__(self, name, value):
        if "_guarded" in vars(self) and not name.startswith("_"):
            value = self._checked(name, value)
        super().__setattr__(name, value)

    def _checked(self, name, value):
        old = getattr(self, name, None)
        if value is old:
            return value
        settings, kind = self.get_config(), type(self)
        if name in settings:
            check_unchanged(self, name, old, value, self._guarded)
            try:  # for the checks of the constructor
                checked = kind.from_config({**settings, name: serialized(value)})
                return getattr(checked, name)
            except TypeError as error:  # Keras makes it one, of layers
                raise error.__context__ or error from None
        if isinstance(old, keras.Variable):
            raise AttributeError(
                f"{name} of {kind.__name__} is a variable that training moves. "
                f"Expected {name}.assign(value). Received: {name} = {value!r}."
            )
        if not hasattr(self, name):
            self._refuse(name)
        return value

    def _refuse(self, name):
        settings = ", ".join(self.get_config()) or "none"
        raise AttributeError(
            f"{type(self).__name__} has no setting {name}. Expected one of {settings}. "
            "Settings of the model, such as beta, are set on the model."
        )


def check_unchanged(owner, name, old, value, fixed):
    """Raises an `AttributeError` for a setting that cannot take effect any more.

    Args:
        owner: model or part that has the setting.
        name, old, value: of the setting, its value, and what it is to be set to.
        fixed: names of the settings that networks and weights are made by.
    """
    parts = old if isinstance(old, tuple) else (old,)
    replaced = any(isinstance(one, Settable | keras.Model) for one in parts)
    # Such as a scale of "learned" in place of a number.
    other_kind = None not in (old, value) and isinstance(old, str) != isinstance(
        value, str
    )
    if replaced or (value != old and (name in fixed or other_kind)):
        raise AttributeError(
            f"Expected {name} of {type(owner).__name__} to stay as it was when the "
            f"model was built: its networks, weights or logs depend on it. Received: "
            f"{name} = {value!r}, where it is {old!r}. Build a model with it"
            + (f", or change a setting of {name}." if replaced else ".")
        )


class Part(Settable):
    """A small object with settings. Each is an attribute of the argument's name."""

    def get_config(self):
        return serialized(arguments(self))

    @classmethod
    def from_config(cls, config):
        return cls(**deserialized(config))

    def __eq__(self, other):
        return type(other) is type(self) and other.get_config() == self.get_config()

    __hash__ = object.__hash__

    def __repr__(self):
        settings = ", ".join(f"{k}={v!r}" for k, v in arguments(self).items())
        return f"{type(self).__name__}({settings})"


def part(argument, given, kind, known):
    """The part that `given` names, or a copy of the part that it is.

    A copy, as a part with weights belongs to one model.

    Args:
        argument: what the user passed it as.
        given: one of the names in `known`, or an object.
        kind: class that the object has to be of.
        known: `{name: class}`, each made without arguments.

    Raises:
        ValueError: for another name, or an object of another class.
    """
    if isinstance(given, str) and given in known:
        return known[given]()
    if isinstance(given, kind):
        return type(given).from_config(given.get_config())
    names = ", ".join(map(repr, known))
    raise ValueError(
        f"Unknown {argument}. Expected one of {names}, or a {kind.__name__} "
        f"of {kind.__module__}. Received: {argument}={given!r}."
    )


def parts(argument, given, kind, known):
    """A tuple of parts: of none for None, of one, or of each in a list."""
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(part(argument, x, kind, known) for x in several if x is not None)


def arguments(instance, last=object):
    """`{name: value}` of the constructor's arguments, read from the attributes.

    Where a constructor passes `**kwargs` on, its parent's arguments belong to it, but
    not those that are positional only.

    Args:
        instance: object with an attribute for each argument of its constructor.
        last: class whose constructor, and those of its parents, are left out.
    """
    names = argument_names(instance, last)
    return {name: getattr(instance, name) for name in names}


def argument_names(instance, last=object):
    """The names of `arguments`."""
    names = []
    for cls in type(instance).__mro__:
        if cls is last:
            break
        if "__init__" in vars(cls):
            parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
            names += [p.name for p in parameters if p.kind in KEYWORDS]
            if all(p.kind != inspect.Parameter.VAR_KEYWORD for p in parameters):
                break
    return list(dict.fromkeys(names))


def serialized(value):
    """The value as it is written to a file: objects with a config become dicts."""
    if isinstance(value, dict):
        return {key: serialized(v) for key, v in value.items()}
    if isinstance(value, list):
        return [serialized(v) for v in value]
    if isinstance(value, tuple):
        return tuple(serialized(v) for v in value)
    if isinstance(value, keras.optimizers.Optimizer):
        return optimizers.serialize(value)
    if hasattr(value, "get_config"):
        return keras.saving.serialize_keras_object(value)
    return value


def deserialized(value):
    """What `serialized`, or Keras when it wrote the config to a file, has changed."""
    if isinstance(value, dict) and "class_name" in value:
        value = copy.deepcopy(value)  # deserialising takes things out
        return keras.saving.deserialize_keras_object(value)
    if isinstance(value, dict):
        return {key: deserialized(v) for key, v in value.items()}
    if isinstance(value, list):
        return [deserialized(v) for v in value]
    if isinstance(value, tuple):
        return tuple(deserialized(v) for v in value)
    return value
