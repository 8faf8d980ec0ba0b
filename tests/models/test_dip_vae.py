"""DIP-VAE."""

import numpy as np
import pytest
from conformance import check_golden, check_model
from conftest import wave
from keras import ops

from kzoo.models import DIPVAE

NAMES = ("loss", "reconstruction", "kl", "covariance", "variance")
NAMES += ("sample_mean", "sample_std")
GOLDEN = {
    "I": (73.72483, 44.36906, 0.05912177, 0.0001813801, 2.929484, 0.5043684, 0.0232699),
    "II": (
        11.46282,
        11.32582,
        0.01626079,
        1.217519e-05,
        0.01206199,
        0.4921088,
        0.08519742,
    ),
}
MAKE = {
    "I": lambda: DIPVAE((8, 8, 1), 3, widths=(4,), kind="I", num_classes=3),
    "II": lambda: DIPVAE((4, 4, 1), 3, "mlp", widths=(8,)),
}


def test_dip_vae_conforms(tmp_path):
    check_model(MAKE["II"], None, tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant):
    check_golden(MAKE[variant], dict(zip(NAMES, GOLDEN[variant], strict=True)))


@pytest.mark.parametrize("kind", ["I", "II"])
def test_excess_is_that_of_the_covariance_matrix(kind):
    mean, log_var = wave((50, 3)), wave((50, 3), phase=1)
    matrix = np.cov(mean.T, bias=True)
    if kind == "II":
        matrix = matrix + np.diag(np.exp(log_var).mean(axis=0))
    diagonal = np.diag(matrix)
    covariance, variance = DIPVAE((4, 4, 1), 3, "mlp", kind=kind).excess(
        *map(ops.convert_to_tensor, (mean, log_var))
    )
    expected = np.sum(matrix**2) - np.sum(diagonal**2)
    assert float(covariance) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert float(variance) == pytest.approx(np.sum((diagonal - 1) ** 2), rel=1e-4)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="kind"):
        DIPVAE((4, 4, 1), kind="III")
    with pytest.raises(ValueError, match="posterior"):
        DIPVAE((4, 4, 1), posterior="iaf")
