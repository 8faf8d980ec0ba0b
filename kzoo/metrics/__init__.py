"""How good generated images are: plain functions of feature arrays."""

import numpy as np
import scipy.linalg

from kzoo import checks


def frechet_distance(real, fake):
    """Fréchet distance between Gaussians fitted to two sets of features.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with unbiased covariances, in float64.
    Heusel et al., arXiv:1706.08500, equation 6; with Inception features it is the FID.

    Args:
        real, fake: arrays `(n, features)`; n may differ. Both need n >= 2, and
            covariances have full rank only where n exceeds the number of features.

    Returns:
        A float, in squared units of the features; 0 up to rounding for equal sets.

    Raises:
        ValueError: for other ranks, different numbers of features, too few rows, NaN.
    """
    real, fake = _features("real", real), _features("fake", fake)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            "Expected real and fake with as many features. Received: "
            f"{real.shape[1]} and {fake.shape[1]}."
        )
    shift = np.sum(np.square(real.mean(axis=0) - fake.mean(axis=0)))
    real_cov = np.atleast_2d(np.cov(real, rowvar=False))
    fake_cov = np.atleast_2d(np.cov(fake, rowvar=False))
    # tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), where everything is symmetric:
    # no complex matrix root, and no imaginary part to drop.
    root = _root(real_cov)
    product = scipy.linalg.eigvalsh(root @ fake_cov @ root)
    spread = np.trace(real_cov) + np.trace(fake_cov)
    return float(shift + spread - 2 * np.sqrt(np.maximum(product, 0)).sum())


def _root(matrix):
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _features(argument, features):
    features = np.asarray(features, "float64")
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"Expected {argument} of shape (n, features) with n >= 2. "
            f"Received: {checks.describe(features)}."
        )
    if not np.isfinite(features).all():
        raise ValueError(
            f"Expected {argument} to be finite. Received: NaN or infinity."
        )
    return features
