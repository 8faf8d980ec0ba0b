"""InfoGAN."""

import keras
import numpy as np
import pytest
import scipy.stats
from conformance import batch, check_golden, check_model, compiled, variants
from keras import layers, ops

from kzoo.models import DCGAN, InfoGAN
from kzoo.networks import DCGANNetworks, MLPNetworks

MAKE = {
    "dcgan": lambda: InfoGAN((8, 8, 1), 9, 4, 2, architecture=DCGANNetworks((8, 4))),
    "mlp": lambda: InfoGAN(
        (6, 4, 3),
        6,
        3,
        1,
        information_weight=0.5,
        architecture=MLPNetworks((8,), dropout=0.0),
        loss="relativistic_pairing",
        ema=0.9,
    ),
}


def test_infogan_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


def small(**arguments):
    """Three numbers of noise, four categories and two continuous codes."""
    networks = DCGANNetworks((4,))
    return InfoGAN((4, 4, 1), 9, 4, 2, architecture=networks, **arguments)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_the_papers_74_latents_and_heads_of_128_units():
    networks = DCGANNetworks((128, 64))
    model = InfoGAN((28, 28, 1), architecture=networks)
    assert model.latent_dim == 62 + 10 + 2 == 74
    plain = DCGAN((28, 28, 1), 74, networks)
    assert model.generator.count_params() == plain.generator.count_params()
    heads = 7 * 7 * 128 * 128 + 128 + 4 * 128 + 129 * (10 + 2)
    assert model.discriminator.count_params() == (
        plain.discriminator.count_params() + heads
    )


def test_the_papers_optimizers():
    members = InfoGAN((4, 4, 1)).default_optimizer()
    rates = {name: float(member.learning_rate) for name, member in members.items()}
    assert rates == pytest.approx({"discriminator": 2e-4, "generator": 1e-3})
    assert {member.beta_1 for member in members.values()} == {0.5}


def test_prior_is_normal_noise_a_fair_category_and_uniform_codes():
    model = small()
    latents = model.draw_latents(20_000, seed=0)
    noise, category, codes = np.split(latents, [3, 7], axis=1)
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    assert scipy.stats.kstest(codes.ravel(), "uniform", (-1, 2)).pvalue > 0.01
    assert set(np.unique(category)) == {0, 1} and (category.sum(axis=1) == 1).all()
    assert scipy.stats.chisquare(category.sum(axis=0)).pvalue > 0.01


def test_training_draws_from_the_same_prior():
    model = MAKE["dcgan"]()
    latents = ops.convert_to_numpy(model.latents_like(np.zeros((50, 8, 8, 1))))
    assert latents.shape == (50, 9)
    assert (latents[:, 3:7].sum(axis=1) == 1).all()
    assert np.abs(latents[:, 7:]).max() <= 1 < np.abs(latents[:, :3]).max()


def test_mutual_information_of_a_posterior_that_knows():
    model = small()
    latents = model.draw_latents(64, seed=0)
    category, codes = latents[:, 3:7], latents[:, 7:]
    density = np.log(2) - 0.5 * np.log(2 * np.pi)  # entropy and unit variance, a code

    def bound(logits, means):
        return float(model.mutual_information(latents, logits, means))

    assert bound(0 * category, codes) == pytest.approx(2 * density, abs=1e-5)
    assert bound(99 * category, codes) == pytest.approx(np.log(4) + 2 * density)
    lost = 0.5 * (codes**2).sum(axis=1).mean()
    assert bound(0 * category, 0 * codes) == pytest.approx(2 * density - lost)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_both_networks_are_paid_for_information(weight):
    model = compiled(lambda: small(information_weight=weight))
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    information = 2 * np.log(2) - np.log(2 * np.pi)
    expected = {
        "mutual_information": information,
        "discriminator_loss": 2 * np.log(2) - weight * information,
        "generator_loss": np.log(2) - weight * information,
    }
    assert scores == pytest.approx(expected, rel=1e-5)


def test_a_traversal_has_a_category_a_row_and_a_code_along_it():
    model = small()
    latents = model.traversal(code=1, columns=5).reshape(4, 5, 9)
    assert latents.dtype == np.float32
    assert np.ptp(latents[..., :3], axis=(0, 1)).max() == 0
    np.testing.assert_array_equal(latents[:, 2, 3:7], np.eye(4))
    np.testing.assert_array_equal(latents[..., 7], 0)
    np.testing.assert_allclose(latents[2, :, 8], [-2, -1, 0, 1, 2])
    assert model.generate(latents.reshape(20, 9)).shape == (20, 4, 4, 1)


def test_your_own_discriminator(tmp_path):
    def own(means):
        images = keras.Input((4, 4, 1))
        flat = layers.Flatten()(images)
        heads = [layers.Dense(size)(flat) for size in (1, 4, means)]
        return keras.Model(images, heads)

    def make(means=2):
        return small(discriminator=own(means))

    check_model(make, tmp_path)
    with pytest.raises(ValueError, match="Expected discriminator"):
        make(means=3)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"num_classes": 10}, "CGAN or ACGAN"),
        ({"latent_dim": 12}, "latent_dim above 12"),
        ({"categories": 0}, "categories"),
        ({"continuous": 0}, "continuous"),
        ({"architecture": "conv"}, "'dcgan', 'mlp', 'resnet', 'stylegan'"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        InfoGAN((4, 4, 1), **arguments)
    assert named in str(error.value)
