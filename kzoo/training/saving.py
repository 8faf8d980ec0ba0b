"""Saving: nothing is left out of the file, and no file is lost."""

import copy

import keras
import numpy as np
from keras import ops

from kzoo import backend
from kzoo.files import replacing


class Saving:
    """`save`, and what a model's config and weights consist of."""

    def save(self, filepath, overwrite=True, **kwargs):
        """`keras.Model.save`, but a crash while writing leaves the old file intact.

        Of several processes that train together one writes.
        """
        if not backend.is_chief():
            return None
        if str(filepath).startswith("hf://") or not overwrite:
            return super().save(filepath, overwrite=overwrite, **kwargs)
        with backend.by_itself(), replacing(filepath) as partial:
            super().save(partial, **kwargs)

    def save_own_variables(self, store):
        # Keras saves no seed, neither the model's own nor those inside Dropout.
        super().save_own_variables(store)
        for i, seed in enumerate(self._seed_states()):
            store[f"seed_{i}"] = ops.convert_to_numpy(seed)

    def load_own_variables(self, store):
        seeds = {
            key: store[key] for key in list(store.keys()) if key.startswith("seed_")
        }
        weights = {key: store[key] for key in list(store.keys()) if key not in seeds}
        super().load_own_variables(weights)
        for i, seed in enumerate(self._seed_states()):
            seed.assign(np.asarray(seeds[f"seed_{i}"]))

    def _seed_states(self):
        weights = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in weights]

    def get_config(self):
        own = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self.own_networks
        }
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "num_classes": self.num_classes,
            **own,
        }

    @classmethod
    def from_config(cls, config):
        config = copy.deepcopy(config)  # deserialising takes parts out
        nested = {
            key: keras.saving.deserialize_keras_object(value)
            for key, value in config.items()
            if isinstance(value, dict) and "class_name" in value
        }
        return cls(**{**config, **nested})
