"""The plain autoencoder."""

import pytest
from conformance import batch, check_golden, check_model, compiled

from kzoo.models import Autoencoder
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder

MAKE = {
    "conv": lambda: Autoencoder((8, 8, 3), 3, ConvEncoderDecoder((4,)), num_classes=3)
}


def test_autoencoder_conforms(tmp_path):
    check_model(MAKE["conv"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["conv"], golden, "conv")


def test_the_loss_is_the_squared_error_of_reconstructions():
    model = compiled(lambda: Autoencoder((4, 4, 1), 2, MLPEncoderDecoder((4,))))
    images, _ = batch(model)
    error = (model.reconstruct(images) - images) ** 2
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores["loss"] == pytest.approx(error.sum(axis=(1, 2, 3)).mean(), rel=1e-4)


@pytest.mark.one_backend
def test_sizes():
    model = Autoencoder((28, 28, 1), 16, "mlp")
    assert model.encoder.count_params() == 785 * 400 + 401 * 16
    assert model.decoder.count_params() == 17 * 400 + 401 * 784
