"""The state of callbacks as JSON and arrays, for `Checkpoint`. No pickle.

The state of a callback is what its `get_state()` returns, if it has `set_state` too,
else those of its attributes that have changed since training began. Of Keras's own
callbacks it is the attributes listed in `keras_internals`, and `CSVLogger`'s file.
"""

import collections
import copy
import enum
import inspect
import pathlib
import re
import types
import zlib

import keras
import numpy as np
from keras import ops

from kzoo.backend import keras_internals

PLAIN = (type(None), bool, int, float, str)
CONTAINERS = {
    cls.__name__: cls
    for cls in (
        *(list, tuple, set, frozenset, dict, collections.OrderedDict),
        *(collections.Counter, collections.defaultdict, collections.deque),
    )
}
PROTOCOLS = (
    ("get_state", "set_state"),
    ("state_dict", "load_state_dict"),
    ("getstate", "setstate"),  # random.Random
)
# Objects without a state of their own. What functions keep is looked at apart.
STATELESS = (
    *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, type),
    *(types.ModuleType, enum.Enum, re.Pattern, np.dtype, np.ufunc),
)
MUTABLE = (list, dict, set, collections.deque, np.ndarray)
TRACKED = (keras.Layer, keras.metrics.Metric, keras.optimizers.Optimizer)


class States:
    """The states of the callbacks of one `fit`.

    Args:
        callbacks: list of them, when the `on_train_begin` of all have run.
    """

    def __init__(self, callbacks):
        self.callbacks = callbacks
        self.start, self.settings, self.lost = [], [], []
        for callback in callbacks:
            values, lost = _pack_attributes(callback)
            self.start.append({k: _fingerprint(v) for k, v in values.items()})
            self.settings.append(_settings(callback, self.start[-1]))
            self.lost.append({*lost, *_kept_by_functions(callback)})

    def save(self):
        """`(entries, arrays)`: an entry for each callback, ready for JSON."""
        entries, arrays = [], []
        for callback, start, settings, lost in zip(
            self.callbacks, self.start, self.settings, self.lost, strict=True
        ):
            values, failed = _pack_attributes(callback)
            own = keras_internals.callback_state(callback)
            changed = {
                name: _shift(packed, arrays)
                for name, packed in values.items()
                if name in own or start.get(name) != _fingerprint(packed)
            }
            entries.append(
                {
                    "class": type(callback).__name__,
                    "settings": settings,
                    "state": changed,
                    "lost": sorted(lost | {*failed}),
                }
            )
        return entries, arrays

    def restore(self, entries, arrays):
        """Sets what was saved. Returns what could not be, a list of sentences."""
        missed = []
        pairs, left_out, new = self._match(entries)
        for entry, callback in pairs:
            name = entry["class"]
            missed += [f"{name} had {what}, not saved" for what in entry["lost"]]
            for key, packed in entry["state"].items():
                try:
                    _set(callback, key, packed, arrays)
                except (TypeError, ValueError, AttributeError, LookupError) as error:
                    missed.append(f"{key} of {name}: {error}")
        missed += [
            f"{entry['class']} is not among the callbacks any more, or is one of "
            "several with other settings: its state is left out"
            for entry in left_out
            if entry["state"]
        ]
        missed += [
            f"{type(callback).__name__} was not among the callbacks, or is one of "
            "several with other settings: it starts anew"
            for callback in new
            if _may_have_state(callback)
        ]
        return missed

    def _match(self, entries):
        """Entries and callbacks of the same class: of the same settings, or in order.

        In order only if there are as many on both sides.
        """
        pairs, entries, left = [], list(entries), []
        for callback, settings in zip(self.callbacks, self.settings, strict=True):
            made = type(callback).__name__, settings
            same = (e for e in entries if (e["class"], e["settings"]) == made)
            entry = next(same, None)
            if entry is None:
                left.append(callback)
            else:
                pairs.append((entry, callback))
                entries.remove(entry)
        for name in dict.fromkeys(entry["class"] for entry in entries):
            saved = [entry for entry in entries if entry["class"] == name]
            here = [one for one in left if type(one).__name__ == name]
            if len(saved) == len(here):
                pairs += zip(saved, here, strict=True)
                entries = [entry for entry in entries if entry not in saved]
                left = [one for one in left if type(one).__name__ != name]
        return pairs, entries, left


def has_protocol(value):
    """The pair of methods by which an object gives and takes its state, or None."""
    if isinstance(value, type):
        return None
    for pair in PROTOCOLS:
        if all(callable(getattr(value, name, None)) for name in pair):
            return pair
    return None


