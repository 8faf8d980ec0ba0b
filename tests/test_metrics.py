"""Metrics of arrays against closed forms and against the packages of the field."""

import contextlib
import io
import sys
from unittest import mock

import numpy as np
import pytest
import scipy.linalg
import scipy.special

from kzoo.data import MIXTURES
from kzoo.metrics import (
    Moments,
    copying,
    frechet_distance,
    gaussian_modes,
    inception_score,
    kernel_distance,
    mean_squared_error,
    mode_coverage,
    nearest_distances,
    prdc,
    psnr,
    ssim,
)

pytestmark = pytest.mark.one_backend


def features(n=500, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.fixture(scope="module")
def torch_fidelity():
    """torch-fidelity's formulas. Its feature extractors need torchvision, whose build
    for CPUs is not everywhere; nothing here does."""
    parts = ["", ".datasets", ".models", ".transforms", ".transforms.functional"]
    stand_ins = {f"torchvision{part}": mock.MagicMock() for part in parts}
    sys.modules.update(stand_ins)
    try:
        import torch_fidelity.metric_fid
        import torch_fidelity.metric_isc
        import torch_fidelity.metric_kid
    finally:
        # Not `mock.patch.dict`, which would forget torch too: it imports only once.
        for name in stand_ins:
            del sys.modules[name]
    return torch_fidelity


def tensor(array):
    import torch

    return torch.from_numpy(array)


@pytest.mark.parametrize("d", [8, 64])
def test_frechet_distance_agrees_with_torch_fidelity(torch_fidelity, d):
    real, fake = features(1200, d), 1.3 * features(1500, d, 1) + 0.2
    fid = torch_fidelity.metric_fid
    theirs = fid.fid_statistics_to_metric(
        *(fid.fid_features_to_statistics(tensor(x)) for x in (real, fake)), False
    )
    expected = theirs["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, abs=1e-4, rel=1e-6)


@pytest.mark.parametrize("settings", [{}, {"subsets": 7, "subset_size": 200}])
def test_kernel_distance_agrees_with_torch_fidelity(torch_fidelity, settings):
    real, fake = features(1200, 16), 1.1 * features(1500, 16, 1) + 0.1
    theirs = torch_fidelity.metric_kid.kid_features_to_metric(
        tensor(real),
        tensor(fake),
        verbose=False,
        **{f"kid_{name}": value for name, value in settings.items()},
    )
    distance, _ = kernel_distance(real, fake, **settings)
    expected = theirs["kernel_inception_distance_mean"]
    assert distance == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [1000, 1003])
def test_inception_score_agrees_with_torch_fidelity(torch_fidelity, n):
    logits = 3 * features(n, 10)
    theirs = torch_fidelity.metric_isc.isc_features_to_metric(tensor(logits))
    expected = (theirs["inception_score_mean"], theirs["inception_score_std"])
    assert inception_score(logits, from_logits=True) == pytest.approx(expected)
    probabilities = scipy.special.softmax(logits, axis=1)
    assert inception_score(probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("nearest_k", [1, 5])
@pytest.mark.parametrize("n", [400, 1300])  # less and more than a block of rows
def test_prdc_agrees_with_the_prdc_package(nearest_k, n):
    from prdc import compute_prdc

    real, fake = features(n, 8), 0.8 * features(900, 8, 1) + 0.3
    with contextlib.redirect_stdout(io.StringIO()):
        expected = compute_prdc(real, fake, nearest_k)
    assert prdc(real, fake, nearest_k) == pytest.approx(expected, abs=1e-9)


def test_frechet_distance_of_shifted_and_scaled_normals():
    x = features()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3) == pytest.approx(6 * 9)
    trace = np.trace(np.cov(x, rowvar=False))
    expected = 4 * np.square(x.mean(axis=0)).sum() + (3 - 1) ** 2 * trace
    assert frechet_distance(x, 3 * x) == pytest.approx(expected)


def test_frechet_distance_is_the_formula_with_a_matrix_root():
    x, y = features(), features(300, seed=1) @ features(7, seed=2)[:6]
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(
        a + b - 2 * scipy.linalg.sqrtm(a @ b).real
    )
    assert frechet_distance(x, y) == pytest.approx(expected)


def test_moments_in_batches_are_those_of_all():
    x = features() + 1e4  # where sums of squares would cancel
    moments = Moments()
    for part in np.split(x, [1, 130, 131, 400]):
        moments.update(part)
    assert moments.count == len(x)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0))
    np.testing.assert_allclose(moments.covariance, np.cov(x.T), rtol=1e-9, atol=1e-9)
    assert frechet_distance(moments, x) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("shift, honest", [(0.0, (0.1, 1.1)), (0.5, (0.6, 1.6))])
def test_kernel_distance_is_unbiased_and_knows_its_error(shift, honest):
    pairs = [
        (features(600, seed=2 * i), features(600, seed=2 * i + 1)) for i in range(30)
    ]
    measured = [kernel_distance(x, y + shift, 50, 100) for x, y in pairs]
    values, errors = np.array(measured).T
    # What repeated measurements vary by, over what each of them says that it errs by.
    assert honest[0] < values.std() / errors.mean() < honest[1]
    if not shift:
        assert values.min() < 0 < values.max()
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))


def test_kernel_distance_has_no_error_from_a_single_subset():
    x, y = features(), features(seed=1)
    distance, error = kernel_distance(x, y, subset_size=500)
    assert np.isnan(error)
    k_xy = (x @ y.T / 6 + 1) ** 3
    k_xx, k_yy = ((a @ a.T / 6 + 1) ** 3 * (1 - np.eye(500)) for a in (x, y))
    expected = (k_xx.sum() + k_yy.sum()) / (500 * 499) - 2 * k_xy.mean()
    assert distance == pytest.approx(expected)


