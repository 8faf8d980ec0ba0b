"""Residual quantisation: codebooks in a row, each for the rest of those before."""

import keras
from keras import ops

from kzoo import checks
from kzoo.parts.quantizers.codebooks import MovingAverageCodebook
from kzoo.parts.quantizers.quantizer import Quantizer, straight_through


@keras.saving.register_keras_serializable("kzoo")
class ResidualCodebooks(Quantizer):
    """RQ: a vector is the sum of one code of each codebook.

    Lee et al., arXiv:2203.01941; SoundStream, Zeghidour et al., arXiv:2107.03312. The
    first codebook takes the code nearest to the vector, each further one the code
    nearest to the rest that those before leave. To the loss each adds `commitment`
    times the squared distance of the vector to the sum up to its own code. Each is a
    codebook of moving averages of its own, as in SoundStream; RQ-VAE shares one.

    The codes of a place are neighbours in a row: `(batch, height, width * depth)`.
    Those of the first codebook are 0 to `codes - 1`, of the second `codes` to
    `2 * codes - 1`, and so on, so that a model of codes knows which they are of.

    Args:
        codes: number of codes in each codebook. `size` counts all of them.
        dim: length of their vectors.
        depth: number of codebooks.
        commitment: as in `Codebook`.

    Example:

    >>> VQVAE((28, 28, 1), ResidualCodebooks(codes=128, dim=16, depth=4))
    """

    takes_draws = True

    def __init__(self, codes=512, dim=64, depth=4, commitment=0.25):
        super().__init__()
        self.depth = checks.positive_int("depth", depth)
        self.codes = checks.positive_int("codes", codes)
        self.commitment = checks.number("commitment", commitment, least=0)
        self.books = [
            MovingAverageCodebook(codes, dim, commitment) for _ in range(depth)
        ]
        self.dim, self.size = self.books[0].dim, self.depth * self.codes
        self.built = True

    @property
    def started(self):
        return self.books[0].started

    def start(self, vectors):
        """Starts each codebook by k-means on the rest that those before leave."""
        for book in self.books:
            book.start(vectors)
            nearest = book.nearest(ops.convert_to_tensor(vectors, "float32"))
            vectors = vectors - ops.convert_to_numpy(book.lookup(nearest))

    def call(self, vectors, training=False, draws=None):
        rest, codes, loss = vectors, [], 0.0
        draws = [None] * self.depth if draws is None else ops.split(draws, self.depth)
        for book, own in zip(self.books, draws, strict=True):
            chosen, nearest, added = book(rest, training=training, draws=own)
            rest = rest - ops.stop_gradient(chosen)
            codes, loss = [*codes, nearest], loss + added
        return straight_through(vectors, vectors - rest), self.in_a_row(codes), loss

    def nearest(self, vectors):
        codes = []
        for book in self.books:
            codes.append(book.nearest(vectors))
            vectors = vectors - book.lookup(codes[-1])
        return self.in_a_row(codes)

    def in_a_row(self, codes):
        """A list of each codebook's codes to all of them side by side."""
        codes = ops.stack([c + i * self.codes for i, c in enumerate(codes)], axis=-1)
        *places, width, depth = codes.shape[1:]
        return ops.reshape(codes, (-1, *places, width * depth))

    def lookup(self, codes):
        """A code out of the range of its codebook is taken modulo `codes`."""
        *places, width = codes.shape[1:]
        shape = (-1, *places, width // self.depth, self.depth)
        codes = ops.reshape(codes, shape) % self.codes
        return sum(book.lookup(codes[..., i]) for i, book in enumerate(self.books))

    def project(self, vectors):
        """Vectors as they are: `nearest` may find other codes than were summed."""
        return vectors
