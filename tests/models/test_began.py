"""The boundary equilibrium GAN."""

import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_golden,
    check_model,
    check_own_networks,
    variants,
    with_fixed_noise,
)
from keras import layers, ops

from kzoo.models import BEGAN
from kzoo.networks.began import BEGANNetworks, NormalizedBEGANNetworks

TINY = BEGANNetworks((4,))
MAKE = {
    "plain": lambda: BEGAN((8, 8, 1), 3, 0.8, 0.5, BEGANNetworks((4, 8))),
    "infogan": lambda: BEGAN((8, 4, 3), 3, 0.8, 0.5, NormalizedBEGANNetworks((4, 8))),
}


@pytest.mark.parametrize("variant", MAKE)
def test_began_conforms(variant, tmp_path):
    check_model(MAKE[variant], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="plain"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_generator_and_decoder_are_alike_and_the_encoder_widens():
    model = BEGAN((32, 32, 3))
    assert model.architecture.widths_for((32, 32, 3)) == (64, 128, 192)
    plain = 9 * 64 * 64 + 64
    decoder = 65 * 8 * 8 * 64 + 6 * plain + 9 * 64 * 3 + 3
    encoder = 9 * 3 * 64 + 64 + plain  # at 32 pixels
    encoder += 9 * 64 * 128 + 128 + 2 * (9 * 128 * 128 + 128)
    encoder += 9 * 128 * 192 + 192 + 2 * (9 * 192 * 192 + 192)
    encoder += 8 * 8 * 192 * 64 + 64
    assert model.generator.count_params() == decoder
    assert model.discriminator.count_params() == encoder + decoder


def test_infogans_generator_and_an_autoencoder_that_halves_once():
    model = BEGAN((28, 28, 1), 62, architecture="infogan")
    assert model.architecture.widths_for((28, 28, 1)) == (64, 128)
    generator = (62 + 4) * 1024 + (1024 + 4) * 7 * 7 * 128
    generator += 16 * 128 * 64 + 4 * 64 + 16 * 64 + 1
    maps = 14 * 14 * 64
    autoencoder = 16 * 64 + 64 + (maps + 4) * 62 + (62 + 4) * maps + 16 * 64 + 1
    assert model.generator.count_params() == generator
    assert model.discriminator.count_params() == autoencoder
    assert model.discriminator(np.zeros((2, 28, 28, 1))).shape == (2, 28, 28, 1)
    rate = model.default_optimizer()["generator"].learning_rate
    assert float(rate) == pytest.approx(2e-4)


def own_networks(fake=0.5, pixels=16):
    """A generator of images of one grey level, and an autoencoder that answers 0.

    So L(x) is the mean of the images, and L(G(z)) is the grey level.
    """
    latents, images = keras.Input((2,)), keras.Input((4, 4, 1))
    grey = keras.initializers.Constant(fake)
    x = layers.Dense(pixels, kernel_initializer="zeros", bias_initializer=grey)(latents)
    zero = layers.Conv2D(1, 1, kernel_initializer="zeros")(layers.Dropout(0.2)(images))
    return {
        "generator": keras.Model(latents, layers.Reshape((4, -1, 1))(x)),
        "discriminator": keras.Model(images, zero),
    }


@pytest.mark.parametrize(
    "fake, k, gamma, k_rate",
    [
        (0.1, 0.3, 0.5, 0.1),  # fakes are reconstructed better than asked: k grows
        (0.9, 0.3, 0.7, 0.1),
        (0.1, 0.99, 0.5, 1.0),  # k stays in [0, 1]
        (0.9, 0.01, 0.5, 1.0),
    ],
)
def test_losses_convergence_and_k_are_the_papers(fake, k, gamma, k_rate):
    model = BEGAN((4, 4, 1), 2, gamma, k_rate, **own_networks(fake))
    rates = dict.fromkeys(model.default_optimizer(), 0.0)
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model.compile(optimizers, run_eagerly=True)
    model.k.assign(k)
    images, _ = batch(model)
    real = images.mean()

    expected = {
        "discriminator_loss": real - k * fake,
        "generator_loss": fake,
        "convergence": real + abs(gamma * real - fake),
        "k": k,
    }
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores == pytest.approx(expected, rel=1e-5)
    expected["k"] = np.clip(k + k_rate * (gamma * real - fake), 0, 1)
    logs = model.train_on_batch(images, return_dict=True)
    assert logs == pytest.approx(expected, rel=1e-5)
    assert float(ops.convert_to_numpy(model.k)) == pytest.approx(
        expected["k"], rel=1e-5
    )


def test_k_starts_at_0_and_is_saved(tmp_path):
    model = BEGAN((4, 4, 1), 2, architecture=TINY)
    assert float(ops.convert_to_numpy(model.k)) == 0
    model.compile()
    model.k.assign(0.25)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(ops.convert_to_numpy(again.k)) == 0.25


@pytest.mark.parametrize("phase, sign", [("discriminator", 1), ("generator", -1)])
def test_they_disagree_about_how_well_fakes_are_reconstructed(phase, sign):
    model = with_fixed_noise(BEGAN((4, 4, 1), 2, k_rate=0.0, architecture=TINY))
    rates = dict.fromkeys(model.default_optimizer(), 0.0) | {phase: 0.05}
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model.compile(optimizers, run_eagerly=True)
    model.k.assign(1.0)
    images, _ = batch(model)
    images[:] = 0.5
    before = error_of_fakes(model, images)
    model.train_on_batch(images)
    assert sign * (error_of_fakes(model, images) - before) > 1e-5


def error_of_fakes(model, images):
    loss, _ = model.generator_loss(ops.convert_to_tensor(images), training=False)
    return float(ops.convert_to_numpy(loss))


def test_latents_are_uniform():
    latents = BEGAN((4, 4, 1), 2, architecture=TINY).draw_latents(4000, seed=0)
    counts, _ = np.histogram(latents, bins=8, range=(-1, 1))
    assert counts.sum() == 8000
    np.testing.assert_allclose(counts, 1000, rtol=0.1)


def test_the_papers_settings():
    model = BEGAN((4, 4, 1))
    assert (model.latent_dim, model.k_rate) == (64, 1e-3)
    for member in model.default_optimizer().values():
        assert isinstance(member, keras.optimizers.Adam)
        assert float(member.learning_rate) == pytest.approx(1e-4)


def test_your_own_networks(tmp_path):
    def make():
        networks = own_networks()
        networks["generator"] = BEGAN((4, 4, 1), 2, architecture=TINY).generator
        return BEGAN((4, 4, 1), 2, **networks)

    check_own_networks(make, tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        (
            {"image_shape": (6, 6, 1), "architecture": BEGANNetworks((4, 4, 4))},
            "divisible by 4",
        ),
        ({"image_shape": (6, 6, 1), "architecture": "infogan"}, "divisible by 4"),
        ({"architecture": "resnet"}, "'infogan'"),
        ({"latent_dim": 3, **own_networks()}, "generator"),
        ({"latent_dim": 2, **own_networks(pixels=20)}, "generator"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        BEGAN(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
def test_there_is_at_least_one_width():
    with pytest.raises(ValueError, match="widths"):
        BEGANNetworks(())
