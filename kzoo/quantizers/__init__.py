"""Layers that turn vectors into codes, whole numbers, and codes into vectors.

All have `size`, the number of codes, `depth`, how many of them stand for a vector, and
the same three functions:

- `layer(vectors, training)` returns `(quantised, codes, loss)` of encoded images
  `(batch, height, width, dim)`: the vectors that take their place, through which
  gradients pass as if nothing had been done (the straight-through estimator of
  van den Oord et al., arXiv:1711.00937, section 3.2), their codes `(batch, height,
  width * depth)`, and what the layer adds to the loss of each image, `(batch,)`.
- `nearest(vectors)` are the codes of the vectors that lie nearest, `(...)`.
- `lookup(codes)` are the vectors of codes, `(..., dim)`.
"""

from kzoo import checks
from kzoo.quantizers.codebooks import (
    GradientCodebook,
    MovingAverageCodebook,
    perplexity,
)
from kzoo.quantizers.residual import ResidualCodebooks
from kzoo.quantizers.scalars import FiniteScalar, LookupFree

__all__ = [
    "CODEBOOKS",
    "FiniteScalar",
    "GradientCodebook",
    "LookupFree",
    "MovingAverageCodebook",
    "ResidualCodebooks",
    "build",
    "perplexity",
]

CODEBOOKS = {"ema": MovingAverageCodebook, "gradient": GradientCodebook}


def build(
    quantizer, size=None, dim=None, commitment=0.25, entropy_weight=0.1, depth=None
):
    """The layer called `quantizer`: `"ema"`, `"gradient"`, `"fsq"`, `"lfq"`, `"rq"`.

    Args:
        size: number of codes, of each codebook of `"rq"`, 512 if None; for `"fsq"` the
            levels, `(8, 5, 5, 5)` if None.
        dim: length of their vectors, 64 if None; for `"fsq"` how many levels there are,
            for `"lfq"` how many bits.
        commitment: as in `Codebook`.
        entropy_weight: as in `LookupFree`.
        depth: number of codebooks of `"rq"`, 4 if None.
    """
    checks.one_of("quantizer", quantizer, (*CODEBOOKS, "fsq", "lfq", "rq"))
    if quantizer != "rq" and depth is not None:
        raise ValueError(
            "depth is the number of codebooks of quantizer='rq'. Expected depth=None. "
            f"Received: quantizer={quantizer!r}, depth={depth!r}."
        )
    if quantizer == "fsq":
        return of_length(FiniteScalar((8, 5, 5, 5) if size is None else size), dim)
    size = 512 if size is None else size
    if quantizer == "lfq":
        return of_length(LookupFree(size, commitment, entropy_weight), dim)
    dim = 64 if dim is None else dim
    if quantizer == "rq":
        return ResidualCodebooks(size, dim, 4 if depth is None else depth, commitment)
    return CODEBOOKS[quantizer](size, dim, commitment)


def of_length(layer, dim):
    """The layer; a `ValueError` if the user wants another length than it has."""
    if dim not in (None, layer.dim):
        raise ValueError(
            "quantizer='fsq' and 'lfq' make a code of one number for each level or "
            f"bit. Expected code_dim={layer.dim}, or None. Received: code_dim={dim!r}."
        )
    return layer
