"""Likelihoods against their formulas, and that they are densities."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
from conftest import wave
from keras import ops

from kzoo.parts.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Laplace,
    LogisticMixture,
)

pytestmark = pytest.mark.one_backend

GREY = np.linspace(0, 1, 256, dtype="float32")


def nats(likelihood, images, outputs):
    tensors = (ops.convert_to_tensor(np.float32(x)) for x in (images, outputs))
    return ops.convert_to_numpy(likelihood.negative_log_likelihood(*tensors))


@pytest.mark.parametrize(
    "likelihood, logpdf",
    [
        (Gaussian(), lambda x, m: scipy.stats.norm.logpdf(x, m, 1.0)),
        (Gaussian(0.2), lambda x, m: scipy.stats.norm.logpdf(x, m, 0.2)),
        (Laplace(0.2), lambda x, m: scipy.stats.laplace.logpdf(x, m, 0.2)),
        (
            Bernoulli(),
            lambda x, m: (
                x * scipy.special.log_expit(m) + (1 - x) * scipy.special.log_expit(-m)
            ),
        ),
    ],
)
def test_likelihoods_are_their_log_densities(likelihood, logpdf):
    images, outputs = 0.5 + 0.5 * wave((2, 3, 3, 1)), wave((2, 3, 3, 1), phase=1)
    exact = -logpdf(images.astype("float64"), outputs).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(nats(likelihood, images, outputs), exact, rtol=1e-4)


@pytest.mark.parametrize("likelihood", [Gaussian, Laplace])
def test_a_learned_scale_follows_the_means(likelihood):
    images, means = 0.5 + 0.5 * wave((2, 3, 3, 2)), wave((2, 3, 3, 2), phase=1)
    outputs = np.concatenate([means, np.full_like(means, np.log(0.2))], axis=-1)
    learned = nats(likelihood("learned"), images, outputs)
    np.testing.assert_allclose(learned, nats(likelihood(0.2), images, means), rtol=1e-5)
    mean = likelihood("learned").mean(ops.convert_to_tensor(outputs))
    np.testing.assert_allclose(ops.convert_to_numpy(mean), np.clip(means, 0, 1))


@pytest.mark.parametrize("logit", [-30.0, -4.0, -0.02, -0.005, 0.0, 0.005, 1.0, 30.0])
def test_continuous_bernoulli_is_a_density_and_knows_its_mean(logit):
    x = np.linspace(0, 1, 20_001)
    images = x.reshape(-1, 1, 1, 1)
    outputs = np.full_like(images, logit)
    density = np.exp(-nats(ContinuousBernoulli(), images, outputs).astype("float64"))
    assert np.trapezoid(density, x) == pytest.approx(1, abs=2e-4)
    mean = ContinuousBernoulli().mean(ops.convert_to_tensor([logit]))
    expected = np.trapezoid(density * x, x)
    assert float(mean[0]) == pytest.approx(expected, abs=2e-4)


def test_levels_share_one_by_softmax():
    outputs = np.repeat(wave((1, 1, 1, 256)), 256, axis=0)
    shares = np.exp(-nats(Categorical(), GREY.reshape(-1, 1, 1, 1), outputs))
    np.testing.assert_allclose(shares, scipy.special.softmax(outputs[0].ravel()), 1e-4)
    mean = Categorical().mean(ops.convert_to_tensor(outputs[:1]))
    assert float(mean[0, 0, 0, 0]) == pytest.approx(np.sum(shares * GREY), rel=1e-4)


@pytest.mark.parametrize("sharpness", [-2.0, 0.0, 1.0, 6.0])
def test_a_logistic_mixture_shares_one_among_the_levels(sharpness):
    """Also where a component is narrower than a level."""
    outputs = wave((1, 1, 1, 15))
    outputs = outputs.reshape(5, 3) - np.array([0, 0, sharpness])
    outputs = np.repeat(outputs.reshape(1, 1, 1, 15), 256, axis=0)
    shares = np.exp(-nats(LogisticMixture(), GREY.reshape(-1, 1, 1, 1), outputs))
    assert shares.sum() == pytest.approx(1, abs=1e-3)


def test_a_level_has_the_mass_of_its_bin():
    images = np.float32([0, 100, 101, 255]).reshape(-1, 1, 1, 1) / 255
    outputs = np.tile([0.0, -0.1, -1.0], 4).reshape(4, 1, 1, 3)
    density = LogisticMixture(1)
    got = density.negative_log_likelihood(
        *(ops.convert_to_tensor(np.float32(x)) for x in (images, outputs))
    )
    scale = np.exp(-1.0) / 2  # one component starts in the middle, as wide as a half
    logistic = scipy.stats.logistic(0.4, scale)
    ends = (
        np.array([[-np.inf, 0.5], [99.5, 100.5], [100.5, 101.5], [254.5, np.inf]])
    ) / 255
    expected = -np.log(logistic.cdf(ends[:, 1]) - logistic.cdf(ends[:, 0]))
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-3)


def test_a_channel_follows_those_before_it():
    """The slope of green on red is tanh of an output."""
    density = LogisticMixture(1)
    outputs = np.zeros((2, 1, 1, 10), "float32")
    outputs[:, ..., 4:7] = -4.0  # narrow
    outputs[:, ..., 7] = np.arctanh(0.5)
    red_seen = np.float32([[0.2, 0.6, 0.5], [0.8, 0.9, 0.5]]).reshape(2, 1, 1, 3)
    red_ignored = np.float32([[0.8, 0.6, 0.5], [0.2, 0.9, 0.5]]).reshape(2, 1, 1, 3)
    seen, ignored = (
        ops.convert_to_numpy(
            density.negative_log_likelihood(
                ops.convert_to_tensor(x), ops.convert_to_tensor(outputs)
            )
        )
        for x in (red_seen, red_ignored)
    )
    assert np.all(seen < ignored)
    mean = ops.convert_to_numpy(density.mean(ops.convert_to_tensor(outputs)))[0, 0, 0]
    np.testing.assert_allclose(mean, [0.5, 0.75, 0.5], atol=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("channels", [1, 3])
def test_means_are_images(name, channels):
    density = LIKELIHOODS[name]()
    shape = (2, 3, 4, density.parameters(channels))
    mean = ops.convert_to_numpy(density.mean(ops.convert_to_tensor(3 * wave(shape))))
    assert mean.shape == (2, 3, 4, channels)
    assert mean.min() >= 0 and mean.max() <= 1 and mean.std() > 0
