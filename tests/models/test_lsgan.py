"""The least squares GAN."""

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, check_paper, compiled

from kzoo.models import LSGAN
from kzoo.networks import DCGANNetworks
from kzoo.parts import Hinge, LeastSquares

MAKE = {"dcgan": lambda: LSGAN((8, 8, 1), 3, DCGANNetworks((8, 4)))}


def test_lsgan_conforms(tmp_path):
    check_model(MAKE["dcgan"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["dcgan"], golden, "dcgan")


@pytest.mark.parametrize(
    "score, discriminator, generator",
    [
        (0.0, 0.5, 0.5),  # real images are called fake
        (1.0, 0.5, 0.0),
        (0.5, 0.25, 0.125),  # undecided, the equilibrium
        (-2.0, 6.5, 4.5),  # a fake far on the wrong side is pulled the harder
    ],
)
def test_losses_of_one_score_for_all(score, discriminator, generator):
    model = compiled(lambda: LSGAN((4, 4, 1), 2, DCGANNetworks((4,))))
    *others, bias = model.discriminator.trainable_variables
    for variable in others:
        variable.assign(np.zeros(variable.shape))
    bias.assign([score])
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = {"discriminator_loss": discriminator, "generator_loss": generator}
    assert scores == pytest.approx(expected)


def test_the_papers_name_loss_and_optimizers(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 2e-4, "beta_1": 0.5}
    both = {"discriminator": adam, "generator": adam}
    check_paper(lambda: LSGAN((4, 4, 1)), "LSGAN", both, tmp_path)
    assert LSGAN((4, 4, 1)).loss == LeastSquares()
    assert LSGAN((4, 4, 1), loss="hinge").loss == Hinge()


def test_networks_are_a_dcgans():
    model = LSGAN((28, 28, 1))
    stem = 100 * 7 * 7 * 256
    up = 4 * 4 * 256 * 128 + 4 * 4 * 128 + 1
    assert model.generator.count_params() == stem + up + 4 * (256 + 128)
