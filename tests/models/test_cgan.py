"""The conditional GAN."""

import keras
import numpy as np
import pytest
from conformance import check_golden, check_model, check_paper

from kzoo.models import CGAN
from kzoo.networks import CGANNetworks, DCGANNetworks

MAKE = {
    "mlp": lambda: CGAN(
        (6, 4, 3), 3, CGANNetworks((8, 16), dropout=0.0), num_classes=4
    ),
    "dcgan": lambda: CGAN((8, 8, 1), 3, DCGANNetworks((8, 4)), num_classes=3),
}


def test_cgan_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_dropout_conforms(tmp_path):
    check_model(lambda: CGAN((4, 4, 1), 3, CGANNetworks((8,)), num_classes=2), tmp_path)


def test_layers_are_as_wide_as_the_papers():
    model = CGAN((28, 28, 1), num_classes=10)
    generator = 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    discriminator = 785 * 240 * 5 + 11 * 50 * 5 + 291 * 240 * 4 + 240 + 1
    assert model.generator.count_params() == generator
    assert model.discriminator.count_params() == discriminator


def test_the_papers_name_and_dcgans_optimizers(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 2e-4, "beta_1": 0.5}
    both = {"discriminator": adam, "generator": adam}
    check_paper(lambda: CGAN((4, 4, 1), num_classes=2), "CGAN", both, tmp_path)


def test_a_name_means_the_networks_of_a_gan_but_for_mlp():
    for name, networks in {"mlp": CGANNetworks(), "dcgan": DCGANNetworks()}.items():
        model = CGAN((4, 4, 1), 4, name, num_classes=2)
        assert model.architecture == networks
    assert CGANNetworks().dropout == 0.5


def test_both_networks_depend_on_the_label():
    model = CGAN((4, 4, 1), 2, CGANNetworks((8,)), num_classes=3)
    zeros, ones = (model.sample(4, seed=0, labels=label) for label in (0, 1))
    assert not np.allclose(zeros, ones)
    logits = [
        np.asarray(model.discriminator.predict([zeros, np.full(4, label)], verbose=0))
        for label in (0, 1)
    ]
    assert not np.allclose(*logits)


def test_without_a_number_of_classes_the_error_says_what_to_pass():
    with pytest.raises(ValueError, match=r"CGAN .* Pass num_classes=10"):
        CGAN((4, 4, 1))
