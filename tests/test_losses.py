"""Densities and adversarial losses against their formulas."""

import numpy as np
import pytest
import scipy.stats
from keras import ops

from kzoo.layers import Sampling
from kzoo.parts import densities, losses

pytestmark = pytest.mark.one_backend


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_normal_log_density_is_scipys():
    x, mean, log_var = (numbers(5, 3, seed=i) for i in range(3))
    ours = ops.convert_to_numpy(densities.normal_log_density(x, mean, log_var))
    exact = scipy.stats.norm.logpdf(x, mean, np.exp(log_var / 2)).sum(axis=1)
    np.testing.assert_allclose(ours, exact, rtol=1e-4)


def test_kl_is_zero_at_the_prior_and_the_mean_of_log_ratios_elsewhere():
    zeros = np.zeros((2, 3), "float32")
    assert np.all(ops.convert_to_numpy(densities.normal_kl(zeros, zeros)) == 0)
    mean, log_var = np.full((1, 1), 0.7), np.full((1, 1), -0.4)
    x = np.linspace(-12, 12, 20001)
    q = scipy.stats.norm.pdf(x, 0.7, np.exp(-0.2))
    ratio = scipy.stats.norm.logpdf(x, 0.7, np.exp(-0.2)) - scipy.stats.norm.logpdf(x)
    kl = float(
        densities.normal_kl(*(ops.convert_to_tensor(v) for v in (mean, log_var)))[0]
    )
    assert kl == pytest.approx(np.trapezoid(q * ratio, x), rel=1e-4)


def softplus(x):
    return np.log1p(np.exp(x)).mean()


REAL, FAKE = np.array([[1.5], [-0.5]], "float32"), np.array([[0.3], [-2.0]], "float32")
EXPECTED = {
    "non_saturating": (softplus(-REAL) + softplus(FAKE), softplus(-FAKE)),
    "minimax": (softplus(-REAL) + softplus(FAKE), -softplus(FAKE)),
    "least_squares": (
        0.5 * ((REAL - 1) ** 2).mean() + 0.5 * (FAKE**2).mean(),
        0.5 * ((FAKE - 1) ** 2).mean(),
    ),
    "hinge": (0.75 + 0.65, -FAKE.mean()),
    "wasserstein": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
    "relativistic_pairing": (softplus(FAKE - REAL), softplus(REAL - FAKE)),
    "relativistic_average": (
        softplus(FAKE.mean() - REAL) + softplus(FAKE - REAL.mean()),
        softplus(REAL.mean() - FAKE) + softplus(REAL - FAKE.mean()),
    ),
}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_adversarial_losses_are_their_formulas(name):
    loss = losses.LOSSES[name]()
    real, fake = ops.convert_to_tensor(REAL), ops.convert_to_tensor(FAKE)
    ours = float(loss.discriminator(real, fake)), float(loss.generator(real, fake))
    assert ours == pytest.approx(EXPECTED[name], rel=1e-5)
    if not loss.relativistic:  # a model then has no logits of real images for it
        assert float(loss.generator(None, fake)) == pytest.approx(ours[1])


def test_losses_are_equal_by_their_settings():
    assert losses.Hinge() == losses.Hinge()
    assert losses.Minimax() != losses.NonSaturating()
    assert repr(losses.Hinge()) == "Hinge()"


def test_sampling_has_the_mean_and_variance_asked_for():
    mean = ops.convert_to_tensor(np.full((50_000, 2), [1.0, -2.0], "float32"))
    log_var = ops.convert_to_tensor(np.full((50_000, 2), [0.0, 1.0], "float32"))
    latents = ops.convert_to_numpy(Sampling(seed=1)(mean, log_var))
    np.testing.assert_allclose(latents.mean(axis=0), [1, -2], atol=0.03)
    np.testing.assert_allclose(np.log(latents.var(axis=0)), [0, 1], atol=0.03)
