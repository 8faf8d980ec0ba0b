"""R3GAN."""

import itertools

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, check_paper, compiled
from conftest import wave
from keras import layers, ops

from kzoo.models import R3GAN
from kzoo.networks import R3GANNetworks
from kzoo.networks.r3gan import (
    GroupedConv2D,
    downsampled,
    r3gan_widths,
    residual_blocks,
    upsampled,
)
from kzoo.parts import R1, R2, RelativisticPairing

# A heavy penalty, so that the numbers depend on it and on its gradient. No memory in
# the average of the weights, as the first ones are drawn at random.
MAKE = {
    "plain": lambda: R3GAN(
        (8, 8, 1),
        3,
        R3GANNetworks((8, 8), group_size=8),
        penalty=(R1(100.0), R2(100.0)),
        ema=0.0,
    ),
    "conditional": lambda: R3GAN(
        (4, 6, 3),
        2,
        R3GANNetworks((12, 6), group_size=12),
        penalty=(R1(100.0), R2(100.0)),
        ema=None,
        num_classes=3,
    ),
}


def test_r3gan_conforms(tmp_path):
    check_model(MAKE["conditional"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def generator_size(shape, latent_dim, widths, blocks, group, classes=None):
    height, width, channels = np.array(shape) / [*[2 ** (len(widths) - 1)] * 2, 1]
    size = widths[0] * (height * width + latent_dim) + common_size(
        widths, blocks, group
    )
    if classes:
        size += latent_dim * (classes + widths[0])
    return size + widths[-1] * channels


def discriminator_size(shape, latent_dim, widths, blocks, group, classes=None):
    height, width, channels = np.array(shape) / [*[2 ** (len(widths) - 1)] * 2, 1]
    size = widths[-1] * channels + common_size(widths, blocks, group)
    head = widths[0] * (widths[0] + classes) if classes else widths[0]
    return size + widths[0] * height * width + head


def common_size(widths, blocks, group):
    """Residual blocks, and 1x1 convolutions where the width changes."""
    changes = sum(a * b for a, b in itertools.pairwise(widths) if a != b)
    inside = [2 * width for width in widths]
    return changes + blocks * sum(
        2 * width * inner + 9 * inner * group + 2 * inner
        for width, inner in zip(widths, inside, strict=True)
    )


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, generator, discriminator",
    [  # table 9, in millions
        (((32, 32, 3), 64, (768,) * 4, 2, 16), 20.73, 20.68),
        (((32, 32, 3), 64, (768,) * 4, 2, 16, 10), 20.78, 21.28),
        (((64, 64, 3), 64, (*(768,) * 4, 384), 2, 16), 22.43, 22.38),
        (((256, 256, 3), 64, (*(768,) * 4, 384, 192, 96), 2, 16), 23.06, 23.01),
        (((32, 32, 3), 64, (1536,) * 4, 2, 32, 1000), 82.91, 86.55),
        (((64, 64, 3), 64, (1536,) * 5, 2, 32, 1000), 103.57, 107.21),
    ],
)
def test_the_papers_models_have_the_papers_sizes(arguments, generator, discriminator):
    assert round(generator_size(*arguments) / 1e6, 2) == generator
    assert round(discriminator_size(*arguments) / 1e6, 2) == discriminator


@pytest.mark.one_backend
@pytest.mark.parametrize("classes", [None, 5])
def test_networks_have_the_size_of_the_formula(classes):
    shape, latent_dim, widths, blocks, group = (8, 12, 3), 7, (8, 8, 4), 2, 4
    networks = R3GANNetworks(widths, blocks, group)
    model = R3GAN(shape, latent_dim, networks, num_classes=classes)
    arguments = shape, latent_dim, widths, blocks, group, classes
    assert model.generator.count_params() == generator_size(*arguments)
    assert model.discriminator.count_params() == discriminator_size(*arguments)


def applied(function, x):
    inputs = keras.Input(x.shape[1:])
    return np_of(keras.Model(inputs, function(inputs))(x))


def test_residual_blocks_start_as_the_identity():
    x = wave((2, 6, 6, 4))
    blocks = applied(lambda x: residual_blocks(x, 2, group_size=4, total=2), x)
    np.testing.assert_array_equal(blocks, x)


def test_an_untrained_discriminator_is_linear():
    model = R3GAN((8, 8, 1), 3, R3GANNetworks((8, 4), group_size=4))
    images, _ = batch(model, 2)
    first, second = np_of(model.discriminator(images))
    mixed = 0.25 * images[0] + 0.75 * images[1]
    expected = 0.25 * first + 0.75 * second
    got = np_of(model.discriminator(mixed[None]))[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_grouped_convolution_is_that_of_the_framework():
    ours = GroupedConv2D(8, 3, padding="same", groups=4)
    plain = layers.Conv2D(8, 3, padding="same", groups=4)
    x = wave((2, 5, 4, 8))
    ours(x), plain(x)
    ours.set_weights([wave(w.shape, i) for i, w in enumerate(ours.get_weights())])
    plain.set_weights(ours.get_weights())
    np.testing.assert_allclose(np_of(ours(x)), np_of(plain(x)), atol=1e-5)


def ramp(height, width):
    """A tilted plane, as an image of one channel."""
    rows, columns = np.mgrid[:height, :width].astype("float32")
    return (2 * rows - 3 * columns + 1)[None, ..., None]


def test_resampling_keeps_a_constant():
    for resampled in (upsampled, downsampled):
        constant = applied(resampled, np.full((1, 6, 4, 2), 3.7, "float32"))
        np.testing.assert_allclose(constant, 3.7, rtol=1e-6)


def test_resampling_keeps_a_plane_away_from_the_border():
    large, small = ramp(8, 12), ramp(4, 6)
    # A small pixel's centre is between four large ones.
    rows, columns = 2 * np.arange(4) + 0.5, 2 * np.arange(6) + 0.5
    centres = (2 * rows[:, None] - 3 * columns + 1)[None, ..., None]
    down = applied(downsampled, large)
    np.testing.assert_allclose(down[:, 1:-1, 1:-1], centres[:, 1:-1, 1:-1], atol=1e-5)
    up = applied(upsampled, np.float32(centres))
    np.testing.assert_allclose(up[:, 1:-1, 1:-1], large[:, 1:-1, 1:-1], atol=1e-5)
    again = applied(lambda x: downsampled(upsampled(x)), small)
    np.testing.assert_allclose(again[:, 1:-1, 1:-1], small[:, 1:-1, 1:-1], atol=1e-5)


def test_resampling_weighs_as_bilinear_interpolation():
    pixel = np.zeros((1, 8, 8, 1), "float32")
    pixel[0, 4, 4] = 1
    taps = np.float32([1, 3, 3, 1]) / 4
    up = applied(upsampled, pixel)[0, 7:11, 7:11, 0]
    np.testing.assert_allclose(up, np.outer(taps, taps), atol=1e-6)
    down = applied(downsampled, pixel)[0, 1:3, 1:3, 0]
    np.testing.assert_allclose(down, np.outer([1, 3], [1, 3]) / 64, atol=1e-6)


@pytest.mark.parametrize("penalty", [R1(), R2()])
def test_penalties_can_be_minimised(penalty):
    """A step moves every kernel, and by as much as its own gradient predicts."""
    model = compiled(
        MAKE["plain"],
        optimizer={
            n: keras.optimizers.SGD(1e-3) for n in ("discriminator", "generator")
        },
    )
    for i, variable in enumerate(model.discriminator.trainable_variables):
        variable.assign(0.3 * wave(variable.shape, phase=i))
    images = ops.convert_to_tensor(batch(model, 4)[0])

    def loss():
        value = penalty.measure(
            lambda x: model.logits(x, None, True), images, 1 - images, None
        )
        return value, {"penalty": value}

    kernels = [w for w in model.discriminator.trainable_variables if w.name == "kernel"]
    before = [np_of(w) for w in kernels]
    start = float(model.minimize(loss, over="discriminator")["penalty"])
    steps = [np_of(w) - old for w, old in zip(kernels, before, strict=True)]
    assert all(np.isfinite(step).all() and np.abs(step).max() > 0 for step in steps)
    predicted = sum(np.square(step).sum() for step in steps) / 1e-3
    assert start - float(np_of(loss()[0])) == pytest.approx(predicted, rel=0.05)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "shape, widths",
    [
        ((8, 8, 1), (32, 16)),
        ((28, 28, 1), (64, 32, 16)),
        ((32, 32, 3), (64, 64, 32, 16)),
        ((128, 128, 3), (64, 64, 64, 64, 32, 16)),
        ((5, 5, 1), (16,)),
    ],
)
def test_default_widths(shape, widths):
    assert r3gan_widths(shape) == widths


def test_labels_decide_what_is_drawn():
    model = R3GAN((4, 4, 1), 2, R3GANNetworks((8,)), num_classes=3)
    zeros, ones = (model.sample(4, seed=0, labels=label) for label in (0, 1))
    assert not np.allclose(zeros, ones)


@pytest.mark.one_backend
def test_label_embeddings_start_as_in_the_authors_code():
    model = R3GAN((4, 4, 1), 64, R3GANNetworks((64,)), num_classes=400)
    for network, expected in (
        ("generator", 400**-0.5),
        ("discriminator", (400 * 64) ** -0.5),
    ):
        (kernel,) = (v for v in getattr(model, network).weights if v.shape == (400, 64))
        assert np_of(kernel).std() == pytest.approx(expected, rel=0.02)


def test_samples_are_clipped_and_fakes_are_not():
    model = R3GAN((4, 4, 1), 2, R3GANNetworks((8,)), ema=None)
    latents = 9 * wave((8, 2))
    raw = np_of(model.generator(latents))
    assert raw.min() < 0 and raw.max() > 1
    np.testing.assert_allclose(model.generate(latents), raw.clip(0, 1), atol=1e-6)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_shape": (28, 28)}, "image_shape"),
        (
            {"image_shape": (6, 6, 1), "architecture": R3GANNetworks((8, 8, 8))},
            "divisible by 4",
        ),
        ({"architecture": R3GANNetworks((8, 6))}, "group_size"),
        ({"penalty": "r3"}, "'r1', 'r2'"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        R3GAN(**{"image_shape": (8, 8, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "settings, named",
    [
        ({"group_size": 0}, "group_size"),
        ({"blocks": 0}, "blocks"),
        ({"widths": ()}, "widths"),
    ],
)
def test_wrong_settings_of_networks_are_named(settings, named):
    with pytest.raises(ValueError, match="Expected") as error:
        R3GANNetworks(**settings)
    assert named in str(error.value)


def test_the_papers_name_parts_and_optimizers(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 2e-4, "beta_1": 0, "beta_2": 0.9}
    both = {"discriminator": adam, "generator": adam}
    check_paper(lambda: R3GAN((4, 4, 1), 2), "R3GAN", both, tmp_path)
    model = R3GAN((4, 4, 1), 2)
    assert model.architecture == R3GANNetworks()
    assert model.loss == RelativisticPairing()
    weights = [(type(p), p.weight, p.every) for p in model.penalty]
    assert weights == [(R1, 0.0125, 1), (R2, 0.0125, 1)]


def np_of(tensor):
    return np.array(ops.convert_to_numpy(tensor))
