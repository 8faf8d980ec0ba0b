"""The beta-VAE."""

import keras
import pytest
from conformance import batch, check_golden, check_model, check_paper, compiled

from kzoo.models import BetaVAE
from kzoo.networks import ConvEncoderDecoder
from kzoo.parts import KL

MAKE = {
    "conv": lambda: BetaVAE(
        (8, 8, 1),
        3,
        ConvEncoderDecoder((4,)),
        beta=6.0,
        divergence=KL(capacity=3.0, capacity_steps=4),
    )
}


def test_beta_vae_conforms(tmp_path):
    check_model(MAKE["conv"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["conv"], golden, "conv")


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 5e-4}
    check_paper(lambda: BetaVAE((4, 4, 1), 2, "mlp"), "BetaVAE", adam, tmp_path)


def test_your_own_name_and_optimizer():
    sgd = keras.optimizers.SGD(0.1)
    model = compiled(lambda: BetaVAE((4, 4, 1), 2, "mlp", optimizers=sgd, name="mine"))
    assert model.name == "mine" and isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


def test_beta_weighs_the_divergence():
    model = compiled(lambda: BetaVAE((4, 4, 1), 2, "mlp"))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = scores["reconstruction"] + 4 * scores["kl"]
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)
