"""What all quantizers have, and functions of vectors and codes that they share."""

import keras
from keras import ops

from kzoo import config


class Quantizer(config.Settable, keras.layers.Layer):
    """Vectors to codes, whole numbers, and back. See the package for what it has.

    One of your own is a subclass, registered with Keras.
    """

    depth = 1  # how many codes stand for a vector
    takes_draws = False  # whether it is called with random numbers in training

    def __init__(self):
        super().__init__(dtype="float32")

    def call(self, vectors, training=False, draws=None):
        """Vectors `(batch, height, width, dim)` to `(quantised, codes, loss)`."""
        raise NotImplementedError

    def nearest(self, vectors):
        """The codes of the vectors that lie nearest: `(..., dim)` to int32 `(...)`."""
        raise NotImplementedError

    def lookup(self, codes):
        """The vectors of codes: `(...)` to `(..., dim)`."""
        raise NotImplementedError

    def start(self, vectors):
        """Sets the weights by the vectors of the first images, NumPy's `(n, dim)`."""
        raise NotImplementedError

    def project(self, vectors):
        """Any vectors `(..., dim)`, moved to those of their nearest codes."""
        return self.lookup(self.nearest(vectors))

    def get_config(self):
        return config.serialized(config.arguments(self, last=Quantizer))


def straight_through(vectors, quantised):
    """`quantised`, with the gradient of `vectors`."""
    return vectors + ops.stop_gradient(quantised - vectors)


def squared_distance(first, second):
    """Summed over all axes but the batch's: `(batch, ...)` to `(batch,)`."""
    return ops.sum(ops.square(first - second), axis=(1, 2, 3))


def perplexity(codes, size):
    """How many codes are in use, exp of the entropy of their frequencies: a scalar."""
    one_hot = ops.one_hot(ops.reshape(codes, (-1,)), size)
    share = ops.mean(one_hot, axis=0)
    return ops.exp(-ops.sum(share * ops.log(ops.maximum(share, 1e-10))))
