"""What nearest neighbours in feature space tell: fidelity, diversity, copying."""

import numpy as np

from kzoo import checks

ROWS = 1000  # how many are compared with all others at a time


def prdc(real, fake, nearest_k=5):
    """Precision, recall, density and coverage of two sets of features.

    A ball around each feature reaches to its k-th nearest neighbour in its own set.
    Precision: share of fakes in a ball of a real. Recall: share of reals in a ball of a
    fake (Kynkäänniemi et al., arXiv:1904.06991). Density: mean number of balls of reals
    that a fake is in, over k. Coverage: share of reals whose ball holds a fake (Naeem
    et al., arXiv:2002.09797). Memory grows with n, not with n².

    Args:
        real, fake: features `(n, d)`; n may differ, and both exceed `nearest_k`.
        nearest_k: k.

    Returns:
        `{"precision": ..., "recall": ..., "density": ..., "coverage": ...}`, floats in
        [0, 1], but for density, which may exceed 1.

    Raises:
        ValueError: for other ranks, different numbers of features, NaN or too few rows.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    nearest_k = checks.positive_int("nearest_k", nearest_k)
    real = checks.features("real", real, rows=nearest_k + 1)
    fake = checks.features("fake", fake, rows=nearest_k + 1)
    checks.same_features(real, fake)
    real_radii, fake_radii = _radii(real, nearest_k), _radii(fake, nearest_k)

    balls_of_fake = np.zeros(len(fake), int)
    recalled, covered = [], []
    for i in range(0, len(real), ROWS):
        distances = euclidean_distances(real[i : i + ROWS], fake)
        radii = real_radii[i : i + ROWS]
        balls_of_fake += np.sum(distances < radii[:, None], axis=0)
        recalled.extend(np.any(distances < fake_radii, axis=1))
        covered.extend(distances.min(axis=1) < radii)
    return {
        "precision": float(np.mean(balls_of_fake > 0)),
        "recall": float(np.mean(recalled)),
        "density": float(np.mean(balls_of_fake) / nearest_k),
        "coverage": float(np.mean(covered)),
    }


def nearest_distances(queries, references):
    """Euclidean distance of each query to the nearest reference: float64 `(n,)`.

    Args:
        queries: features `(n, d)`.
        references: features `(m, d)`, or an iterable of such batches.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    queries = checks.features("queries", queries, rows=1)
    nearest = np.full(len(queries), np.inf)
    for batch in [references] if hasattr(references, "shape") else references:
        batch = checks.features("references", batch, rows=1)
        checks.same_features(queries, batch)
        for i in range(0, len(batch), ROWS):
            distances = euclidean_distances(queries, batch[i : i + ROWS])
            nearest = np.minimum(nearest, distances.min(axis=1))
    return nearest


def copying(fake_distances, test_distances):
    """Probability that a sample is nearer to the training set than a new image is.

    Arguments are `nearest_distances` of samples and of held-out images to the training
    images. 0.5 is what a new draw from the data would give; near 1 the model copies,
    near 0 its samples lie off the data. It is the Mann-Whitney statistic of Meehan et
    al., arXiv:2004.05675, section 3.1, over the whole space, as a probability.
    """
    import scipy.stats

    result = scipy.stats.mannwhitneyu(test_distances, fake_distances)
    return float(result.statistic / (len(fake_distances) * len(test_distances)))


def _radii(features, nearest_k):
    """Distance of each feature to its k-th nearest other."""
    from sklearn.metrics import pairwise_distances_chunked

    def kth(distances, start):
        return np.partition(distances, nearest_k, axis=1)[:, nearest_k]

    return np.concatenate(
        list(
            pairwise_distances_chunked(
                features,
                reduce_func=kth,
                working_memory=100,  # MB; a gigabyte by default
            )
        )
    )
