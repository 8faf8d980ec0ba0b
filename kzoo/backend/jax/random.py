"""Random numbers on JAX: Keras's."""

import keras

reseed = keras.utils.set_random_seed


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)
