"""The regularised autoencoder."""

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled
from conftest import wave
from keras import layers, ops

from kzoo.models import RAE
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder

MAKE = {
    "l2": lambda: RAE((8, 8, 1), 3, ConvEncoderDecoder((4,)), num_classes=3),
    "gradient": lambda: RAE(
        (4, 4, 1), 2, MLPEncoderDecoder((8,)), "gradient", penalty_weight=1.0
    ),
}


def test_rae_conforms(tmp_path):
    check_model(MAKE["gradient"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_parts_of_the_loss():
    model = compiled(lambda: RAE((4, 4, 1), 2, "mlp", beta=0.5, penalty_weight=0.1))
    images, _ = batch(model)
    scores = model.evaluate(images, verbose=0, return_dict=True)
    codes = model.encode(images)
    embedding = 0.5 * (codes**2).sum(axis=1).mean()
    assert scores["embedding"] == pytest.approx(embedding, rel=1e-4)
    weights = sum((w**2).sum() for w in model.decoder.get_weights())
    assert scores["penalty"] == pytest.approx(weights, rel=1e-4)
    loss = scores["reconstruction"] + 0.5 * embedding + 0.1 * weights
    assert scores["loss"] == pytest.approx(loss, rel=1e-4)


def test_slope_is_the_squared_norm_of_the_jacobian():
    """Of a linear decoder, at codes of 0: its matrix by the sigmoid's slope, 1/4."""
    latents = keras.Input((3,))
    pixels = layers.Dense(16)(latents)
    decoder = keras.Model(latents, layers.Reshape((4, 4, 1))(pixels))
    decoder.set_weights([wave((3, 16)), np.zeros(16)])
    model = RAE((4, 4, 1), 3, "mlp", "gradient", decoder=decoder)
    slopes = model.squared_slope(ops.zeros((20_000, 3)), None, True)
    expected = np.sum(np.square(wave((3, 16)) / 4))
    assert float(slopes) == pytest.approx(expected, rel=0.03)


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'gradient', 'l2'"):
        RAE((4, 4, 1), penalty="spectral")