def test_inception_score_is_the_number_of_evenly_clear_classes():
    clear = np.eye(10)[np.arange(5000) % 10]
    assert inception_score(clear, splits=1) == pytest.approx((10, 0))
    assert inception_score(np.full((100, 10), 0.1)) == pytest.approx((1, 0))


def test_mode_coverage_counts_modes_and_their_frequencies():
    assert mode_coverage(np.arange(1000) % 10, 10) == pytest.approx((10, 0))
    modes, kl = mode_coverage(np.arange(1000) % 5, 10)
    assert (modes, kl) == (5, pytest.approx(np.log(2)))
    real = np.repeat([0, 1], [1, 3])
    modes, kl = mode_coverage(np.array([0, 1]), 2, real)
    assert kl == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
    assert mode_coverage(np.array([0, 1]), 2, np.zeros(3, int))[1] == np.inf


def test_nearest_distances_of_arrays_and_of_batches():
    queries, references = features(20), features(2500, seed=1)
    expected = np.linalg.norm(queries[:, None] - references, axis=2).min(axis=1)
    for given in (references, iter(np.split(references, 5))):
        np.testing.assert_allclose(nearest_distances(queries, given), expected)


def test_copying_tells_a_copy_from_a_new_draw():
    train, test, new = features(1000), features(400, seed=1), features(400, seed=2)
    tests = nearest_distances(test, train)
    copies = nearest_distances(train[:400] + 0.01, train)
    far = nearest_distances(new + 10, train)
    assert copying(copies, tests) > 0.99 and copying(far, tests) < 0.01
    assert 0.4 < copying(nearest_distances(new, train), tests) < 0.6


@pytest.mark.parametrize("name, modes", [("ring-8", 8), ("grid-25", 25)])
def test_gaussian_modes_counts_good_points(name, modes):
    mixture = MIXTURES[name]
    centres, scale = mixture
    assert centres.shape == (modes, 2) and centres.min() > 0 and centres.max() < 1
    # A quarter of the points is on three modes, the others between modes.
    points = np.concatenate([centres[[0, 1, 4]], np.full((9, 2), 0.55)])
    assert gaussian_modes(points, *mixture) == (3, 0.25)
    right = np.array([1.0, 0.0])
    assert gaussian_modes(centres + 2.9 * scale * right, *mixture) == (modes, 1.0)
    assert gaussian_modes(centres + 3.1 * scale * right, *mixture) == (0, 0.0)


def images(n=3, side=16, channels=2, seed=0):
    return np.random.default_rng(seed).random((n, side, side, channels))


def test_reconstruction_errors_against_their_formulas():
    x, y = images(), images(seed=1)
    mse = ((x - y) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(mean_squared_error(x, y), mse, rtol=1e-5)
    np.testing.assert_allclose(psnr(x, y), 10 * np.log10(1 / mse), rtol=1e-5)
    np.testing.assert_allclose(psnr(x, x), np.inf)
    bright = np.full((1, 4, 4, 1), 255, "uint8")
    assert mean_squared_error(bright, np.zeros_like(bright)) == 1


def test_ssim_against_its_formula_and_of_one_window():
    x, y = images(), images(seed=1)
    np.testing.assert_allclose(ssim(x, x), 1)
    np.testing.assert_allclose(ssim(x, y), ssim(y, x))
    flat = np.ones((1, 16, 16, 1))
    a, b, c1 = 0.3, 0.8, 1e-4
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    np.testing.assert_allclose(ssim(a * flat, b * flat), expected, rtol=1e-5)

    x, y = (np.float32(z)[:1, :11, :11, :1].astype("float64") for z in (x, y))
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights = (weights / weights.sum())[None, :, :, None]
    mx, my = (weights * x).sum(), (weights * y).sum()
    vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
    cov = (weights * (x - mx) * (y - my)).sum()
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
    expected /= (mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)
    np.testing.assert_allclose(ssim(x, y), expected)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, prdc])
@pytest.mark.parametrize(
    "real, fake",
    [
        (features(), features(d=5)),
        (features(), features()[0]),
        (features(n=1), features()),
        (features(n=5), features()),
        (features(), np.full((500, 6), np.nan)),
    ],
)
def test_wrong_features_are_refused(metric, real, fake):
    with pytest.raises(ValueError, match="Expected"):
        metric(real, fake)


@pytest.mark.parametrize(
    "call",
    [
        lambda: inception_score(features()),  # logits that were not named so
        lambda: inception_score(np.full((5, 2), 0.5)),  # fewer images than splits
        lambda: inception_score(np.full((50, 2), np.nan)),
        lambda: mode_coverage(np.array([0, 10]), 10),
        lambda: mode_coverage(np.array([0.5]), 10),
        lambda: mode_coverage(np.array([], int), 10),
        lambda: kernel_distance(features(), features(), subset_size=501),
        lambda: prdc(features(), features(), nearest_k=0),
        lambda: ssim(images(side=8), images(side=8)),
        lambda: ssim(images(), images(), window=4),
        lambda: psnr(images(), images(side=8)),
        lambda: mean_squared_error(images() * 2, images()),
        lambda: nearest_distances(features(), features(d=5)),
        lambda: Moments().update(features()).update(features(d=5)),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="Expected"):
        call()
