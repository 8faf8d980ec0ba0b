"""Random numbers on TensorFlow, fast on a CPU too."""

import random

import numpy as np
import tensorflow as tf

from kzoo.backend.tensorflow.replicas import replicas

APART = 0x9E3779B1  # between the seeds of two replicas


def normal(shape, seed):
    # Keras leaves the algorithm to TensorFlow. The one that TensorFlow takes under XLA
    # needs a millisecond a call on a CPU.
    return tf.random.stateless_normal(shape, _of_replica(seed.next()), alg="philox")


def uniform(shape, seed):
    return tf.random.stateless_uniform(shape, _of_replica(seed.next()), alg="philox")


def reseed(seed):
    # Keras would seed TensorFlow too, which drops every compiled function.
    random.seed(seed)
    np.random.seed(seed)


def _of_replica(seed):
    """The seed of this replica, another one on each."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replicas() == 1:
        return seed
    number = tf.cast(replica.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([number * APART, 0])


def seeded_normal(shape, seed):
    """Standard normal float32 draws of `shape`, a function of the int64 `seed` alone.

    Exported signatures need random numbers without variables.
    """
    return tf.random.stateless_normal(shape, seed=tf.stack([seed, 0]))


def seeded_labels(n, num_classes, seed):
    """`n` int32 labels, uniform on `range(num_classes)`, from the int64 `seed`."""
    seed = tf.stack([seed, 1])
    return tf.random.stateless_uniform([n], seed, 0, num_classes, tf.int32)
