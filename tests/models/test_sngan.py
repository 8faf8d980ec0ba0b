"""SNGAN: residual networks, spectral normalisation and projection."""

import math

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
    with_fixed_vectors,
)
from conftest import wave
from keras import layers, ops

from kzoo import backend
from kzoo.layers import SpectralNormalization
from kzoo.models import GAN, SNGAN
from kzoo.networks import DCGANNetworks, MLPNetworks, ResNetNetworks
from kzoo.networks.resnet import discriminator_blocks, resnet_widths
from kzoo.parts import GradientPenalty, Hinge
from kzoo.parts.penalties import squared_slope

PAPER = {"normalization": "spectral", "conditioning": "projection"}
MAKE = {
    "unconditional": lambda: with_fixed_vectors(
        SNGAN((8, 8, 1), 3, ResNetNetworks((8, 8), **PAPER), discriminator_steps=1)
    ),
    "projection": lambda: with_fixed_vectors(
        SNGAN(
            (8, 4, 3),
            3,
            ResNetNetworks((8, 4), **PAPER),
            num_classes=3,
            discriminator_steps=1,
        )
    ),
}


def test_sngan_conforms(tmp_path):
    check_model(MAKE["projection"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="unconditional"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_a_penalty_goes_through_the_resampling(golden):
    def make():
        return GAN(
            (8, 8, 1),
            3,
            ResNetNetworks((8, 8), normalization="layer"),
            loss="wasserstein",
            penalty=GradientPenalty(0.1),
            num_classes=3,
        )

    check_golden(make, golden, "penalty_of_resnet")


def weights_of(inputs, outputs, kernel=3, bias=True):
    return kernel**2 * inputs * outputs + bias * outputs


def trainable(network):
    return sum(math.prod(v.shape) for v in network.trainable_variables)


@pytest.mark.parametrize("classes", [None, 10])
def test_sizes_on_cifar10(classes):
    """With 10 classes 4.3 and 1.06 million weights, as StudioGAN reports."""
    model = SNGAN((32, 32, 3), num_classes=classes)
    stem = 129 * 4 * 4 * 256
    up = 2 * weights_of(256, 256, bias=False) + weights_of(256, 256, 1, bias=False)
    gains_and_biases = 2 * 2 * 256 * (classes or 1)
    out = 2 * 256 + weights_of(256, 3)
    expected = stem + 3 * (up + gains_and_biases) + out
    assert trainable(model.generator) == expected

    block = 2 * weights_of(128, 128)
    first = weights_of(3, 128) + weights_of(128, 128) + weights_of(3, 128, 1)
    expected = first + block + weights_of(128, 128, 1) + 2 * block + 129
    expected += 128 * (classes or 0)
    assert trainable(model.discriminator) == expected
    if classes:
        sizes = [trainable(n) / 1e6 for n in (model.generator, model.discriminator)]
        assert sizes == pytest.approx([4.3, 1.06], abs=0.005)


UP_TO_32 = [(128, True), (128, True), (128, False), (128, False)]


@pytest.mark.parametrize(
    "shape, widths, blocks",
    [
        ((8, 8, 1), (256, 256), [(128, i < 1) for i in range(4)]),
        ((28, 28, 1), (256, 256, 256), UP_TO_32),
        ((32, 32, 3), (256, 256, 256, 256), UP_TO_32),
        (
            (64, 48, 3),
            (1024, 512, 256, 128, 64),
            [(64, True), (128, True), (256, True), (512, True), (1024, False)],
        ),
        (
            (128, 128, 3),
            (1024, 1024, 512, 256, 128, 64),
            [(64 * 2**i, True) for i in range(5)] + [(1024, False)],
        ),
    ],
)
def test_the_networks_fit_their_depth_to_the_images(shape, widths, blocks):
    assert resnet_widths(shape) == widths
    assert discriminator_blocks(shape, widths) == blocks
    model = SNGAN(shape, 4, ResNetNetworks([4] * len(widths), **PAPER))
    images = model.sample(2)
    assert images.shape == (2, *shape)
    assert tuple(model.discriminator(images).shape) == (2, 1)


def test_defaults_are_those_of_the_papers():
    model = SNGAN((4, 4, 1))
    assert model.architecture == ResNetNetworks(**PAPER)
    assert model.loss == Hinge()
    assert (model.latent_dim, model.discriminator_steps) == (128, 5)


def test_the_papers_name_and_optimizers(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 2e-4, "beta_1": 0, "beta_2": 0.9}
    both = {"discriminator": adam, "generator": adam}
    check_paper(lambda: SNGAN((4, 4, 1), 2, "dcgan"), "SNGAN", both, tmp_path)


@pytest.mark.parametrize(
    "name, networks",
    [
        ("dcgan", DCGANNetworks(**PAPER)),
        ("mlp", MLPNetworks(normalization="spectral", dropout=0.0)),
    ],
)
def test_a_name_means_a_discriminator_as_the_paper_has_it(name, networks):
    assert SNGAN((4, 4, 1), 2, name).architecture == networks


def test_every_kernel_of_the_discriminator_is_normalised():
    model = SNGAN((8, 8, 1), 3, ResNetNetworks((4, 4), **PAPER), num_classes=3)
    linear = (layers.Conv2D, layers.Dense, layers.Embedding)
    wrapped = [x for x in model.discriminator.layers if hasattr(x, "layer")]
    assert not any(isinstance(x, linear) for x in model.discriminator.layers)
    assert all(isinstance(x.layer, linear) for x in wrapped)
    for kind in linear:
        assert any(isinstance(x.layer, kind) for x in wrapped)


@pytest.mark.parametrize("normalization", ["spectral", None])
@pytest.mark.parametrize(
    "kind, widths", [(DCGANNetworks, (4,)), (ResNetNetworks, (8, 8))]
)
def test_the_logit_is_that_of_the_features_and_their_projection(
    kind, widths, normalization
):
    networks = kind(widths, **PAPER | {"normalization": normalization})
    model = SNGAN((4, 4, 1), 2, networks, num_classes=3)
    discriminator = model.discriminator
    last, embedding = (
        next(x for x in discriminator.layers if isinstance(unwrapped(x), kind))
        for kind in (layers.Dense, layers.Embedding)
    )
    inputs = [wave((5, 4, 4, 1)), np.array([0, 1, 2, 1, 0])]
    features = np_of(keras.Model(discriminator.inputs, last.input)(inputs))
    kernel = np_of(unwrapped(last).kernel) / sigma(last)
    table = np_of(unwrapped(embedding).embeddings) / sigma(embedding)
    projected = (table[inputs[1]] * features).sum(axis=1, keepdims=True)
    assert np.abs(projected).max() > 1e-3
    expected = features @ kernel + np_of(unwrapped(last).bias) + projected
    np.testing.assert_allclose(np_of(discriminator(inputs)), expected, rtol=1e-4)


def unwrapped(layer):
    return getattr(layer, "layer", layer)


def sigma(layer):
    wrapped = isinstance(layer, SpectralNormalization)
    return np_of(layer.sigma()) if wrapped else 1.0


@pytest.mark.parametrize(
    "kind, widths", [(DCGANNetworks, (4,)), (ResNetNetworks, (4, 4))]
)
def test_training_makes_the_labels_matter(kind, widths):
    arguments = {"num_classes": 3, "ema": 0.9, "discriminator_steps": 1}
    networks = kind(widths, **PAPER)
    model = compiled(lambda: SNGAN((4, 4, 1), 2, networks, **arguments))
    zeros, ones = (model.sample(4, seed=0, labels=label) for label in (0, 1))
    np.testing.assert_array_equal(zeros, ones)  # all gains are 1 and all biases 0
    model.fit(*batch(model), batch_size=8, verbose=0)
    zeros, ones = (model.sample(4, seed=0, labels=label) for label in (0, 1))
    assert not np.array_equal(zeros, ones)


@pytest.mark.parametrize("normalization", ["batch", "layer", "spectral", None])
def test_any_normalization_trains_a_resnet(normalization):
    networks = ResNetNetworks((4, 4), normalization)
    model = compiled(lambda: GAN((4, 4, 1), 2, networks))
    history = model.fit(*batch(model), batch_size=8, verbose=0).history
    assert np.isfinite(history["discriminator_loss"]).all()


@pytest.mark.parametrize(
    "resample, factor",
    [
        (layers.UpSampling2D(2), 4 * 144),  # sum of 4 x**3, squared slope 144 x**4
        (layers.AveragePooling2D(2), 9 / 4),  # 4 pixels, each of slope 3/4 x**2
    ],
)
def test_resampling_has_second_derivatives(resample, factor):
    def cubes(x):
        return ops.sum(resample(x) ** 3, axis=(1, 2, 3))

    images = np.repeat(np.repeat(wave((3, 2, 2, 2)), 2, axis=1), 2, axis=2)
    gradient = backend.input_gradient(
        lambda x: squared_slope(cubes, x), ops.convert_to_tensor(images)
    )
    np.testing.assert_allclose(np_of(gradient), factor * images**3, rtol=1e-4)


def np_of(tensor):
    return ops.convert_to_numpy(tensor)
