"""Quantizers without a table: each number of a vector is rounded by itself."""

import math

import keras
import numpy as np
from keras import ops

from kzoo import checks
from kzoo.parts.quantizers.quantizer import (
    Quantizer,
    squared_distance,
    straight_through,
)


class Standardized(Quantizer):
    """Standardises numbers first, by constants: what both quantizers share.

    Those of the first images get mean 0 and variance 1. From Keras's initial weights
    all numbers would be rounded to the same.
    """

    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        for name, initial in ("mean", 0.0), ("deviation", 1.0), ("started", 0.0):
            weight = self.add_weight(
                () if name == "started" else (dim,),
                keras.initializers.Constant(initial),
                trainable=False,
                name=name,
            )
            setattr(self, name, weight)
        self.built = True

    def start(self, vectors):
        """Takes mean and deviation from vectors, a NumPy array `(n, dim)`."""
        self.mean.assign(vectors.mean(axis=0))
        self.deviation.assign(vectors.std(axis=0) + 1e-6)

    def standardized(self, vectors):
        return (vectors - self.mean) / self.deviation


@keras.saving.register_keras_serializable("kzoo")
class FiniteScalar(Standardized):
    """FSQ: each number is bounded and rounded. Mentzer et al., arXiv:2309.15505.

    A code is the list of these whole numbers: there is nothing to learn, no loss to add
    and no code that dies. Number i takes `levels[i]` values, in steps of
    `1 / (levels[i] // 2)`, from -1 up to 1, or to one step below with an even number of
    levels. Differs from the paper: the encoder's numbers are first standardised. From
    Keras's initial weights they would all round to 0, and of zeros a decoder's units
    learn nothing.

    Args:
        levels: how many values each number takes, at least 2. The paper's `(8, 6, 5)`
            make 240 codes, `(8, 5, 5, 5)` 1000.

    Example:

    >>> VQVAE((28, 28, 1), FiniteScalar(levels=(8, 6, 5)))
    """

    def __init__(self, levels=(8, 5, 5, 5)):
        levels = check_levels(levels)
        super().__init__(len(levels))
        self.levels, self.size = levels, math.prod(levels)
        self.halves = np.array([n // 2 for n in self.levels], "int32")
        self.bases = np.cumprod([1, *self.levels[:-1]]).astype("int32")

    def call(self, vectors, training=False, draws=None):
        bounded = self.bounded(self.standardized(vectors))
        halves, loss = self.constant(self.halves), ops.zeros_like(vectors[:, 0, 0, 0])
        quantised = ops.round(bounded) / halves
        # The gradient is that of the bounded vectors.
        outputs = straight_through(bounded / halves, quantised)
        return outputs, self.nearest(quantised), loss

    def bounded(self, vectors):
        """Numbers that round to whole ones from -(n // 2) to (n - 1) // 2."""
        levels = np.array(self.levels)
        reach = (levels - 1) * 0.999 / 2
        offset = np.where(levels % 2, 0.0, 0.5)
        shift = np.tan(offset / reach)
        reach, offset, shift = map(self.constant, (reach, offset, shift))
        return ops.tanh(vectors + shift) * reach - offset

    def nearest(self, vectors):
        digits = ops.round(vectors * self.constant(self.halves))
        digits = ops.cast(digits, "int32") + self.constant(self.halves, "int32")
        highest = self.constant([n - 1 for n in self.levels], "int32")
        digits = ops.minimum(ops.maximum(digits, 0), highest)
        return ops.sum(digits * self.constant(self.bases, "int32"), axis=-1)

    def lookup(self, codes):
        bases, levels = (
            self.constant(x, "int32") for x in (self.bases, list(self.levels))
        )
        digits = ops.cast(codes, "int32")[..., None] // bases % levels
        halves = self.constant(self.halves)
        return (ops.cast(digits, "float32") - halves) / halves

    def constant(self, numbers, dtype="float32"):
        return ops.convert_to_tensor(numbers, dtype)


@keras.saving.register_keras_serializable("kzoo")
class LookupFree(Standardized):
    """LFQ: each number becomes its sign. Yu et al., arXiv:2310.05737.

    A code is the list of these bits. To the loss it adds `commitment` times the
    squared distance of the encoder's numbers to their signs, and `entropy_weight` times
    the entropy penalty, in nats, summed over places: low entropy of the code of each
    place, high entropy of all codes of the batch. There q(code | vector) is taken as
    proportional to exp(-distance²), which makes the bits of a place independent.
    Differs from the paper: the encoder's numbers are first standardised.

    Args:
        size: number of codes, a power of 2; a vector has log2 of them for length. The
            penalty takes memory for each code at each place of a batch.
        commitment, entropy_weight: weights of the two terms.

    Example:

    >>> VQVAE((28, 28, 1), LookupFree(size=256))
    """

    def __init__(self, size=512, commitment=0.25, entropy_weight=0.1):
        super().__init__(check_power(size).bit_length() - 1)
        self.size = size = check_power(size)
        self.commitment = checks.number("commitment", commitment, least=0)
        self.entropy_weight = checks.number("entropy_weight", entropy_weight, least=0)
        self.places = 2 ** np.arange(self.dim)
        self.bits = np.arange(size) // self.places[:, None] % 2  # (dim, size)

    def call(self, vectors, training=False, draws=None):
        vectors = self.standardized(vectors)
        signs = ops.where(vectors > 0, 1.0, -1.0)
        loss = self.commitment * squared_distance(vectors, signs)
        loss = loss + self.entropy_weight * self.entropy_penalty(vectors)
        return straight_through(vectors, signs), self.nearest(vectors), loss

    def entropy_penalty(self, vectors):
        """The entropy at each place minus that of the batch's mean: `(batch,)`.

        Summed over places, for vectors `(batch, height, width, dim)`.
        """
        logits = 4 * vectors  # (v + 1)² - (v - 1)²
        one, zero = ops.log_sigmoid(logits), ops.log_sigmoid(-logits)
        probability = ops.sigmoid(logits)
        entropy = -probability * one - (1 - probability) * zero
        bits = ops.convert_to_tensor(self.bits, "float32")
        shares = ops.exp(ops.matmul(one, bits) + ops.matmul(zero, 1 - bits))
        share = ops.mean(shares, axis=(0, 1, 2))
        of_mean = -ops.sum(share * ops.log(ops.maximum(share, 1e-10)))
        places = vectors.shape[1] * vectors.shape[2]
        return ops.sum(entropy, axis=(1, 2, 3)) - places * of_mean

    def nearest(self, vectors):
        places = ops.convert_to_tensor(self.places, "int32")
        return ops.sum(ops.cast(vectors > 0, "int32") * places, axis=-1)

    def lookup(self, codes):
        places = ops.convert_to_tensor(self.places, "int32")
        bits = ops.cast(codes, "int32")[..., None] // places % 2
        return 2 * ops.cast(bits, "float32") - 1


def check_power(size):
    """Returns the number of codes of LFQ, a power of 2."""
    size = checks.whole_number("size", size, least=2)
    if size & (size - 1):
        raise ValueError(
            "The codes of LookupFree are bits. Expected size to be a power of 2, at "
            f"least 2. Received: size={size!r}."
        )
    return size


def check_levels(levels):
    """Returns the levels of FSQ as a tuple; each is at least 2."""
    levels = tuple(levels) if hasattr(levels, "__iter__") else (levels,)
    if not levels or not all(
        isinstance(n, int | np.integer) and n >= 2 for n in levels
    ):
        raise ValueError(
            "Expected levels to be how many values each number of a code takes, at "
            "least 2, such as (8, 5, 5, 5) for 1000 codes. "
            f"Received: levels={levels}."
        )
    return tuple(map(int, levels))
