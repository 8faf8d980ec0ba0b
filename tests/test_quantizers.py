"""The quantisers that tests/models/test_vqvae.py leaves out."""

import itertools

import keras
import numpy as np
import pytest
from conformance import batch, compiled
from conftest import wave
from keras import ops

from kzoo import backend
from kzoo.models import VQVAE
from kzoo.networks.vqvae import ConvGridNetworks
from kzoo.parts.quantizers import LookupFree, ResidualCodebooks

pytestmark = pytest.mark.one_backend


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def gradient(function, x):
    return numpy(backend.input_gradient(function, ops.convert_to_tensor(x)))


def test_lfq_takes_signs_and_numbers_them():
    layer = LookupFree(8)
    corners = np.float32(list(itertools.product([-1, 1], repeat=3)))
    codes = numpy(layer.nearest(ops.convert_to_tensor(0.3 * corners)))
    assert sorted(codes) == list(range(8))
    np.testing.assert_array_equal(codes, (corners > 0) @ [1, 2, 4])
    np.testing.assert_array_equal(numpy(layer.lookup(codes)), corners)
    vectors = wave((2, 3, 4, 3), 0.4)
    quantised, got, _ = layer(ops.convert_to_tensor(vectors))
    np.testing.assert_allclose(numpy(quantised), np.sign(vectors), atol=1e-6)
    np.testing.assert_array_equal(numpy(got), (vectors > 0) @ [1, 2, 4])


