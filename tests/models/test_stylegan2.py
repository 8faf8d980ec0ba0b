"""StyleGAN2."""

import itertools

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled, variants
from conftest import wave
from keras import ops

from kzoo.layers import MinibatchStandardDeviation
from kzoo.models import StyleGAN2
from kzoo.models.stylegan2 import path_lengths
from kzoo.networks import DCGANNetworks, StyleGANNetworks
from kzoo.networks.modulation import (
    EqualizedConv2D,
    EqualizedDense,
    ModulatedConv2D,
    StyledConv2D,
    scaled_leaky_relu,
)
from kzoo.networks.stylegan import HalvingConv2D, stylegan_widths
from kzoo.parts import R1, Hinge


def networks(widths, mapping_layers=1, **settings):
    return StyleGANNetworks(widths, mapping_layers, noisy=True, **settings)


# Heavy penalties, so that the numbers depend on them and on their gradients. No memory
# in the average of the weights, as the first ones are drawn at random.
MAKE = {
    "plain": lambda: StyleGAN2(
        (8, 8, 1),
        3,
        networks((4, 3), 2, mapping_rate=1.0),
        penalty=R1(1.0, every=2),
        path_weight=20.0,
        path_every=2,
        ema=0.0,
    ),
    "conditional": lambda: StyleGAN2(
        (4, 6, 3),
        2,
        networks((3,), mapping_rate=1.0),
        penalty=R1(1.0, every=2),
        path_weight=20.0,
        psi=0.7,
        ema=None,
        num_classes=3,
    ),
}


@pytest.mark.every_backend
def test_stylegan2_conforms(tmp_path):
    check_model(MAKE["conditional"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="conditional"))
def test_every_backend_trains_alike(variant, golden):
    """With weights of the variance that they are drawn with."""
    check_golden(MAKE[variant], golden, variant, scale=1.4)


def generator_size(shape, latent_dim, widths, depth, classes=None):
    height, width, channels = np.array(shape) // [*[2 ** (len(widths) - 1)] * 2, 1]
    size = depth * latent_dim * (latent_dim + 1) + height * width * widths[0]
    if classes:
        size += latent_dim * (classes + latent_dim)
    pairs = [(widths[0],) * 2]
    for before, after in itertools.pairwise(widths):
        pairs += [(before, after), (after, after)]
    # Kernel, bias, strength of the noise, style; then the same of the images.
    size += sum(9 * a * b + b + 1 + (latent_dim + 1) * a for a, b in pairs)
    return size + sum(a * channels + channels + (latent_dim + 1) * a for a in widths)


def discriminator_size(shape, widths, classes=None):
    height, width, channels = np.array(shape) // [*[2 ** (len(widths) - 1)] * 2, 1]
    size, first = (channels + 1) * widths[-1], widths[0]
    for b, a in itertools.pairwise(widths):
        size += (9 * a + 1) * a + (9 * a + 1) * b + a * b
    size += (9 * (first + 1) + 1) * first + (height * width * first + 1) * first
    return size + ((first + 1 + classes) * first if classes else first + 1)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "last, generator, discriminator",
    [((512, 256, 128, 64, 32), 30, 29), ((256, 128, 64, 32, 16), 25, 24)],
)
def test_the_papers_models_have_the_papers_sizes(last, generator, discriminator):
    """Section 4.1, in millions: configuration F and, half as wide at the end, E."""
    shape, widths = (1024, 1024, 3), (*(512,) * 4, *last)
    assert round(generator_size(shape, 512, widths, 8) / 1e6) == generator
    assert round(discriminator_size(shape, widths) / 1e6) == discriminator


@pytest.mark.one_backend
@pytest.mark.parametrize("classes", [None, 5])
def test_networks_have_the_size_of_the_formula(classes):
    shape, widths = (8, 12, 3), (8, 5, 4)
    model = StyleGAN2(shape, 7, networks(widths, 3), num_classes=classes)
    size = generator_size(shape, 7, widths, 3, classes)
    assert model.generator.count_params() == size
    size = discriminator_size(shape, widths, classes)
    assert model.discriminator.count_params() == size


