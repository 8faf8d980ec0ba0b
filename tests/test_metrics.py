"""Metrics against closed forms."""

import numpy as np
import pytest
import scipy.linalg

from kzoo.metrics import frechet_distance


def features(n=500, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_frechet_distance_of_shifted_and_scaled_normals():
    x = features()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(6 * 9)
    trace = np.trace(np.cov(x, rowvar=False))
    expected = 4 * np.square(x.mean(axis=0)).sum() + (3 - 1) ** 2 * trace
    assert frechet_distance(x, 3 * x) == pytest.approx(expected)


def test_frechet_distance_is_the_formula_with_a_matrix_root():
    x, y = features(), features(300, seed=1) @ features(6, seed=2)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(
        a + b - 2 * scipy.linalg.sqrtm(a @ b).real
    )
    assert frechet_distance(x, y) == pytest.approx(expected)


@pytest.mark.parametrize(
    "real, fake",
    [
        (features(), features(d=5)),
        (features(), features()[0]),
        (features(n=1), features()),
        (features(), np.full((5, 6), np.nan)),
    ],
)
def test_wrong_features_are_refused(real, fake):
    with pytest.raises(ValueError, match="Expected"):
        frechet_distance(real, fake)