def test_lfq_penalises_the_entropy_of_each_place_less_that_of_all():
    layer, vectors = LookupFree(8), wave((2, 3, 4, 3), 0.4)
    corners = numpy(layer.lookup(np.arange(8)))
    squared = np.square(vectors[..., None, :] - corners).sum(axis=-1)
    share = np.exp(-squared) / np.exp(-squared).sum(axis=-1, keepdims=True)
    each = -np.sum(share * np.log(share), axis=-1)  # (2, 3, 4)
    mean = share.mean(axis=(0, 1, 2))
    expected = each.sum(axis=(1, 2)) + 12 * np.sum(mean * np.log(mean))
    got = numpy(layer.entropy_penalty(ops.convert_to_tensor(vectors)))
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    _, _, loss = layer(ops.convert_to_tensor(vectors))
    commitment = np.square(vectors - np.sign(vectors)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(
        numpy(loss), 0.25 * commitment + 0.1 * expected, rtol=1e-4
    )


def test_lfq_is_least_penalised_where_all_codes_are_clear_and_alike_often():
    layer = LookupFree(8)
    every = np.float32(list(itertools.product([-1, 1], repeat=3))).reshape(1, 2, 4, 3)
    best = float(numpy(layer.entropy_penalty(ops.convert_to_tensor(9 * every)))[0])
    np.testing.assert_allclose(best, -8 * np.log(8), rtol=1e-5)
    for worse in 0 * every, 0.2 * every, np.abs(9 * every):
        penalty = numpy(layer.entropy_penalty(ops.convert_to_tensor(worse)))
        np.testing.assert_array_less(best + 0.1, penalty)


def test_gradients_of_lfq_go_straight_through_what_is_standardised():
    layer, vectors = LookupFree(4, entropy_weight=0.0), wave((1, 2, 3, 2), 0.4)
    weights = wave(vectors.shape, 0.9)
    factors = ops.convert_to_tensor(weights)
    layer.start(vectors.reshape(-1, 2))
    mean, deviation = numpy(layer.mean), numpy(layer.deviation)
    scaled = (vectors - mean) / deviation
    np.testing.assert_allclose(scaled.std(axis=(0, 1, 2)), 1, rtol=1e-3)
    got = gradient(lambda x: layer(x)[0] * factors, vectors)
    np.testing.assert_allclose(got, weights / deviation, rtol=1e-5)
    got = gradient(lambda x: layer(x)[2], vectors)
    expected = 0.5 * (scaled - np.sign(scaled)) / deviation
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def residual(codes=5, depth=3, **arguments):
    layer = ResidualCodebooks(codes, 2, depth, **arguments)
    for i, book in enumerate(layer.books):
        book.table.assign(wave((codes, 2), i) / 2**i)
    return layer


def greedy(vectors, tables):
    """Codes of each table `(..., depth)`, and what is left over after each."""
    codes, rests = [], []
    for table in tables:
        distances = np.square(vectors[..., None, :] - table).sum(axis=-1)
        codes.append(distances.argmin(axis=-1))
        vectors = vectors - table[codes[-1]]
        rests.append(vectors)
    return np.stack(codes, axis=-1), rests


def test_each_codebook_takes_what_is_nearest_to_the_rest():
    layer, vectors = residual(), 2 * wave((2, 3, 4, 2), 0.4)
    codes, rests = greedy(vectors, [numpy(book.table) for book in layer.books])
    quantised, got, loss = layer(ops.convert_to_tensor(vectors))
    np.testing.assert_allclose(numpy(quantised), vectors - rests[-1], atol=1e-5)
    np.testing.assert_array_equal(
        numpy(got), (codes + np.array([0, 5, 10])).reshape(2, 3, 12)
    )
    squared = sum(np.square(rest).sum(axis=(1, 2, 3)) for rest in rests)
    np.testing.assert_allclose(numpy(loss), 0.25 * squared, rtol=1e-4)
    nearest = layer.nearest(ops.convert_to_tensor(vectors))
    np.testing.assert_array_equal(numpy(nearest), numpy(got))
    np.testing.assert_allclose(numpy(layer.lookup(got)), numpy(quantised), atol=1e-5)
    of_another_codebook = ops.convert_to_tensor((numpy(got) + 5) % 15)
    again = numpy(layer.lookup(of_another_codebook))
    np.testing.assert_allclose(again, numpy(quantised), atol=1e-5)


def test_gradients_of_residual_codes_go_straight_through_and_commit():
    layer, vectors = residual(commitment=0.3), 2 * wave((2, 3, 4, 2), 0.4)
    weights = wave(vectors.shape, 0.9)
    factors = ops.convert_to_tensor(weights)
    got = gradient(lambda x: layer(x)[0] * factors, vectors)
    np.testing.assert_allclose(got, weights, rtol=1e-6)
    _, rests = greedy(vectors, [numpy(book.table) for book in layer.books])
    got = gradient(lambda x: layer(x)[2], vectors)
    np.testing.assert_allclose(got, 0.6 * sum(rests), rtol=1e-3, atol=1e-5)


def test_the_error_shrinks_with_each_codebook():
    vectors = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32")
    errors = []
    for depth in range(1, 5):
        layer = ResidualCodebooks(8, 2, depth)
        layer.start(vectors.reshape(-1, 2))
        quantised, _, _ = layer(ops.convert_to_tensor(vectors))
        errors.append(np.square(numpy(quantised) - vectors).mean())
    assert all(b < 0.5 * a for a, b in itertools.pairwise(errors))


def test_in_training_each_codebook_moves_to_the_mean_of_its_rests():
    layer, vectors = residual(depth=2), 2 * wave((2, 3, 4, 2), 0.4)
    for book in layer.books:
        book.decay, book.dead_below = 0.0, 0.0
    tables = [numpy(book.table) for book in layer.books]
    codes, rests = greedy(vectors, tables)
    draws = ops.convert_to_tensor(np.zeros(10, "float32"))
    layer(ops.convert_to_tensor(vectors), training=True, draws=draws)
    for i, (book, given) in enumerate(
        zip(layer.books, [vectors, rests[0]], strict=True)
    ):
        table = numpy(book.table)
        for code in np.unique(codes[..., i]):
            expected = given[codes[..., i] == code].mean(axis=0)
            np.testing.assert_allclose(table[code], expected, atol=1e-5)


@pytest.mark.full
def test_the_prior_draws_of_each_place_a_code_of_each_codebook():
    model = compiled(
        lambda: VQVAE((8, 8, 1), ResidualCodebooks(4, 3, 2), ConvGridNetworks((4, 4))),
        jit_compile=keras.backend.backend() == "jax",
    )
    images, _ = batch(model)
    flat = np.ones_like(images) * np.float32([0.1, 0.9] * 12)[:, None, None, None]
    model.fit(flat, epochs=2, verbose=0)
    codes = model.codes(flat)
    assert codes.shape == (24, 2, 4)
    assert (codes // 4 == [0, 1, 0, 1]).all()
    latents = model.draw_latents(5, seed=0)
    assert latents.shape == (5, 2 * 2 * 3)
    loss = model.fit_prior(
        flat, width=16, blocks=1, epochs=60, batch_size=8, verbose=0,
        optimizer=keras.optimizers.Adam(0.03),
    ).history["loss"]  # fmt: skip
    assert loss[-1] < 0.2 < loss[0]
    distances = np.abs(model.draw_latents(20, seed=0)[:, None] - model.encode(flat))
    assert np.mean(distances.max(axis=2).min(axis=1) < 1e-5) > 0.8


@pytest.mark.parametrize("layer", [LookupFree(16, 0.5, 0.2), residual(4, 2)])
def test_quantisers_are_saved(layer):
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == layer.get_config()
    shapes = [[v.shape for v in x.weights] for x in (layer, again)]
    assert shapes[0] == shapes[1]
