"""Layers that Keras lacks, and those that kzoo has faster kernels for."""

import keras
import numpy as np
import pytest
from conftest import wave
from keras import layers, ops

import kzoo
from kzoo import backend
from kzoo.layers import (
    ConditionalBatchNormalization,
    SelfAttention,
    SpectralNormalization,
)


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


def gradients(layer, inputs):
    """Outputs, new state, and gradients by inputs and each weight, as numpy arrays."""
    trainable = [v.value for v in layer.trainable_variables]
    state = [v.value for v in layer.non_trainable_variables]
    arguments = {"training": True} if state else {}

    def weighed(x, weights):
        outputs, _ = layer.stateless_call(weights, state, x, **arguments)
        return outputs * ops.convert_to_tensor(wave(outputs.shape)) ** 2

    outputs, state = layer.stateless_call(trainable, state, inputs, **arguments)
    found = [outputs, *state]
    found.append(backend.input_gradient(lambda x: weighed(x, trainable), inputs))
    for i, weight in enumerate(trainable):

        def by_weight(x, i=i):
            return weighed(inputs, [*trainable[:i], x, *trainable[i + 1 :]])

        found.append(backend.input_gradient(by_weight, ops.stop_gradient(weight)))
    return [ops.convert_to_numpy(ops.stop_gradient(x)) for x in found]


CONVOLUTIONS = [
    {"kernel_size": 3, "strides": 2, "padding": "same"},
    {"kernel_size": 4, "strides": 2, "padding": "same", "activation": "relu"},
    {"kernel_size": (5, 2), "strides": (2, 1), "padding": "same", "use_bias": False},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": 3, "strides": 2},
    {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
]
# Not all processors have a kernel of TensorFlow's that dilates a transposed one.
TRANSPOSED = (
    CONVOLUTIONS[:-1] if keras.backend.backend() == "tensorflow" else CONVOLUTIONS
)
TRANSPOSED = [*TRANSPOSED, {**CONVOLUTIONS[0], "output_padding": 1}]
NORMALIZATIONS = [
    {"momentum": 0.9, "epsilon": 1e-5},
    {"scale": False},
    {"scale": False, "center": False},
    {"axis": 1},
]


@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
@pytest.mark.parametrize(
    "name, arguments",
    [("Conv2D", {"filters": 4, **a}) for a in CONVOLUTIONS]
    + [("Conv2D", {"filters": 6, "groups": 3, **CONVOLUTIONS[0]})]
    + [("Conv2DTranspose", {"filters": 4, **a}) for a in TRANSPOSED]
    + [("BatchNormalization", a) for a in NORMALIZATIONS],
)
def test_faster_layers_are_those_of_keras(name, arguments, size):
    inputs = ops.convert_to_tensor(2 + wave((3, *size, 3)))
    found = []
    for module in (kzoo.layers, layers):
        layer = getattr(module, name)(**arguments)
        layer.build(inputs.shape)
        for variable in layer.variables:
            variable.assign(1.5 + wave(variable.shape))
        found.append(gradients(layer, inputs))
        assert tuple(layer.compute_output_shape(inputs.shape)) == found[-1][0].shape
    for ours, theirs in zip(*found, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * scale)
    assert (
        layer.get_config()
        == getattr(kzoo.layers, name).from_config(layer.get_config()).get_config()
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_a_convolution_of_pixels_by_strides_is_one_of_some_pixels(size, padding):
    """Keras's own, on PyTorch, may crash here."""
    inputs = ops.convert_to_tensor(2 + wave((3, *size, 3)))
    some = ops.convert_to_tensor(2 + wave((3, *size, 3)))[:, ::2, ::3]
    ours = kzoo.layers.Conv2D(4, 1, (2, 3), padding)
    theirs = layers.Conv2D(4, 1)
    for layer in (ours, theirs):
        layer.build(inputs.shape)
        for variable in layer.variables:
            variable.assign(1.5 + wave(variable.shape))
    found, expected = gradients(ours, inputs), gradients(theirs, some)
    found[1] = found[1][:, ::2, ::3]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


@pytest.mark.parametrize(
    "name, arguments, shape",
    [
        ("BatchNormalization", {}, (8, 3)),
        ("Conv2D", {"filters": 4, **CONVOLUTIONS[0]}, (2, 6, 5, 3)),
        ("Conv2DTranspose", {"filters": 4, **CONVOLUTIONS[1]}, (2, 3, 4, 3)),
    ],
)
def test_faster_layers_can_be_differentiated_twice(name, arguments, shape):
    found = []
    for module in (kzoo.layers, layers):
        layer = getattr(module, name)(**arguments)
        layer.build(shape)
        found.append(slopes_of_slopes(layer, ops.convert_to_tensor(wave(shape))))
    for ours, theirs in zip(*found, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * scale)


def slopes_of_slopes(layer, inputs):
    """The derivatives of a squared slope by the inputs and by the first weight."""
    first, *others = [
        ops.convert_to_tensor(1 + wave(v.shape)) for v in layer.trainable_variables
    ]
    state = [v.value for v in layer.non_trainable_variables]
    arguments = {"training": True} if state else {}

    def squared_slope(x, weight):
        def cubed(x):
            weights = [weight, *others]
            return layer.stateless_call(weights, state, x, **arguments)[0] ** 3

        return backend.input_gradient(cubed, x) ** 2

    by_inputs = backend.input_gradient(lambda x: squared_slope(x, first), inputs)
    by_weight = backend.input_gradient(lambda w: squared_slope(inputs, w), first)
    return [ops.convert_to_numpy(x) for x in (by_inputs, by_weight)]


def on_images(training=True, moved=False):
    """A conditional layer's output of five images; `moved` from its initial weights."""
    layer = ConditionalBatchNormalization(3)
    images, labels = ops.convert_to_tensor(wave((5, 4, 4, 2))), [0, 1, 2, 1, 0]
    layer.build((5, 4, 4, 2), (5,))
    for variable in layer.trainable_variables if moved else ():
        variable.assign(wave(variable.shape, phase=len(variable.name)))
    outputs = layer(images, ops.convert_to_tensor(labels), training=training)
    return layer, images, labels, ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_normalization_starts_as_the_plain_one(training):
    layer, images, _, outputs = on_images(training)
    plain = layers.BatchNormalization(momentum=0.9, epsilon=2e-5)
    expected = ops.convert_to_numpy(plain(images, training=training))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    averages = zip(
        layer.non_trainable_variables, plain.non_trainable_variables, strict=True
    )
    for a, b in averages:
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (a, b)), rtol=1e-5)


