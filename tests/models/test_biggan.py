"""BigGAN: a class and a chunk of latents for every block."""

import itertools
import math

import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_golden,
    check_model,
    with_fixed_noise,
    with_fixed_vectors,
)
from conftest import wave
from keras import ops

from kzoo.layers import BatchNormalization
from kzoo.models import BigGAN
from kzoo.models.biggan import off_diagonal
from kzoo.networks import BigGANNetworks
from kzoo.networks.biggan import conditional_batch_norm, kernels, regularized
from kzoo.networks.blocks import attention_height
from kzoo.parts import Hinge

MAKE = {
    "small": lambda: with_fixed_vectors(
        BigGAN(
            (8, 8, 1),
            4,
            BigGANNetworks((8, 4), "auto", embedding_dim=3),
            discriminator_steps=1,
            num_classes=3,
        )
    )
}


@pytest.mark.full
def test_biggan_conforms(tmp_path):
    check_model(MAKE["small"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["small"], golden, "small")


def trainable(network):
    return sum(math.prod(v.shape) for v in network.trainable_variables)


@pytest.mark.one_backend
def test_size_is_that_of_stem_blocks_and_shared_embedding():
    classes, shared, chunk, widths = 10, 128, 20, (64, 32, 16)
    networks = BigGANNetworks(widths, "auto")
    model = BigGAN((28, 28, 1), architecture=networks, num_classes=classes)
    assert model.latent_dim == 3 * chunk and attention_height("auto", (28, 28, 1)) == 14
    expected = classes * shared + (chunk + 1) * 7 * 7 * 64  # embedding and stem
    for inside, outside in itertools.pairwise(widths):
        expected += 9 * inside * outside + 9 * outside**2 + inside * outside
        expected += 2 * (chunk + shared) * (inside + outside)  # gains and biases
    expected += 3 * 32 * 4 + 4 * 32 + 1  # attention over maps of 14 pixels
    expected += 2 * 16 + 9 * 16 + 1
    assert trainable(model.generator) == expected


def test_kernels_start_orthogonal():
    model = BigGAN((8, 8, 1), architecture=BigGANNetworks((8, 4)), num_classes=3)
    for kernel in [*kernels(model.generator), *kernels(model.discriminator)]:
        matrix = ops.convert_to_numpy(kernel).reshape(-1, kernel.shape[-1])
        np.testing.assert_allclose(np.linalg.svd(matrix)[1], 1.0, rtol=1e-4)


def test_the_shared_embedding_is_not_regularised():
    generator = MAKE["small"]().generator
    left_out = {id(v) for v in kernels(generator)} - {
        id(v) for v in regularized(generator)
    }
    embedding = generator.get_layer("embedding").trainable_variables
    assert left_out == {id(v) for v in embedding}


@pytest.mark.one_backend
def test_batch_normalisation_has_the_authors_epsilon():
    layers = MAKE["small"]().generator.layers
    found = {x.epsilon for x in layers if isinstance(x, BatchNormalization)}
    assert found == {1e-5}


def test_off_diagonal_is_that_of_equation_3():
    kernel = wave((2, 3, 4))
    filters = kernel.reshape(6, 4)
    products = filters.T @ filters
    expected = (products[~np.eye(4, dtype=bool)] ** 2).sum()
    measured = off_diagonal(ops.convert_to_tensor(kernel))
    np.testing.assert_allclose(ops.convert_to_numpy(measured), expected, rtol=1e-5)
    lengths = ops.convert_to_tensor(np.diag([1.0, 2.0, 3.0]).astype("float32"))
    assert float(off_diagonal(lengths)) == 0.0


def test_the_penalty_is_added_to_the_generators_loss():
    losses = []
    for weight in 0.0, 0.5:
        networks = BigGANNetworks((4, 4), "auto")
        model = BigGAN((8, 8, 1), 4, networks, orthogonal_weight=weight, num_classes=2)
        with_fixed_noise(with_fixed_vectors(model))
        for i, variable in enumerate(v for v in model.variables if len(v.shape) > 1):
            variable.assign(0.3 * wave(variable.shape, phase=i))
        images, labels = (ops.convert_to_tensor(x) for x in batch(model, 8))
        loss, logs = model.generator_loss(images, labels, training=False)
        losses.append(float(loss))
    penalty = float(logs["orthogonality"])
    assert penalty > 0 and losses[1] - losses[0] == pytest.approx(0.5 * penalty)
    model.generator.trainable = False
    frozen = model.generator_loss(images, labels, training=False)[1]["orthogonality"]
    assert ops.is_tensor(frozen) and float(frozen) == 0.0


def test_gain_and_bias_are_linear_in_the_condition():
    x, condition = keras.Input((2, 2, 3)), keras.Input((4,))
    outputs = conditional_batch_norm(x, condition)
    network = keras.Model([x, condition], outputs)
    images, given = wave((5, 2, 2, 3)), wave((5, 4), phase=1.0)
    at_zero = network([images, 0 * given])  # moving mean 0 and variance 1
    np.testing.assert_allclose(ops.convert_to_numpy(at_zero), images, rtol=1e-3)
    once, twice = (
        ops.convert_to_numpy(network([images, k * given])) for k in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice - images, 2 * (once - images), atol=5e-3)


def test_latents_are_cut_in_equal_chunks():
    with pytest.raises(ValueError, match="multiple of 2"):
        BigGAN((8, 8, 1), 5, BigGANNetworks((4, 4)), num_classes=2)


def test_truncation_cuts_the_latents_off():
    model = BigGAN((8, 8, 1), 4, BigGANNetworks((4, 4)), num_classes=2)
    free = model.draw_latents(4000, seed=0)
    cut = model.draw_latents(4000, seed=0, truncation=0.5)
    assert np.abs(free).max() > 3 and np.abs(cut).max() <= 0.5
    np.testing.assert_array_equal(np.sign(free), np.sign(cut))
    # The variance of a normal cut off at t: 1 - 2 t pdf(t) / (2 cdf(t) - 1).
    pdf = math.exp(-0.125) / math.sqrt(2 * math.pi)
    expected = 1 - 2 * 0.5 * pdf / math.erf(0.5 / math.sqrt(2))
    assert cut.var() == pytest.approx(expected, rel=0.03)
    images = model.sample(3, seed=0, truncation=0.5)
    assert not np.array_equal(images, model.sample(3, seed=0))
    with pytest.raises(ValueError, match="above 0"):
        model.sample(3, truncation=0)


def test_the_papers_defaults():
    model = BigGAN((4, 4, 1), num_classes=2)
    assert model.architecture == BigGANNetworks(attention="auto")
    assert (model.loss, model.discriminator_steps) == (Hinge(), 2)
    for name, rate in {"discriminator": 2e-4, "generator": 5e-5}.items():
        optimizer = model.default_optimizer()[name]
        rates = (optimizer.learning_rate, optimizer.beta_1, optimizer.beta_2)
        assert [float(x) for x in rates] == pytest.approx([rate, 0.0, 0.999])
