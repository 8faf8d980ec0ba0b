"""Layers that turn vectors into codes, whole numbers, and codes into vectors.

A quantizer has `size`, the number of codes, `dim`, the length of their vectors,
`depth`, how many codes stand for a vector, and these functions:

- `quantizer(vectors, training, draws)` returns `(quantised, codes, loss)` of encoded
  images `(batch, height, width, dim)`: the vectors that take their place, through which
  gradients pass unchanged (the straight-through estimator of van den Oord et al.,
  arXiv:1711.00937, section 3.2), their codes `(batch, height, width * depth)`, and what
  the layer adds to the loss of each image, `(batch,)`. With `takes_draws`, it is given
  `(size,)` numbers from [0, 1) in training.
- `nearest(vectors)` are the codes of the vectors that lie nearest, `(...)`.
- `lookup(codes)` are the vectors of codes, `(..., dim)`.
- `start(vectors)` sets its weights by the vectors of the first images; the weight
  `started` is 1 afterwards.
"""

from kzoo.parts.quantizers.codebooks import GradientCodebook, MovingAverageCodebook
from kzoo.parts.quantizers.quantizer import Quantizer, perplexity
from kzoo.parts.quantizers.residual import ResidualCodebooks
from kzoo.parts.quantizers.scalars import FiniteScalar, LookupFree

__all__ = [
    "QUANTIZERS",
    "FiniteScalar",
    "GradientCodebook",
    "LookupFree",
    "MovingAverageCodebook",
    "Quantizer",
    "ResidualCodebooks",
    "perplexity",
]

QUANTIZERS = {
    "ema": MovingAverageCodebook,
    "fsq": FiniteScalar,
    "gradient": GradientCodebook,
    "lfq": LookupFree,
    "rq": ResidualCodebooks,
}