def test_each_class_has_its_gain_and_bias():
    layer, images, labels, outputs = on_images(moved=True)
    images = ops.convert_to_numpy(images)
    scaled = images - images.mean(axis=(0, 1, 2))
    scaled /= np.sqrt(images.var(axis=(0, 1, 2)) + 2e-5)
    gain, bias = (ops.convert_to_numpy(w)[labels] for w in (layer.gain, layer.bias))
    assert gain.shape == (5, 2) and not np.allclose(gain[0], gain[1])
    expected = gain[:, None, None] * scaled + bias[:, None, None]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)


def test_conditional_batch_normalization_is_saved(tmp_path):
    images, labels = keras.Input((4, 4, 2)), keras.Input((), dtype="int32")
    layer = ConditionalBatchNormalization(3, momentum=0.5, epsilon=1e-3)
    model = keras.Model([images, labels], layer(images, labels))
    layer.gain.assign(wave((3, 2)))
    batch = [wave((3, 4, 4, 2)), np.arange(3)]
    model(batch, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected, received = (ops.convert_to_numpy(m(batch)) for m in (model, again))
    np.testing.assert_array_equal(received, expected)
    assert again.layers[-1].get_config() == layer.get_config()


def test_self_attention_is_the_papers_equations():
    inputs = wave((2, 3, 4, 8))
    layer = SelfAttention(reduction=4)
    start = ops.convert_to_numpy(layer(inputs))
    np.testing.assert_array_equal(start, inputs)  # the gain is 0
    layer.gain.assign(0.7)
    kernels = {}
    for i, name in enumerate(("key", "query", "value", "output")):
        kernel = getattr(layer, f"{name}_layer").kernel
        kernels[name] = wave(kernel.shape, phase=i)
        kernel.assign(kernels[name])
    pixels = inputs.reshape(2, 12, 8)
    expected = np.empty_like(pixels)
    for image, x in enumerate(pixels):
        scores = np.exp((x @ kernels["query"]) @ (x @ kernels["key"]).T)
        attention = scores / scores.sum(axis=1, keepdims=True)
        seen = attention @ (x @ kernels["value"]) @ kernels["output"]
        expected[image] = x + 0.7 * seen
    got = ops.convert_to_numpy(layer(inputs)).reshape(2, 12, 8)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_self_attention_normalises_its_four_kernels():
    layer = SelfAttention(spectral=True)
    layer.build((None, 4, 4, 8))
    vectors = [w for w in layer.non_trainable_variables if w.name == "u"]
    assert sorted(tuple(v.shape) for v in vectors) == [(1,), (1,), (1,), (8,)]
    before = ops.convert_to_numpy(layer.output_layer.u)
    layer(wave((2, 4, 4, 8)), training=True)
    assert not np.allclose(before, ops.convert_to_numpy(layer.output_layer.u))
