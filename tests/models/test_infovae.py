"""InfoVAE."""

import pytest
from conformance import batch, check_golden, check_model, compiled

from kzoo.models import InfoVAE

MAKE = {
    "mlp": lambda: InfoVAE(
        (4, 4, 1), 2, alpha=0.5, scale=100.0, widths=(8,), prior="mixture", components=3
    )
}


def test_infovae_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["mlp"], golden, "mlp")


@pytest.mark.parametrize("alpha, scale", [(0.0, 1.0), (1.0, 10.0), (0.5, 100.0)])
def test_the_loss_weighs_both_divergences(alpha, scale):
    model = compiled(
        lambda: InfoVAE((4, 4, 1), 2, alpha=alpha, scale=scale, widths=(4,))
    )
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = scores["reconstruction"] + (1 - alpha) * scores["kl"]
    expected += (alpha + scale - 1) * scores["mmd"]
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ValueError, match="beta"):
        InfoVAE((4, 4, 1), beta=2.0)
