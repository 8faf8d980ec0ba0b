"""What a fitted density is within a model."""

import keras

from kzoo.parts.priors import Prior


@keras.saving.register_keras_serializable("kzoo")
class Sampler(Prior):
    """Draws from `source` and undoes the standardising of the latents it was fitted to.

    It stays as it was fitted: `trainable` is always False, so that no further `fit` of
    the model moves it. A conditional model has one for all classes.

    Args:
        source: a connected `kzoo.parts.priors.Prior`.
        kind: what it is called.
    """

    def __init__(self, source, kind):
        super().__init__()
        source.trainable = False
        self.source, self.kind = source, kind
        self.latent_dim, self.size = source.latent_dim, source.size
        shape = (self.latent_dim,)
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape, "ones", trainable=False, name="scale")
        self.built = True

    @property
    def trainable(self):
        return False

    @trainable.setter
    def trainable(self, value):
        pass  # a model passes its own on to all its layers

    def call(self, normal, labels=None):
        return self.mean + self.scale * self.source(normal)

    def get_config(self):
        return {**super().get_config(), "latent_dim": self.latent_dim}

    @classmethod
    def from_config(cls, config):
        source = keras.saving.deserialize_keras_object(config["source"])
        return cls(source.connect(config["latent_dim"]), config["kind"])
