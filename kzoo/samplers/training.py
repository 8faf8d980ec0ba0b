"""How densities of latents and of codes are fitted: plain Keras."""

import keras
import numpy as np
from keras import ops

from kzoo import checks

BATCH = 256  # rows a step


class Trainer(keras.Model):
    """Minimises the mean of `nats(*batch)` over networks, by `keras.Model.fit`.

    `compile` takes an optimizer and no loss; a batch is a tuple of tensors.

    Args:
        networks: list of the layers to train.
        nats: function of the tensors of a batch to a tensor, such as -log p of each.
        whole: the model that the networks are part of, which callbacks that draw
            images are given, or None.
    """

    def __init__(self, networks, nats, whole=None):
        super().__init__(dtype="float32")
        self.networks, self.nats = networks, nats
        self.whole = lambda: self if whole is None else whole  # Keras tracks models
        self.built = True

    def call(self, batch):
        nats = self.nats(*batch)
        self.add_loss(ops.mean(nats))
        return nats

    def fit(self, *args, callbacks=None, **kwargs):
        # As in the `fit` of the models: `Checkpoint` saves the state of the others.
        callbacks = keras.tree.flatten(callbacks or [])
        last = [one for one in callbacks if hasattr(one, "before_fit")]
        others = [one for one in callbacks if not hasattr(one, "before_fit")]
        for callback in last:
            callback.before_fit(self, others, {})
        return super().fit(*args, callbacks=[*others, *last], **kwargs)

    def get_config(self):
        networks = map(keras.saving.serialize_keras_object, self.networks)
        return {"networks": list(networks)}


def train(networks, nats, rows, seed, steps, rate=2e-3):
    """Minimises the mean of `nats(rows, noise)` over the networks.

    Adam, with a cosine decay of the learning rate.

    Args:
        networks: list of layers.
        nats: function of rows and normal noise `(batch, latent_dim)` to `(batch,)`.
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number, of initial weights, batches and noise.
        steps: with 256 rows each.
        rate: the learning rate at first.
    """
    checks.positive_int("steps", steps)
    trainer = Trainer(networks, nats)
    redraw(trainer, np.random.default_rng([seed, steps]))
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    trainer.compile(keras.optimizers.Adam(schedule))
    trainer.fit(Batches(rows, steps, seed), shuffle=False, verbose=0)


class Batches(keras.utils.PyDataset):
    """`steps` batches of rows, drawn at random, each with as much normal noise."""

    def __init__(self, rows, steps, seed):
        super().__init__()
        self.rows, self.steps, self.seed = rows.astype("float32"), steps, seed

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        rng = np.random.default_rng([self.seed, step])
        rows = self.rows[rng.integers(len(self.rows), size=BATCH)]
        return ((rows, rng.standard_normal(rows.shape, "float32")),)


def redraw(network, rng):
    """Draws each kernel anew, Glorot uniform by NumPy, unless it starts as zeros."""
    for variable in network.trainable_variables:
        if len(variable.shape) == 2 and np.any(ops.convert_to_numpy(variable)):
            limit = np.sqrt(6 / sum(variable.shape))
            variable.assign(rng.uniform(-limit, limit, variable.shape))
