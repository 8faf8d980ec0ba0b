"""What a `.keras` file of a `PhasedModel` holds beside what Keras writes to it."""

import numpy as np
from keras import ops


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
