"""DIP-VAE."""

import keras
import numpy as np
import pytest
from conformance import check_golden, check_model, check_paper
from conftest import wave
from keras import ops

from kzoo.models import DIPVAE
from kzoo.models.dip_vae import MomentMatching
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder

MAKE = {
    "I": lambda: DIPVAE(
        (8, 8, 1),
        3,
        ConvEncoderDecoder((4,)),
        divergence=MomentMatching("I"),
        num_classes=3,
    ),
    "II": lambda: DIPVAE((4, 4, 1), 3, MLPEncoderDecoder((8,))),
}


def test_dip_vae_conforms(tmp_path):
    check_model(MAKE["II"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3}
    check_paper(lambda: DIPVAE((4, 4, 1), 2, "mlp"), "DIPVAE", adam, tmp_path)


@pytest.mark.parametrize("kind", ["I", "II"])
def test_excess_is_that_of_the_covariance_matrix(kind):
    mean, log_var = wave((50, 3)), wave((50, 3), phase=1)
    matrix = np.cov(mean.T, bias=True)
    if kind == "II":
        matrix = matrix + np.diag(np.exp(log_var).mean(axis=0))
    diagonal = np.diag(matrix)
    tensors = map(ops.convert_to_tensor, (mean, log_var))
    covariance, variance = MomentMatching(kind).excess(*tensors)
    expected = np.sum(matrix**2) - np.sum(diagonal**2)
    assert float(covariance) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert float(variance) == pytest.approx(np.sum((diagonal - 1) ** 2), rel=1e-4)


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="kind"):
        MomentMatching("III")
    with pytest.raises(ValueError, match="posterior"):
        DIPVAE((4, 4, 1), posterior="iaf")
