"""Quantizers that learn a table of vectors."""

import keras
import numpy as np
from keras import ops

from kzoo import backend, checks
from kzoo.parts.quantizers.quantizer import (
    Quantizer,
    squared_distance,
    straight_through,
)


class Codebook(Quantizer):
    """A table of vectors, one a code. What the two ways to learn it share.

    Args:
        size: number of codes.
        dim: length of their vectors.
        commitment: weight of the squared distance that draws the encoder's vectors to
            the codes', beta in arXiv:1711.00937, equation 3.
    """

    learns_by_gradients = False

    def __init__(self, size=512, dim=64, commitment=0.25):
        super().__init__()
        self.size = checks.positive_int("size", size)
        self.dim = checks.positive_int("dim", dim)
        self.commitment = checks.number("commitment", commitment, least=0)
        self.table = self.add_weight(
            (self.size, self.dim),
            keras.initializers.RandomUniform(-1 / self.size, 1 / self.size),
            trainable=self.learns_by_gradients,
            name="table",
        )
        self.started = self.add_weight((), "zeros", trainable=False, name="started")
        self.built = True

    def nearest(self, vectors):
        products = ops.matmul(vectors, ops.transpose(self.table))
        distances = ops.sum(ops.square(self.table), axis=-1) - 2 * products
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def lookup(self, codes):
        return ops.take(self.table, codes, axis=0)

    def start(self, vectors):
        """Sets the table to the centres that k-means finds among vectors `(n, dim)`.

        With fewer vectors than codes, each is taken, some several times.
        """
        if len(vectors) > self.size:
            self.table.assign(k_means(vectors, self.size))
        else:
            self.table.assign(np.resize(vectors, self.table.shape))


@keras.saving.register_keras_serializable("kzoo")
class GradientCodebook(Codebook):
    """A codebook that learns by gradients: van den Oord et al., arXiv:1711.00937.

    Adds the squared distance of the encoder's vectors to the codes', summed over all
    places and dimensions, once for the codebook and `commitment` times for the
    encoder: equation 3.

    Example:

    >>> VQVAE((28, 28, 1), GradientCodebook(size=256, dim=32))
    """

    learns_by_gradients = True

    def call(self, vectors, training=False, draws=None):
        codes = self.nearest(vectors)
        # A product, as the gradient of a look-up is summed in no fixed order on a GPU.
        chosen = ops.matmul(ops.one_hot(codes, self.size), self.table)
        loss = squared_distance(ops.stop_gradient(vectors), chosen)
        commitment = squared_distance(vectors, ops.stop_gradient(chosen))
        loss = loss + self.commitment * commitment
        return straight_through(vectors, chosen), codes, loss


@keras.saving.register_keras_serializable("kzoo")
class MovingAverageCodebook(Codebook):
    """A codebook of moving averages: appendix A.1 of arXiv:1711.00937.

    A code's vector is the mean of the vectors that chose it, a moving average over
    training steps: no gradient, hence no optimizer. To the loss it adds `commitment`
    times the squared distance of the encoder's vectors to the codes'. A code that is
    hardly ever chosen is dead, and takes the place of a random vector of the batch
    (as in Jukebox, arXiv:2005.00341).

    Args:
        size, dim, commitment: as in `Codebook`.
        decay: how much of the moving averages each training step keeps, the paper's
            gamma.
        dead_below: a code is dead once it is chosen less than so many times a step, by
            its moving average, which starts as 1: with the defaults, after 230 steps
            without.

    Call arguments:
        draws: in training, numbers from [0, 1), `(size,)`: they choose the places that
            dead codes take.

    Example:

    >>> VQVAE((28, 28, 1), MovingAverageCodebook(size=256, dim=32))
    """

    takes_draws = True

    def __init__(self, size=512, dim=64, commitment=0.25, decay=0.99, dead_below=0.1):
        super().__init__(size, dim, commitment)
        self.decay = checks.number("decay", decay, least=0, below=1)
        self.dead_below = checks.number("dead_below", dead_below, least=0)
        self.counts = self.add_weight((size,), "zeros", trainable=False, name="counts")
        self.sums = self.add_weight((size, dim), "zeros", trainable=False, name="sums")

    def call(self, vectors, training=False, draws=None):
        codes = self.nearest(vectors)
        chosen = ops.stop_gradient(self.lookup(codes))
        loss = self.commitment * squared_distance(vectors, chosen)
        if training and self.trainable:
            flat = ops.reshape(ops.stop_gradient(vectors), (-1, vectors.shape[-1]))
            self.update(flat, ops.reshape(codes, (-1,)), draws)
        return straight_through(vectors, chosen), codes, loss

    def update(self, vectors, codes, draws):
        """Moves the averages on by vectors `(n, dim)` and their codes `(n,)`."""
        vectors, codes = backend.whole_batch(vectors), backend.whole_batch(codes)
        draws = backend.whole_batch(draws)[: self.size]  # one choice for all replicas
        one_hot = ops.one_hot(codes, self.size)
        counts = self.averaged(self.counts, ops.sum(one_hot, axis=0))
        sums = self.averaged(self.sums, ops.matmul(ops.transpose(one_hot), vectors))
        n = ops.shape(vectors)[0]
        places = ops.cast(ops.floor(draws * ops.cast(n, "float32")), "int32")
        fresh = ops.take(vectors, ops.clip(places, 0, n - 1), axis=0)
        dead = counts < self.dead_below
        counts = ops.where(dead, 1.0, counts)
        sums = ops.where(dead[:, None], fresh, sums)
        self.counts.assign(counts)
        self.sums.assign(sums)
        self.table.assign(sums / counts[:, None])

    def averaged(self, moving, new):
        return self.decay * moving + (1 - self.decay) * new

    def start(self, vectors):
        super().start(vectors)
        self.counts.assign(np.ones(self.size))
        # A copy: JAX may not be given one buffer for two variables.
        self.sums.assign(np.array(ops.convert_to_numpy(self.table)))


def k_means(vectors, size):
    """The `size` centres of vectors `(n, dim)` that scikit-learn's k-means finds."""
    from sklearn.cluster import KMeans  # takes a second to import

    start = KMeans(size, n_init=1, max_iter=30, random_state=0)
    return start.fit(vectors).cluster_centers_
