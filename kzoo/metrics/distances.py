"""Distances between two sets of features: Fréchet (FID) and kernel (KID)."""

import numpy as np
import scipy.linalg

from kzoo import checks


class Moments:
    """Mean and covariance of features that come in batches, in float64.

    Batches are merged by Chan, Golub and LeVeque (1979), so that what is kept does not
    grow with the number of features and no large sums cancel.

    Example:

    >>> moments = Moments()
    >>> for batch in batches:
    ...     moments.update(batch)  # (n, features)
    >>> frechet_distance(moments, other_features)
    """

    def __init__(self):
        self.count, self.mean, self.scatter = 0, 0.0, 0.0

    def update(self, features):
        """Adds features `(n, d)` with any n >= 1; returns the moments."""
        features = checks.features("features", features, rows=1)
        if self.count and features.shape[1] != len(self.mean):
            raise ValueError(
                f"Expected features of the same size, {len(self.mean)}. "
                f"Received: {checks.describe(features)}."
            )
        count, mean = len(features), features.mean(axis=0)
        centred, shift = features - mean, mean - self.mean
        total = self.count + count
        self.scatter = self.scatter + centred.T @ centred
        self.scatter += np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
        return self

    @property
    def covariance(self):
        """Unbiased covariance `(d, d)`."""
        return self.scatter / (self.count - 1)


def frechet_distance(real, fake):
    """Fréchet distance between Gaussians fitted to two sets of features.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with unbiased covariances, in float64.
    Heusel et al., arXiv:1706.08500, equation 6; with Inception features it is the FID.

    Args:
        real, fake: features `(n, d)`, or `Moments` of them; n may differ.

    Returns:
        A float, in squared units of the features; 0 up to rounding for equal sets.

    Raises:
        ValueError: for other ranks, different numbers of features, NaN, or n <= d, for
            which a covariance is singular and the distance far too large.
    """
    real, fake = _moments("real", real), _moments("fake", fake)
    checks.same_features(real.mean[None], fake.mean[None])
    shift = np.sum(np.square(real.mean - fake.mean))
    # tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), where everything is symmetric:
    # no complex matrix root, and no imaginary part to drop.
    root = _root(real.covariance)
    product = scipy.linalg.eigvalsh(root @ fake.covariance @ root)
    spread = np.trace(real.covariance) + np.trace(fake.covariance)
    return float(shift + spread - 2 * np.sqrt(np.maximum(product, 0)).sum())


def kernel_distance(real, fake, subsets=100, subset_size=1000, seed=2020):
    """Kernel distance (squared MMD) between two sets of features.

    Unbiased estimator with the kernel (x·y / d + 1)³, averaged over random subsets.
    Bińkowski et al., arXiv:1801.01401, section 4; with Inception features it is the
    KID. The defaults draw the subsets that torch-fidelity draws with its own.

    Args:
        real, fake: features `(n, d)`; n may differ.
        subsets: number of random pairs of subsets.
        subset_size: features in each subset, drawn without replacement.
        seed: whole number, of the subsets.

    Returns:
        `(distance, standard error)`, floats. The standard error is the standard
        deviation over subsets divided by √min(subsets, n / subset_size), because only
        n / subset_size of them can be independent; NaN where that is below 2. For
        distances near 0 it is too large, never too small.

    Raises:
        ValueError: for other ranks, different numbers of features, NaN, or fewer
            features than `subset_size`.
    """
    real, fake = checks.features("real", real), checks.features("fake", fake)
    checks.same_features(real, fake)
    fewest = min(len(real), len(fake))
    checks.positive_int("subsets", subsets)
    checks.whole_number("seed", seed)
    if checks.whole_number("subset_size", subset_size, least=2) > fewest:
        raise ValueError(
            f"Expected subset_size from 2 to the number of images, {fewest}. Received: "
            f"subset_size={subset_size}. Pass a smaller one, or use more images."
        )
    rng = np.random.RandomState(seed)
    distances = [
        _squared_mmd(
            real[rng.choice(len(real), subset_size, replace=False)],
            fake[rng.choice(len(fake), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    independent = min(subsets, fewest // subset_size)
    error = np.std(distances) / np.sqrt(independent) if independent > 1 else np.nan
    return float(np.mean(distances)), float(error)


def _squared_mmd(x, y):
    n = len(x)
    within = _kernel_sum(x, x) - _kernel_diagonal(x)
    within += _kernel_sum(y, y) - _kernel_diagonal(y)
    return within / (n * (n - 1)) - 2 * _kernel_sum(x, y) / n**2


def _kernel_sum(x, y, rows=1000):
    blocks = (x[i : i + rows] @ y.T for i in range(0, len(x), rows))
    return sum(np.sum((block / x.shape[1] + 1) ** 3) for block in blocks)


def _kernel_diagonal(x):
    return np.sum((np.sum(x * x, axis=1) / x.shape[1] + 1) ** 3)


def _moments(argument, features):
    if not isinstance(features, Moments):
        features = Moments().update(checks.features(argument, features))
    if features.count <= len(features.mean):
        raise ValueError(
            f"Expected more {argument} images than features, {len(features.mean)}: "
            "with fewer the covariance is singular and the Fréchet distance far too "
            f"large. Received: {features.count}. Use more images or smaller features."
        )
    return features


def _root(matrix):
    """The square root of a symmetric positive semi-definite matrix."""
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