def _may_have_state(callback):
    own = type(callback).__module__.split(".")[0] not in ("keras", "kzoo")
    return bool(keras_internals.callback_state(callback)) or (
        own and bool(_names(callback))
    )


def _names(callback):
    """Attributes that may be state: not those that only Keras's code sets."""
    names = {*vars(callback)} - keras_internals.set_by_keras(callback)
    for cls in type(callback).__mro__:
        if cls.__module__.split(".")[0] not in ("keras", "builtins"):
            names |= {k for k, v in vars(cls).items() if _is_mutable_attribute(k, v)}
    return sorted(names | {*keras_internals.callback_state(callback)})


def _is_mutable_attribute(name, value):
    return isinstance(value, MUTABLE) and not name.startswith("__")


def _pack_attributes(callback):
    """`({name: (packed, arrays)}, lost)`: what can be saved, and what cannot."""
    values, lost, names = {}, [], _names(callback)
    if pair := has_protocol(callback):
        names = [n for n in names if n in keras_internals.callback_state(callback)]
        names.append(f"{pair[0]}()")
    if isinstance(callback, keras.callbacks.CSVLogger):
        names.append("the log")
    known = _model_variables(callback)
    for name in names:
        arrays = []
        try:
            value = _get(callback, name)
            values[name] = _pack(value, arrays, known), arrays
        except TypeError as error:
            lost.append(f"`{name}` ({error})")
        except AttributeError:  # not there yet
            pass
    return values, lost


def _get(callback, name):
    if name == "the log":
        path = pathlib.Path(callback.filename)
        return path.read_bytes() if path.is_file() else b""
    if name.endswith("()"):
        return getattr(callback, name[:-2])()
    return getattr(callback, name)


def _set(callback, name, packed, arrays):
    if name == "the log":
        return _write_log(callback, _unpack(packed, arrays, None))
    if name.endswith("()"):
        set_state = getattr(callback, dict(PROTOCOLS)[name[:-2]])
        return set_state(_unpack(packed, arrays, None))
    current = getattr(callback, name, None)
    value = _unpack(packed, arrays, current)
    if value is not current:
        setattr(callback, name, value)


def _write_log(callback, content):
    """Gives a `CSVLogger`, which has emptied its file, the lines of before."""
    callback.csv_file.close()
    pathlib.Path(callback.filename).write_bytes(content)
    callback.csv_file = open(callback.filename, "a")  # noqa: SIM115
    callback.append_header = not content


def _model_variables(callback):
    model = callback.model
    variables = [] if model is None else model.variables
    optimizer = getattr(model, "optimizer", None)
    return {id(v) for v in [*variables, *(optimizer.variables if optimizer else [])]}


def _variables(value):
    """The variables of an object of Keras; None for any other object."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, keras.random.SeedGenerator):
        return [value.state]
    if isinstance(value, TRACKED):
        return list(value.variables)
    return [] if type(value).__module__.split(".")[0] == "keras" else None


def _pack(value, arrays, known):
    """A value as JSON that refers to the list `arrays`, which it adds to.

    Raises:
        TypeError: for a value that cannot be saved; the message is its class.
    """
    if type(value) in PLAIN:
        return value
    name = type(value).__name__
    if CONTAINERS.get(name) is type(value):
        items = value.items() if isinstance(value, dict) else value
        return {name: [_pack(item, arrays, known) for item in items]}
    if isinstance(value, bytes):
        return {"bytes": _add(np.frombuffer(value, "uint8"), arrays)}
    if isinstance(value, pathlib.PurePath):
        return {"path": str(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return {"array": _add(value, arrays)}
    if isinstance(value, np.generic) and value.dtype.kind != "O":
        return {"scalar": _add(np.asarray(value), arrays)}
    variables = _variables(value)
    if variables is not None:
        # Those of the model are saved with it.
        own = [v for v in variables if id(v) not in known]
        return {"variables": [_add(ops.convert_to_numpy(v), arrays) for v in own]}
    if ops.is_tensor(value):
        return {"tensor": _add(ops.convert_to_numpy(value), arrays)}
    if isinstance(value, np.random.Generator):
        return {"generator": _pack(value.bit_generator.state, arrays, known)}
    if isinstance(value, STATELESS):
        return {"kept": None}
    if pair := has_protocol(value):
        state = getattr(value, pair[0])()
        return {"protocol": [pair[0], _pack(state, arrays, known)]}
    raise TypeError(f"a {name}")


def _add(array, arrays):
    """Appends an array; returns its place and its dtype, as NumPy files know few."""
    array = np.array(array)
    name = array.dtype.name if array.dtype.kind == "V" else None
    arrays.append(array.astype("float32") if name else array)  # bfloat16: exactly
    return [len(arrays) - 1, name]


def _unpack(packed, arrays, current):
    """The value that was packed. `current` is what the attribute holds now."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind in CONTAINERS:
        return _unpack_container(CONTAINERS[kind], content, arrays, current)
    match kind:
        case "array":
            return _array(content, arrays)
        case "scalar":
            return _array(content, arrays)[()]
        case "bytes":
            return _array(content, arrays).tobytes()
        case "path":
            return pathlib.Path(content)
        case "tensor":
            return ops.convert_to_tensor(_array(content, arrays))
        case "kept":
            return current
        case "variables":
            return _assign(current, [_array(one, arrays) for one in content])
        case "generator":
            state = _unpack(content, arrays, None)
            bits = getattr(np.random, state["bit_generator"])()
            bits.state = state
            return np.random.Generator(bits)
        case "protocol":
            return _set_by_protocol(current, content, arrays)
    raise ValueError(f"saved as {kind!r}, which this version of kzoo does not know")


