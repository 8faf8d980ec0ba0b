"""InfoVAE."""

import keras
import pytest
from conformance import batch, check_golden, check_model, check_paper, compiled

from kzoo.models import InfoVAE
from kzoo.models.infovae import KLAndMMD
from kzoo.networks import MLPEncoderDecoder
from kzoo.parts import NormalMixture

MAKE = {
    "mlp": lambda: InfoVAE(
        (4, 4, 1),
        2,
        MLPEncoderDecoder((8,)),
        divergence=KLAndMMD(0.5, 100.0),
        prior=NormalMixture(3),
    )
}


def test_infovae_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["mlp"], golden, "mlp")


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3}
    check_paper(lambda: InfoVAE((4, 4, 1), 2), "InfoVAE", adam, tmp_path)


@pytest.mark.parametrize(
    "alpha, scale, beta", [(0.0, 1.0, 1.0), (1.0, 10.0, 1.0), (0.5, 100.0, 4.0)]
)
def test_the_loss_weighs_both_divergences(alpha, scale, beta):
    divergence = KLAndMMD(alpha, scale)
    model = compiled(lambda: InfoVAE((4, 4, 1), 2, divergence=divergence, beta=beta))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = scores["reconstruction"] + (1 - alpha) * beta * scores["kl"]
    expected += (alpha + scale - 1) * scores["mmd"]
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.one_backend
def test_the_config_has_the_settings_of_the_kl_divergence_too():
    divergence = KLAndMMD(0.5, kernel="imq", warmup_steps=5)
    assert divergence.get_config()["warmup_steps"] == 5
    assert KLAndMMD.from_config(divergence.get_config()) == divergence
    assert KLAndMMD(0.5, kernel="imq") != divergence


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'imq', 'rbf'"):
        KLAndMMD(kernel="linear")