def convolved(x, kernel):
    """One image `(h, w, inputs)` by `(3, 3, inputs, outputs)`, zeros around it."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return sum(
        padded[i : i + height, j : j + width] @ kernel[i, j]
        for i in range(3)
        for j in range(3)
    )


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_gives_each_image_weights_of_its_own(demodulate):
    layer = ModulatedConv2D(4, 3, demodulate=demodulate)
    x, style = wave((3, 5, 6, 2)), wave((3, 7), phase=1)
    layer(x, style)
    for i, weight in enumerate(layer.weights):
        weight.assign(wave(weight.shape, phase=i))
    scale = np_of(layer.affine(style))
    for image, s, got in zip(x, scale, np_of(layer(x, style)), strict=True):
        weights = s[:, None] * np_of(layer.convolution.kernel) / 18**0.5
        if demodulate:
            weights /= np.sqrt(np.square(weights).sum(axis=(0, 1, 2)) + 1e-8)
        expected = convolved(image, weights) + np_of(layer.bias)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_demodulated_outputs_keep_unit_variance_whatever_the_style():
    layer = ModulatedConv2D(6, 3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 64, 64, 5), "float32")
    outputs = np_of(layer(x, 3 * rng.standard_normal((3, 4), "float32")))
    deviations = outputs[:, 1:-1, 1:-1].std(axis=(1, 2))
    np.testing.assert_allclose(deviations, 1, atol=0.1)


def test_noise_has_no_effect_at_first_and_then_that_of_its_strength():
    layer = StyledConv2D(2, 3)
    x, style, noise = wave((2, 4, 4, 3)), wave((2, 5)), wave((2, 4, 4, 1), phase=1)
    without = np_of(layer(x, style))
    np.testing.assert_array_equal(np_of(layer(x, style, noise)), without)
    layer.strength.assign(0.5)
    linear = np.where(without > 0, without, 5 * without) / 2**0.5 + 0.5 * noise
    np.testing.assert_allclose(
        np_of(layer(x, style, noise)), np_of(scaled_leaky_relu(linear)), atol=1e-5
    )


@pytest.mark.parametrize("n", [1, 2, 4, 5, 8, 11])
def test_minibatch_standard_deviation_is_that_of_each_group(n):
    x = wave((n, 3, 2, 4))
    got = np_of(MinibatchStandardDeviation()(x))
    np.testing.assert_array_equal(got[..., :4], x)
    groups = -(-n // 4)
    for i in range(n):
        expected = x[i % groups :: groups].std(axis=0).mean()
        np.testing.assert_allclose(got[i, ..., 4], expected, atol=2e-4)


@pytest.mark.full
def test_batches_may_have_any_size():
    model = compiled(MAKE["conditional"])
    history = model.fit(*batch(model, 7), batch_size=4, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())


def test_equalized_weights_are_scaled_where_they_are_used():
    dense, x = EqualizedDense(3, rate=0.01), wave((2, 4))
    dense(x)
    assert 30 < np_of(dense.kernel).std() < 300  # N(0, 1 / rate²)
    dense.set_weights([wave((4, 3)), wave((3,), phase=1)])
    expected = 0.01 * (x @ wave((4, 3)) / 2 + wave((3,), phase=1))
    np.testing.assert_allclose(np_of(dense(x)), expected, atol=1e-7)

    convolution, x = EqualizedConv2D(3, 3, use_bias=False), wave((2, 5, 4, 2))
    convolution(x)
    kernel = np_of(convolution.kernel)
    expected = [convolved(image, kernel / 18**0.5) for image in x]
    np.testing.assert_allclose(np_of(convolution(x)), expected, atol=1e-5)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_a_step_of_adam_moves_equalized_weights_by_their_own_rate(rate):
    model = MAKE["plain"]()
    inputs = keras.Input((4,))
    dense = EqualizedDense(3, rate=rate, use_bias=False)
    model.generator = keras.Model(inputs, dense(inputs))
    model.compile()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(dense.trainable_variables)
    model.optimizer.members["generator"] = optimizer
    before = np_of(dense(np.eye(4)))

    def loss():
        value = ops.sum(dense(ops.eye(4)))
        return value, {"loss": value}

    model.minimize(loss, over="generator")
    moved = before - np_of(dense(np.eye(4)))
    np.testing.assert_allclose(moved, 0.1 * rate / 2, rtol=1e-2)


def test_mapping_sees_only_the_direction_of_the_latents():
    mapping = MAKE["plain"]().generator.get_layer("mapping")
    latents = wave((4, 3))
    styles = np_of(mapping(latents))
    np.testing.assert_allclose(np_of(mapping(7 * latents)), styles, rtol=1e-4)
    layer = mapping.layers[-2]
    identity = keras.Model(mapping.inputs, layer.input)
    assert np.abs(np_of(identity(latents)) - styles).max() > 1e-3


def styles(model, latents, training=True):
    return np_of(model.styles(ops.convert_to_tensor(latents), None, training))


def test_mixing_takes_later_styles_from_other_latents():
    latents = wave((200, 3))
    model = StyleGAN2((8, 8, 1), 3, networks((4, 4), 2), mixing=0.5)
    own = styles(model, latents, training=False)
    assert own.shape == (200, 4, 3) and (own == own[:, :1]).all()
    same = (styles(model, latents) == own).all(axis=-1)
    assert same[:, 0].all()
    assert not (same[:, 1:] & ~same[:, :-1]).any()  # none returns to its own
    assert 70 < same[:, -1].sum() < 130  # about half are not mixed
    crossovers = same[~same[:, -1]].sum(axis=1)
    assert set(crossovers) == {1, 2, 3}
    model.mixing = 0
    np.testing.assert_array_equal(styles(model, latents), own)


def test_every_style_shapes_the_image_and_the_last_only_its_colours():
    model = StyleGAN2((8, 8, 1), 3, networks((4, 4)))
    synthesis = model.generator.get_layer("synthesis")
    given = wave((2, 4, 3))
    image, changed = np_of(synthesis(given)), []
    for i in range(4):
        other = given.copy()
        other[:, i] = 1
        changed.append(np.abs(np_of(synthesis(other)) - image).max())
    assert min(changed) > 1e-3
    for weight in synthesis.to_images[-1].weights:
        weight.assign(np.zeros(weight.shape))
    other = given.copy()
    other[:, -1] = 1
    same = np_of(synthesis(given))
    np.testing.assert_allclose(np_of(synthesis(other)), same, atol=1e-6)


def test_path_lengths_of_a_linear_generator_are_those_of_its_matrix():
    matrix = wave((2 * 3, 4 * 6 * 1))  # two convolutions, three features
    given, direction = wave((5, 2, 3)), wave((5, 4, 6, 1), phase=1)

    def synthesize(styles):
        images = ops.matmul(ops.reshape(styles, (5, 6)), matrix)
        return ops.reshape(images, (5, 4, 6, 1))

    got = path_lengths(synthesize, *map(ops.convert_to_tensor, (given, direction)))
    gradients = direction.reshape(5, -1) @ matrix.T / 24**0.5
    expected = np.sqrt(np.square(gradients).sum(axis=1) / 2)
    np.testing.assert_allclose(np_of(got), expected, rtol=1e-5)


def test_the_mean_length_starts_at_the_first_and_then_keeps_99_percent():
    model = MAKE["plain"]()
    lengths = ops.convert_to_tensor([1.0, 3.0])
    penalty, mean = map(np_of, model.deviation(lengths, 100.0, 0))
    assert (penalty, mean) == pytest.approx((model.path_every * 1.0, 2.0))
    penalty, mean = map(np_of, model.deviation(lengths, 12.0, 10_000))
    expected = (10.9**2 + 8.9**2) / 2
    assert mean == pytest.approx(11.9)
    assert penalty == pytest.approx(model.path_every * expected)


def test_path_lengths_are_measured_every_few_steps():
    model = compiled(lambda: StyleGAN2((4, 4, 1), 2, networks((2,)), path_every=3))
    images, _ = batch(model, 4)
    means = []
    for _ in range(4):
        model.fit(images, batch_size=4, verbose=0)
        means.append(float(np_of(model.mean_length)))
    assert 0 < means[0] == means[1] == means[2] != means[3]


def test_path_length_can_be_minimised():
    """A step changes it by as much as its own gradient predicts."""
    # So large that float32 tells the change from its rounding.
    rates = {n: keras.optimizers.SGD(1e-3) for n in ("discriminator", "generator")}
    model = compiled(MAKE["plain"], optimizer=rates)
    for i, variable in enumerate(model.generator.trainable_variables):
        variable.assign(0.5 * wave(variable.shape, phase=i) + 0.5)
    synthesis = model.generator.get_layer("synthesis")
    latents, direction = (
        ops.convert_to_tensor(wave(shape)) for shape in ((4, 3), (4, 8, 8, 1))
    )

    def loss():
        given = model.styles(latents, None, training=False)
        lengths = path_lengths(synthesis, given, direction)
        value = ops.mean(ops.square(lengths - 3.0))
        return value, {"penalty": value}

    weights = model.generator.trainable_variables
    before = [np_of(w) for w in weights]
    start = float(model.minimize(loss, over="generator")["penalty"])
    steps = [np_of(w) - old for w, old in zip(weights, before, strict=True)]
    assert sum(np.abs(step).max() > 0 for step in steps) > len(steps) / 2
    predicted = sum(np.square(step).sum() for step in steps) / 1e-3
    assert start - float(np_of(loss()[0])) == pytest.approx(predicted, rel=0.05)


def test_truncation_pulls_samples_to_the_mean_style(tmp_path):
    model = StyleGAN2((4, 4, 1), 2, networks((4,)), ema=None)
    model.mean_style.assign(wave((2,)))
    full = model.sample(5, seed=0)
    raw = np_of(model.generator(model.draw_latents(5, seed=0)))
    np.testing.assert_allclose(full, raw.clip(0, 1), atol=1e-6)
    model.psi = 0.5
    assert model.sample(5, seed=0).std(axis=0).mean() < full.std(axis=0).mean()
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").psi == 0.5
    model.psi = 0
    mean = model.generator.get_layer("synthesis")(np.tile(wave((2,)), (1, 2, 1)))
    expected = np.repeat(np_of(mean).clip(0, 1), 5, axis=0)
    np.testing.assert_allclose(model.sample(5, seed=0), expected, atol=1e-6)


def test_the_mean_style_is_a_moving_average():
    model = MAKE["plain"]()
    model.mean_style.assign(np.full(3, 100.0))
    latents = ops.convert_to_tensor(wave((8, 3)))
    model.mixing = 0
    mean = styles(model, latents, training=False).mean(axis=(0, 1))
    model.fakes(latents, None, training=False)
    assert (np_of(model.mean_style) == 100).all()
    model.fakes(latents, None, training=True)
    np.testing.assert_allclose(np_of(model.mean_style), 99.5 + 0.005 * mean, rtol=1e-5)


def test_blur_and_stride_come_before_bias_and_activation():
    layer = HalvingConv2D(3, 3, activation=scaled_leaky_relu)
    x = wave((2, 6, 8, 2))
    assert layer.compute_output_shape((None, 6, 8, 2)) == (None, 3, 4, 3)
    layer(x)
    layer.set_weights([wave((3, 3, 2, 3)), wave((3,), phase=1)])
    taps = np.float32([1, 3, 3, 1]) / 8
    for image, got in zip(x, np_of(layer(x)), strict=True):
        linear = convolved(image, wave((3, 3, 2, 3)) / 18**0.5)
        padded = np.pad(linear, ((1, 1), (1, 1), (0, 0)), "edge")
        shrunk = sum(
            taps[i] * taps[j] * padded[i : i + 5 : 2, j : j + 7 : 2]
            for i in range(4)
            for j in range(4)
        )
        expected = np_of(scaled_leaky_relu(shrunk + wave((3,), phase=1)))
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_penalties_can_be_left_out():
    model = compiled(
        lambda: StyleGAN2((4, 4, 1), 2, networks((2,)), path_weight=0, penalty=[])
    )
    assert set(model.fit(batch(model, 4)[0], verbose=0).history) == {
        "discriminator_loss",
        "generator_loss",
    }


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "shape, widths",
    [
        ((8, 8, 1), (64, 64)),
        ((28, 28, 1), (64, 32, 16)),
        ((32, 24, 3), (64, 64, 32, 16)),
        ((128, 128, 3), (64, 64, 32, 16, 16, 16)),
        ((5, 5, 1), (64,)),
    ],
)
def test_default_widths(shape, widths):
    assert stylegan_widths(shape) == widths


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_shape": (28, 28)}, "image_shape"),
        (
            {"image_shape": (6, 6, 1), "architecture": networks((8, 8, 8))},
            "divisible by 4",
        ),
        ({"path_every": 0}, "path_every"),
        ({"generator": keras.Sequential()}, "generator"),
        ({"architecture": StyleGANNetworks((4,))}, "noisy=True"),
        ({"architecture": DCGANNetworks((4,))}, "`mapping` and `synthesis`"),
        ({"penalty": "r3"}, "'r1', 'r2'"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        StyleGAN2(**{"image_shape": (8, 8, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: StyleGANNetworks(mapping_layers=0), "mapping_layers"),
        (lambda: StyleGANNetworks(()), "widths"),
    ],
)
def test_wrong_settings_of_networks_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)


@pytest.mark.one_backend
def test_the_papers_defaults():
    model = StyleGAN2((4, 4, 1))
    assert model.architecture == StyleGANNetworks(noisy=True)
    (penalty,) = model.penalty
    assert isinstance(penalty, R1) and (penalty.weight, penalty.every) == (1.0, 16)
    assert StyleGAN2((4, 4, 1), 2, networks((4,)), loss="hinge").loss == Hinge()


def test_a_generator_of_your_own_with_the_layers_of_the_networks(tmp_path):
    own = networks((2,)).generator((4, 4, 1), 2)

    def make():
        return StyleGAN2((4, 4, 1), 2, generator=own, architecture=networks((2,)))

    model = compiled(make)
    assert model.generator is own
    model.fit(batch(model, 4)[0], batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.sample(3, seed=0), model.sample(3, seed=0))


def np_of(tensor):
    return np.array(ops.convert_to_numpy(tensor))