def _unpack_container(cls, content, arrays, current):
    if issubclass(cls, dict):
        currents = current if isinstance(current, dict) else {}
        items = []
        for pair in content:
            key, packed = pair["tuple"]
            key = _unpack(key, arrays, None)
            items.append((key, _unpack(packed, arrays, currents.get(key))))
    else:
        alike = isinstance(current, list | tuple) and len(current) == len(content)
        currents = current if alike else [None] * len(content)
        items = [
            _unpack(packed, arrays, one)
            for packed, one in zip(content, currents, strict=True)
        ]
    if type(current) is cls and cls in (collections.deque, collections.defaultdict):
        new = copy.copy(current)  # of the same length, or with the same default
        new.clear()
        (new.update if issubclass(cls, dict) else new.extend)(items)
        return new
    if cls is collections.defaultdict:
        return dict(items)
    return cls(dict(items)) if cls is collections.Counter else cls(items)


def _array(place, arrays):
    index, name = place
    return arrays[index].astype(np.dtype(name)) if name else arrays[index]


def _assign(current, values):
    if not values:
        return current
    known = _variables(current) if current is not None else None
    variables = known or []
    if len(variables) != len(values):
        raise ValueError("it is made later, and cannot be given what was saved")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return current


def _set_by_protocol(current, content, arrays):
    name, packed = content
    if current is None:
        raise ValueError("it is made later, and cannot be given what was saved")
    getattr(current, dict(PROTOCOLS)[name])(_unpack(packed, arrays, None))
    return current


def _shift(value, arrays):
    """The JSON of a packed value, with its arrays at the end of `arrays`."""
    packed, own = value
    offset = len(arrays)
    arrays.extend(own)

    def move(part):
        if isinstance(part, dict):
            ((kind, content),) = part.items()
            if kind in ("array", "scalar", "bytes", "tensor"):
                return {kind: [content[0] + offset, content[1]]}
            if kind == "variables":
                return {kind: [[i + offset, name] for i, name in content]}
            return {kind: move(content)}
        return [move(one) for one in part] if isinstance(part, list) else part

    return move(packed)


def _fingerprint(value):
    """Text that changes whenever a packed value does."""
    packed, arrays = value
    sums = [(a.dtype.str, a.shape, zlib.crc32(a.tobytes())) for a in arrays]
    return f"{packed!r} {sums}"


def _settings(callback, start):
    """A checksum of what a callback was made with, so far as that is plain values."""
    state = keras_internals.callback_state(callback)
    settings = {
        **{name: text for name, text in start.items() if name not in state},
        **{
            name: repr(value)
            for name, value in vars(callback).items()
            if type(value) in PLAIN and name not in state
        },
    }
    return zlib.crc32(repr(sorted(settings.items())).encode())


def _kept_by_functions(callback):
    """Names of the lists, dicts and arrays that functions of a callback may change."""
    for name, value in vars(callback).items():
        if isinstance(value, types.FunctionType):
            variables = inspect.getclosurevars(value)
            for key, kept in {**variables.globals, **variables.nonlocals}.items():
                if isinstance(kept, MUTABLE):
                    yield f"`{key}` of the function `{name}`"
        owner = getattr(value, "__self__", None)
        if isinstance(owner, MUTABLE):
            yield f"a {type(owner).__name__} of the function `{name}`"
