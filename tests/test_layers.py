"""Layers that Keras lacks."""

import keras
import numpy as np
import pytest
from conftest import wave
from keras import layers, ops

from kzoo.layers import SpectralNormalization


def largest_singular_value(kernel, outputs_axis=-1):
    matrix = np.moveaxis(kernel, outputs_axis, -1)
    return np.linalg.norm(matrix.reshape(-1, matrix.shape[-1]), 2)


@pytest.mark.parametrize(
    "layer, shape, axis",
    [
        (lambda: layers.Dense(5), (4, 6), -1),
        (lambda: layers.Dense(5, use_bias=False), (4, 6), -1),
        (lambda: layers.Conv2D(4, 3, 2, "same"), (2, 6, 6, 3), -1),
        (lambda: layers.Conv2DTranspose(4, 4, 2, "same"), (2, 6, 6, 3), -2),
    ],
)
def test_output_is_that_of_the_divided_kernel(layer, shape, axis):
    wrapped = SpectralNormalization(layer())
    inputs = ops.convert_to_tensor(wave(shape))
    for _ in range(200):  # the power iteration converges
        outputs = wrapped(inputs, training=True)
    plain = wrapped.layer
    if plain.use_bias:
        plain.bias.assign(wave(plain.bias.shape))
    outputs = ops.convert_to_numpy(wrapped(inputs))
    kernel = ops.convert_to_numpy(plain.kernel)
    plain.kernel.assign(kernel / largest_singular_value(kernel, axis))
    expected = ops.convert_to_numpy(plain(inputs))
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-5)


def test_embeddings_are_divided_too():
    wrapped = SpectralNormalization(layers.Embedding(7, 3))
    labels = ops.arange(7)
    for _ in range(200):
        outputs = wrapped(labels, training=True)
    table = ops.convert_to_numpy(wrapped.layer.embeddings)
    expected = table / largest_singular_value(table)
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), expected, rtol=1e-3)


def test_only_training_moves_the_vector_and_nothing_moves_the_kernel():
    wrapped = SpectralNormalization(layers.Dense(3))
    inputs = ops.convert_to_tensor(wave((2, 4)))
    wrapped(inputs)
    kernel, u = (
        np.array(ops.convert_to_numpy(x)) for x in (wrapped.kernel(), wrapped.u)
    )
    wrapped(inputs)
    np.testing.assert_array_equal(u, ops.convert_to_numpy(wrapped.u))
    wrapped(inputs, training=True)
    assert not np.array_equal(u, ops.convert_to_numpy(wrapped.u))
    np.testing.assert_array_equal(kernel, ops.convert_to_numpy(wrapped.kernel()))
    assert [v.name for v in wrapped.trainable_variables] == ["kernel", "bias"]


def test_a_layer_with_an_activation_is_refused():
    with pytest.raises(ValueError, match="activation"):
        SpectralNormalization(layers.Dense(3, activation="relu"))


def test_it_is_saved_with_its_vector(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, SpectralNormalization(layers.Dense(3))(inputs))
    model(wave((2, 4)), training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (a, b)))
