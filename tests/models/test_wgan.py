"""Wasserstein GANs: WGAN and WGAN-GP."""

import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_golden,
    check_model,
    check_paper,
    compiled,
    variants,
)
from keras import ops

from kzoo.models import WGAN, WGANGP
from kzoo.networks import DCGANNetworks, MLPNetworks, ResNetNetworks

LAYER = {"normalization": "layer"}

# The clip is above all initial weights: else it moves them without the optimizer.
MAKE = {
    "wgangp": lambda: WGANGP(
        (8, 8, 1), 3, DCGANNetworks((8, 4), **LAYER), discriminator_steps=2
    ),
    "wgan": lambda: WGAN(
        (8, 8, 1), 3, DCGANNetworks((8, 4)), discriminator_steps=2, weight_clip=2.0
    ),
}


def test_wgan_conforms(tmp_path):
    check_model(MAKE["wgangp"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="wgangp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


STEM = 7 * 7 * 256
UP = 4 * 4 * 256 * 128 + 4 * 4 * 128 + 1
DOWN = 4 * 4 * 128 + 128 + 4 * 4 * 128 * 256 + 7 * 7 * 256 + 1


@pytest.mark.parametrize(
    "make, generator, discriminator",
    [
        # a gain and an offset for each of the 7x7x256 features
        (WGANGP, 128 * STEM + UP + 4 * (256 + 128), DOWN + 2 * 7 * 7 * 256),
        (WGAN, 100 * STEM + UP + 4 * (256 + 128), DOWN + 4 * 256),
    ],
)
def test_sizes_are_those_of_a_dcgan(make, generator, discriminator):
    model = make((28, 28, 1))
    assert model.generator.count_params() == generator
    assert model.discriminator.count_params() == discriminator


@pytest.mark.parametrize("make", [WGAN, WGANGP])
def test_the_papers_algorithm_takes_five_steps_of_the_critic(make):
    model = compiled(lambda: make((4, 4, 1), 2, "mlp"))
    model.fit(*batch(model, 8), batch_size=8, verbose=0)
    taken = {n: int(m.iterations) for n, m in model.optimizer.members.items()}
    assert taken == {"discriminator": 5, "generator": 1}


@pytest.mark.parametrize(
    "make, name, optimizer",
    [
        (WGAN, "WGAN", (keras.optimizers.RMSprop, {"learning_rate": 5e-5})),
        (
            WGANGP,
            "WGANGP",
            (
                keras.optimizers.Adam,
                {"learning_rate": 1e-4, "beta_1": 0, "beta_2": 0.9},
            ),
        ),
    ],
)
def test_the_papers_name_and_optimizers(make, name, optimizer, tmp_path):
    both = {"discriminator": optimizer, "generator": optimizer}
    check_paper(lambda: make((4, 4, 1), 2), name, both, tmp_path)


def test_optimizers_of_your_own_are_those_of_compile():
    rates = {"discriminator": 0.1, "generator": 0.2}
    own = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model = compiled(lambda: WGAN((4, 4, 1), 2, optimizers=own))
    members = model.optimizer.members
    got = {name: float(member.learning_rate) for name, member in members.items()}
    assert got == pytest.approx(rates)


@pytest.mark.parametrize(
    "make, name, networks",
    [
        (WGANGP, "dcgan", DCGANNetworks(**LAYER)),
        (WGANGP, "resnet", ResNetNetworks(**LAYER)),
        (WGANGP, "mlp", MLPNetworks(dropout=0.0, **LAYER)),
        (WGAN, "dcgan", DCGANNetworks()),
        (WGAN, "mlp", MLPNetworks(dropout=0.0)),
    ],
)
def test_a_name_means_a_critic_as_the_paper_has_it(make, name, networks):
    assert make((4, 4, 1), 2, name).architecture == networks
    own = MLPNetworks((4,), dropout=0.2)
    assert make((4, 4, 1), 2, own).architecture == own


@pytest.mark.parametrize(
    "make, expected",
    [
        (WGAN, {"discriminator_loss": 0}),
        # a flat critic has slope 0: the penalty is (0 - 1)², ten times in the loss
        (WGANGP, {"discriminator_loss": 10, "gradient_penalty": 1}),
    ],
)
def test_losses_of_a_flat_critic(make, expected):
    model = compiled(lambda: make((4, 4, 1), 2))
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    assert scores == pytest.approx({**expected, "generator_loss": 0}, rel=1e-4)


def test_weights_are_clipped_to_the_papers_range():
    model = compiled(lambda: WGAN((8, 8, 1), 2, DCGANNetworks((4, 4))))
    model.fit(*batch(model), batch_size=8, verbose=0)
    for weight in model.discriminator.trainable_variables:
        assert np.abs(ops.convert_to_numpy(weight)).max() <= 0.01 + 1e-9


@pytest.mark.parametrize("make, apart", [(WGANGP, True), (WGAN, False)])
def test_layer_normalisation_keeps_a_batch_apart(make, apart):
    model = make((16, 16, 1), 2)
    images = ops.convert_to_tensor(batch(model, 4)[0])
    scores = model.logits(images, None, training=True)[:2]
    alone = model.logits(images[:2], None, training=True)
    same = np.allclose(
        ops.convert_to_numpy(scores), ops.convert_to_numpy(alone), atol=1e-5
    )
    assert same == apart
