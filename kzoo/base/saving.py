"""What a `.keras` file of a `PhasedModel` holds beside what Keras writes to it."""

import numpy as np
from keras import ops


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
