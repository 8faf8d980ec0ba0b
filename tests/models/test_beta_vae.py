"""The beta-VAE."""

import keras
import pytest
from conformance import batch, check_golden, check_model, compiled

from kzoo.models import BetaVAE

MAKE = {
    "conv": lambda: BetaVAE(
        (8, 8, 1), 3, widths=(4,), beta=6.0, capacity=3.0, capacity_steps=4
    )
}


def test_beta_vae_conforms(tmp_path):
    check_model(MAKE["conv"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["conv"], golden, "conv")


def test_beta_weighs_the_divergence():
    model = compiled(lambda: BetaVAE((4, 4, 1), 2, "mlp", widths=(4,)))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = scores["reconstruction"] + 4 * scores["kl"]
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_papers_optimizer():
    optimizer = BetaVAE((4, 4, 1), 2, "mlp").default_optimizer()
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert float(optimizer.learning_rate) == pytest.approx(5e-4)
