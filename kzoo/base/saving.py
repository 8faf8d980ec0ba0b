"""What a `.keras` file of a `PhasedModel` holds beside what Keras writes to it."""

import keras
import numpy as np
from keras import ops

from kzoo import config
from kzoo.backend import keras_internals

# Attributes of models that training never moves, whatever `trainable` of them is.
FIXED = ("ema_generator", "pixelcnn", "sampler")


def check_format(filepath, options):
    """Raises a `ValueError` for a file or options of Keras's legacy HDF5 format."""
    if str(filepath).endswith((".h5", ".hdf5")):
        raise ValueError(
            "Expected a path that ends in .keras. The HDF5 format holds no model with "
            f"classes of its own, and would not load. Received: {str(filepath)!r}. "
            "For weights alone call save_weights('model.weights.h5')."
        )
    ignored = sorted({"include_optimizer", "save_format"} & set(options))
    if ignored:
        raise ValueError(
            "A .keras file always holds the optimizer and its format is told by its "
            f"name. Received: {', '.join(ignored)}, which has no effect. Leave it out. "
            "To load without the optimizer: keras.saving.load_model(path, "
            "compile=False)."
        )


def save_seeds(model, store):
    """Adds the states of all seeds, the model's own and those inside Dropout."""
    for i, seed in enumerate(seed_states(model)):
        store[f"seed_{i}"] = ops.convert_to_numpy(seed)


def load_seeds(model, store):
    """Sets the seeds as `save_seeds` saved them. Returns the rest of the store."""
    seeds = {key: store[key] for key in list(store.keys()) if key.startswith("seed_")}
    if len(seeds) < len(seed_states(model)):
        raise ValueError(
            f"Expected weights with the {len(seed_states(model))} random seeds that "
            f"the model {model.name} has. Received: {len(seeds)} of them. Load what a "
            "model with the same arguments has saved."
        )
    for i, seed in enumerate(seed_states(model)):
        seed.assign(np.asarray(seeds[f"seed_{i}"]))
    return {key: store[key] for key in list(store.keys()) if key not in seeds}


def seed_states(model):
    """The variables that Keras does not count among the weights, and does not save."""
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def trainability(model):
    """`{path: trainable}` of what is not as the layer that it is in; often empty.

    Of networks, of layers in them and of variables: `{"encoder": False}` for a frozen
    encoder, `{"encoder": False, "encoder/4": True}` for one with a layer that is not.
    The path of the model itself is `"."`, that of a part without a name its place.
    """
    found = {}
    for path, item, parent in inside(model):
        own, inherited = keras_internals.own_trainable([item, parent or item])
        if own != (parent is None or inherited):
            found[path] = own
    return found


def set_trainability(model, wanted):
    """Makes `trainability(model)` equal to `wanted`.

    Raises:
        ValueError: for a path that the model does not have.
    """
    missing = dict(wanted)
    for path, item, parent in inside(model):
        inherited = parent is None or keras_internals.own_trainable([parent])[0]
        keras_internals.set_own_trainable(item, missing.pop(path, inherited))
    if missing:
        raise ValueError(
            f"Expected trainable to name layers of {model.name}. Received: "
            f"{', '.join(missing)}, which it does not have: its networks are others. "
            "Build them as they were saved."
        )


def inside(model):
    """Yields `(path, item, parent)` of the model, its layers and variables, each once.

    Paths depend on the order of layers, not on the names that Keras numbers.
    """
    named = config.argument_names(model, last=keras.Model)
    names = {id(getattr(model, name)): name for name in named if name != "optimizers"}
    seen = {id(getattr(model, name, None)) for name in FIXED}

    def within(layer, path):
        for i, item in enumerate(keras_internals.contents(layer)):
            if id(item) in seen:
                continue
            seen.add(id(item))
            place = names.get(id(item), i) if layer is model else f"{path}/{i}"
            yield str(place), item, layer
            if not isinstance(item, keras.Variable):
                yield from within(item, place)

    yield ".", model, None
    yield from within(model, "")
