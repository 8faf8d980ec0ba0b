"""The quantisers that tests/models/test_vqvae.py leaves out."""

import itertools

import keras
import numpy as np
from conftest import wave
from keras import ops

from kzoo import backend
from kzoo.quantizers import LookupFree


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


def test_lfq_is_saved():
    layer = LookupFree(16, 0.5, 0.2)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert again.get_config() == layer.get_config() and again.dim == 4
