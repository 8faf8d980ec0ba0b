"""VQ-VAE: its quantisers, its PixelCNN prior and the model."""

import itertools

import keras
import numpy as np
import pytest
from conformance import (
    assert_same_state,
    batch,
    check_golden,
    check_model,
    check_own_networks,
    compiled,
    fit,
    variants,
)
from conftest import wave
from keras import layers, ops

from kzoo import backend
from kzoo.callbacks import Checkpoint, SampleGrid
from kzoo.models import VQVAE
from kzoo.networks.pixelcnn import PixelCNN, chosen
from kzoo.networks.vqvae import ConvGridNetworks, ResidualGridNetworks
from kzoo.parts.quantizers import (
    FiniteScalar,
    GradientCodebook,
    LookupFree,
    MovingAverageCodebook,
    ResidualCodebooks,
    perplexity,
)

CODEBOOKS = {"ema": MovingAverageCodebook, "gradient": GradientCodebook}
CONV = ConvGridNetworks((4, 4))
MAKE = {
    "gradient": lambda: VQVAE(
        (8, 8, 3), GradientCodebook(6, 2), ResidualGridNetworks((6,))
    ),
    "fsq": lambda: VQVAE((8, 4, 1), FiniteScalar((4, 3)), CONV, "bernoulli"),
    "rq": lambda: VQVAE((8, 8, 1), ResidualCodebooks(4, 3, 2), CONV, "bernoulli"),
    "lfq": lambda: VQVAE((8, 4, 1), LookupFree(8), CONV, "bernoulli"),
    "ema": lambda: VQVAE(
        (4, 4, 1),
        MovingAverageCodebook(4, 2),
        ConvGridNetworks((4,)),
        "bernoulli",
        num_classes=3,
    ),
}


# XLA takes long to compile a PixelCNN on TensorFlow, and little is trained here.
QUICK = {"jit_compile": keras.backend.backend() == "jax"}


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def plain():
    return VQVAE((8, 8, 1), MovingAverageCodebook(5, 3), ConvGridNetworks((4, 6)))


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="ema"))
def test_vqvae_conforms(variant, tmp_path):
    check_model(MAKE[variant], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="ema"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, encoder, decoder",
    [
        # two strided convolutions, two residual blocks, all of 256 units: section 4.1
        ({}, 2_381_376, 2_512_385),
        # 32-64 with vectors of 16, as in the example of keras.io
        (
            {"architecture": "conv", "quantizer": MovingAverageCodebook(dim=16)},
            19_856,
            28_033,
        ),
    ],
)
def test_sizes_of_the_literature(arguments, encoder, decoder):
    model = VQVAE((28, 28, 1), **arguments)
    assert model.grid == (7, 7) and model.quantizer.size == 512
    assert model.latent_dim == 49 * model.quantizer.dim
    assert model.encoder.count_params() == encoder
    assert model.decoder.count_params() == decoder


def codebook(quantizer="ema", size=5, dim=3, **arguments):
    layer = CODEBOOKS[quantizer](size, dim, **arguments)
    layer.table.assign(wave((size, dim)))
    return layer


def nearest(vectors, table):
    distances = np.square(vectors[..., None, :] - table).sum(axis=-1)
    return distances.argmin(axis=-1)


@pytest.mark.parametrize("quantizer", CODEBOOKS)
def test_the_nearest_code_is_chosen(quantizer):
    layer, vectors = codebook(quantizer, size=40), wave((6, 5, 4, 3), 0.4)
    codes, table = nearest(vectors, numpy(layer.table)), numpy(layer.table)
    quantised, got, _ = layer(ops.convert_to_tensor(vectors))
    np.testing.assert_array_equal(numpy(got), codes)
    np.testing.assert_allclose(numpy(quantised), table[codes], atol=1e-6)
    np.testing.assert_array_equal(numpy(layer.nearest(table)), np.arange(40))
    np.testing.assert_array_equal(numpy(layer.lookup(codes)), table[codes])


def gradient(function, x):
    return numpy(backend.input_gradient(function, ops.convert_to_tensor(x)))


@pytest.mark.parametrize("quantizer", CODEBOOKS)
def test_gradients_go_straight_through_and_commit(quantizer):
    layer, vectors = codebook(quantizer, commitment=0.3), wave((2, 3, 3, 3), 0.4)
    weights, chosen = wave(vectors.shape, 0.9), nearest(vectors, numpy(layer.table))
    factors = ops.convert_to_tensor(weights)
    straight = gradient(lambda x: layer(x)[0] * factors, vectors)
    np.testing.assert_allclose(straight, weights, rtol=1e-6)
    commitment = gradient(lambda x: layer(x)[2], vectors)
    expected = 2 * 0.3 * (vectors - numpy(layer.table)[chosen])
    np.testing.assert_allclose(commitment, expected, atol=1e-5)


def test_a_codebook_learns_by_equation_3():
    layer, vectors = codebook("gradient"), wave((2, 3, 3, 3), 0.4)
    table = numpy(layer.table)
    codes = nearest(vectors, table)
    _, _, loss = layer(ops.convert_to_tensor(vectors))
    squared = np.square(vectors - table[codes]).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(numpy(loss), 1.25 * squared, rtol=1e-5)
    model = keras.Sequential([keras.Input((3, 3, 3)), OnlyTheLoss(layer)])
    model.compile(keras.optimizers.SGD(0.5), lambda _, loss: ops.sum(loss))
    model.train_on_batch(vectors, np.zeros(2))
    expected = table.copy()
    for vector, code in zip(vectors.reshape(-1, 3), codes.flat, strict=True):
        expected[code] += vector - table[code]
    np.testing.assert_allclose(numpy(layer.table), expected, atol=1e-5)


class OnlyTheLoss(layers.Layer):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, vectors):
        return self.layer(vectors)[2]


def test_a_codebook_of_moving_averages_learns_as_in_appendix_a1():
    layer = codebook(decay=0.7, dead_below=0.0)
    layer.counts.assign(np.arange(1, 6))
    layer.sums.assign(wave((5, 3), 1.0))
    counts, sums, table = map(numpy, (layer.counts, layer.sums, layer.table))
    for step in range(3):
        vectors = wave((2, 2, 2, 3), step)
        flat, codes = vectors.reshape(-1, 3), nearest(vectors, table).ravel()
        counts, sums = 0.7 * counts, 0.7 * sums
        for vector, code in zip(flat, codes, strict=True):
            counts[code] += 0.3
            sums[code] += 0.3 * vector
        table = sums / counts[:, None]
        layer(ops.convert_to_tensor(vectors), training=True, draws=np.zeros(5, "f4"))
        np.testing.assert_allclose(numpy(layer.counts), counts, rtol=1e-5)
        np.testing.assert_allclose(numpy(layer.table), table, rtol=1e-4, atol=1e-5)
    layer(ops.convert_to_tensor(wave((2, 2, 2, 3))))  # outside training nothing moves
    np.testing.assert_allclose(numpy(layer.table), table, rtol=1e-4, atol=1e-5)


def test_dead_codes_take_a_place_in_the_batch():
    layer = codebook(decay=0.5, dead_below=0.3)
    layer.table.assign([[9, 9, 9], [0, 0, 0], [8, 8, 8], [7, 7, 7], [-9, 0, 0]])
    layer.counts.assign([1, 1, 0.5, 0.7, 0.1])
    layer.sums.assign(layer.counts[:, None] * layer.table)
    vectors = 0.1 * wave((1, 2, 2, 3))
    draws = np.array([0, 0, 0.3, 0.6, 0.99], "f4")
    layer(ops.convert_to_tensor(vectors), training=True, draws=draws)
    table, flat = numpy(layer.table), vectors.reshape(-1, 3)
    np.testing.assert_allclose(table[0], 9, rtol=1e-6)  # 0.5 a step: alive
    np.testing.assert_allclose(table[1], flat.mean(axis=0) * 2 / 2.5, rtol=1e-5)
    np.testing.assert_allclose(table[[2, 4]], flat[[1, 3]], rtol=1e-6)
    np.testing.assert_allclose(table[3], 7, rtol=1e-6)
    np.testing.assert_allclose(numpy(layer.counts), [0.5, 2.5, 1, 0.35, 1])


def test_the_first_fit_starts_the_codebook_by_k_means():
    model = compiled(plain)
    images, _ = batch(model)
    model.start_quantizer(images)
    vectors = numpy(model.vectors(ops.convert_to_tensor(images))).reshape(-1, 3)
    table = numpy(model.quantizer.table)
    codes = nearest(vectors, table)
    centres = [vectors[codes == code].mean(axis=0) for code in range(5)]
    np.testing.assert_allclose(table, centres, atol=1e-5)
    other = compiled(plain, optimizer=keras.optimizers.SGD(0.0))
    other.quantizer.decay = 1 - 1e-9
    fit(other)
    assert_close = np.testing.assert_allclose
    assert_close(numpy(other.quantizer.table), table, rtol=1e-5, atol=1e-6)
    started = numpy(other.quantizer.table)
    other.fit(images[:3], verbose=0)
    assert_close(numpy(other.quantizer.table), started, rtol=1e-5)


@pytest.mark.parametrize("data", ["few", "data set", "iterator"])
def test_whatever_the_data_the_codebook_starts_among_the_vectors(data):
    model = compiled(
        lambda: VQVAE((4, 4, 1), MovingAverageCodebook(9, 2), ConvGridNetworks((3,)))
    )
    images = batch(model)[0][:2]
    sources = {
        "few": images,
        "data set": ListOf([(images,)] * 3),
        "iterator": ((images,) for _ in range(3)),
    }
    model.fit(sources[data], epochs=1, verbose=0)
    assert numpy(model.quantizer.counts).min() > 0.1
    vectors = numpy(model.vectors(ops.convert_to_tensor(images))).reshape(-1, 2)
    table = numpy(model.quantizer.table)
    assert np.abs(table[:, None] - vectors).sum(axis=-1).min(axis=1).max() < 0.1
    model.quantizer.start = None  # may not be called again
    model.fit(images, verbose=0)


class ListOf(keras.utils.PyDataset):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, i):
        return self.batches[i]


@pytest.mark.parametrize("levels", [(8, 5), (2, 3, 4)])
def test_fsq_uses_every_code_and_no_other(levels):
    layer = FiniteScalar(levels)
    axes = [np.linspace(-6, 6, 41)] * len(levels)
    vectors = np.stack(np.meshgrid(*axes), axis=-1).reshape(1, 1, -1, len(levels))
    quantised, codes, loss = layer(ops.convert_to_tensor(vectors.astype("float32")))
    quantised, codes = numpy(quantised), numpy(codes)
    assert set(codes.flat) == set(range(layer.size)) and layer.size == np.prod(levels)
    assert quantised.min() >= -1 and quantised.max() <= 1 and not numpy(loss).any()
    for i, n in enumerate(levels):
        values = (np.arange(n) - n // 2) / (n // 2)
        np.testing.assert_allclose(np.unique(quantised[..., i].round(5)), values)
    np.testing.assert_allclose(numpy(layer.lookup(codes)), quantised, atol=1e-6)
    again = layer.nearest(ops.convert_to_tensor(quantised))
    np.testing.assert_array_equal(numpy(again), codes)
    zeros = np.zeros((1, 1, 1, len(levels)), "float32")
    np.testing.assert_array_equal(numpy(layer(zeros)[0]), zeros)


def test_fsq_passes_the_gradient_of_its_bound():
    layer, vectors = FiniteScalar((5, 5)), wave((1, 2, 2, 2))
    expected = (1 - np.tanh(vectors) ** 2) * 0.999  # of tanh to +-2, over 2
    got = gradient(lambda x: layer(x)[0], vectors)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_perplexity_counts_the_codes_in_use():
    codes = np.repeat([[0, 3], [5, 5]], [2, 1], axis=0)
    share = np.array([2, 2, 2]) / 6
    got = float(perplexity(ops.convert_to_tensor(codes), 8))
    assert got == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-5)


def pixelcnn(grid, codes=3, num_classes=None, scale=1.0):
    network = PixelCNN(codes, width=4, blocks=2, num_classes=num_classes)
    inputs = np.zeros((1, *grid), "int32")
    network([inputs, np.zeros(1, "int32")] if num_classes else inputs)  # builds it
    for i, variable in enumerate(network.weights):
        variable.assign(scale * wave(variable.shape, phase=i))
    return network


def test_a_pixel_depends_on_all_pixels_before_it_and_on_no_other():
    grid = (5, 4)
    network = pixelcnn(grid)
    codes = np.random.default_rng(0).integers(3, size=(1, *grid))
    logits = numpy(network(codes))
    places = list(itertools.product(*map(range, grid)))
    for k, (i, j) in enumerate(places):
        changed = codes.copy()
        changed[0, i, j] = (codes[0, i, j] + 1) % 3
        moved = np.abs(numpy(network(changed)) - logits).max(axis=-1)[0]
        assert not any(moved[place] for place in places[: k + 1])
        assert all(moved[place] > 0 for place in places[k + 1 :])


def test_codes_are_drawn_as_often_as_their_logits_say():
    logits = ops.log(ops.convert_to_tensor([[[[0.1, 0.6, 0.3]]]]))
    draws = np.random.default_rng(0).random((20_000, 1, 1), "float32")
    codes = numpy(chosen(logits, ops.convert_to_tensor(draws)))
    share = np.bincount(codes.ravel(), minlength=3) / codes.size
    np.testing.assert_allclose(share, [0.1, 0.6, 0.3], atol=0.01)
    assert chosen(logits, ops.ones((1, 1, 1))) == 2


@pytest.mark.parametrize("num_classes", [None, 2])
def test_draws_follow_the_joint_distribution(num_classes):
    grid, n = (2, 2), 20_000
    network = pixelcnn(grid, 2, num_classes, scale=2.0)
    labels = None if num_classes is None else np.full(n, 1)
    uniform = np.random.default_rng(1).random((n, *grid), "float32")
    codes = numpy(network.draw(ops.convert_to_tensor(uniform), labels))
    every = np.array(list(itertools.product([0, 1], repeat=4)))
    inputs = every.reshape(-1, *grid)
    inputs = inputs if labels is None else [inputs, labels[: len(every)]]
    log_p = numpy(ops.log_softmax(network(inputs))).reshape(-1, 4, 2)
    log_p = np.take_along_axis(log_p, every[..., None], axis=2).sum(axis=(1, 2))
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-5)
    share = np.bincount(codes.reshape(-1, 4) @ [8, 4, 2, 1], minlength=16) / n
    np.testing.assert_allclose(share, np.exp(log_p), atol=0.012)
    assert share.max() > 3 * share.min()


def test_a_model_with_a_prior_is_saved_and_trained_on(tmp_path):
    model = compiled(MAKE["ema"], **QUICK)
    images, labels = batch(model)
    history = model.fit_prior(
        images, labels, width=4, blocks=1, epochs=2, verbose=0,
        validation_data=(images[:6], labels[:6]),
        optimizer=keras.optimizers.Adam(0.3),
        callbacks=[SampleGrid(tmp_path, rows=2)],
    )  # fmt: skip
    assert set(history.history) == {"loss", "val_loss"}
    pictures = [tmp_path / f"epoch_000{epoch}.png" for epoch in (1, 2)]
    assert pictures[0].read_bytes() != pictures[1].read_bytes()
    again = model.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(7, seed=1), model.sample(7, seed=1))
    assert_same_state(model, loaded)
    loaded.compile(**QUICK)
    prior = loaded.pixelcnn.get_weights()
    fit(loaded)
    assert all(map(np.array_equal, prior, loaded.pixelcnn.get_weights()))


@pytest.mark.full
def test_training_of_the_prior_resumes(tmp_path):
    def train(epochs, name, **arguments):
        model = compiled(MAKE["ema"], **QUICK)
        images, labels = batch(model)
        history = model.fit_prior(
            images, labels, width=4, blocks=1, epochs=epochs, batch_size=8, verbose=0,
            shuffle=False, callbacks=[Checkpoint(tmp_path / name, **arguments)],
        )  # fmt: skip
        return history.history, model.pixelcnn.get_weights()

    history, weights = train(3, "whole.keras")
    train(2, "stopped.keras")
    resumed, again = train(3, "stopped.keras", resume=True)
    assert resumed == history
    assert all(map(np.array_equal, weights, again))


SERVE = """
import sys
sys.modules["keras"] = sys.modules["kzoo"] = None  # cannot be imported
import numpy as np, tensorflow as tf
sample = tf.saved_model.load(sys.argv[1]).signatures["sample"]
images = sample(num=tf.constant(30), seed=tf.constant(1, tf.int64))["images"]
np.save(sys.argv[2], images.numpy())
"""


@pytest.mark.full
def test_the_exported_sample_draws_from_the_prior(tmp_path, python):
    model = MAKE["ema"]()
    model.quantizer.table.assign(wave(model.quantizer.table.shape))
    always = pixelcnn(model.grid, 4, num_classes=3, scale=0.0)
    always.logits.bias.assign([0, 0, 50, 0])
    model.set_pixelcnn(always)
    every = model.decode_codes(np.full((3, *model.grid), 2), np.arange(3))
    np.testing.assert_allclose(model.sample(5, labels=1), every[[1] * 5], atol=1e-6)
    model.export(tmp_path / "served", verbose=False)
    python("-c", SERVE, tmp_path / "served", tmp_path / "images.npy")
    images = np.load(tmp_path / "images.npy")
    distances = np.abs(images[:, None] - every).max(axis=(2, 3, 4))
    assert set(distances.argmin(axis=1)) == {0, 1, 2}
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-5)


def test_the_prior_learns_what_is_drawn():
    model = compiled(MAKE["ema"], **QUICK)
    _, labels = batch(model)
    flat = np.float32(labels / 2)[:, None, None, None] * np.ones((1, 4, 4, 1), "f4")
    model.fit(flat, labels, epochs=5, verbose=0)
    seen = model.codes(flat[:3], labels[:3])
    loss = model.fit_prior(
        flat, labels, width=8, blocks=1, epochs=40, verbose=0,
        optimizer=keras.optimizers.Adam(0.03),
    ).history["loss"]  # fmt: skip
    assert loss[-1] < 0.1 and loss[0] > 0.5
    latents = model.draw_latents(30, seed=0, labels=np.arange(30) % 3)
    vectors = latents.reshape(10, 3, *model.grid, model.quantizer.dim)
    right = nearest(vectors, numpy(model.quantizer.table)) == seen
    assert right.mean() > 0.9
    assert model.sample(3, seed=0, labels=1).shape == (3, 4, 4, 1)


def test_before_it_codes_are_uniform():
    model = MAKE["fsq"]()
    latents = model.draw_latents(3000, seed=0).reshape(-1, 2)
    codes = numpy(model.quantizer.nearest(ops.convert_to_tensor(latents)))
    share = np.bincount(codes, minlength=12) / codes.size
    np.testing.assert_allclose(share, 1 / 12, atol=0.015)


@pytest.mark.parametrize("depth", [1, 2])
def test_codes_are_verbs(depth):
    model = compiled(plain if depth == 1 else MAKE["rq"])
    fit(model)
    images, _ = batch(model)
    codes = model.codes(images)
    assert codes.shape == (24, 2, 2 * depth) and codes.dtype == np.int32
    again = model.decode_codes(codes)
    np.testing.assert_allclose(again, model.reconstruct(images), atol=1e-6)
    np.testing.assert_allclose(again, model.decode(model.encode(images)), atol=1e-6)
    for wrong in codes[0], codes[:, :1], codes + 8, codes - 8, codes * 1.0:
        with pytest.raises(ValueError, match="Expected codes"):
            model.decode_codes(wrong)
    with pytest.raises(ValueError, match="truncation"):
        model.sample(2, truncation=0.5)


def own_networks(dim=2):
    images, vectors = keras.Input((4, 4, 1)), keras.Input((2, 1, dim))
    x = layers.Dropout(0.2)(layers.Conv2D(dim, (2, 4), (2, 4))(images))
    pixels = layers.Reshape((4, 4, 1))(layers.Dense(16)(layers.Flatten()(vectors)))
    return {
        "encoder": keras.Model(images, x),
        "decoder": keras.Model(vectors, pixels),
    }


def test_your_own_networks(tmp_path):
    check_own_networks(
        lambda: VQVAE((4, 4, 1), MovingAverageCodebook(4, 2), **own_networks()),
        tmp_path,
    )


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"quantizer": "lattice"}, "'ema', 'fsq', 'gradient', 'lfq', 'rq'"),
        ({"architecture": "mlp"}, "'conv', 'residual'"),
        ({"image_shape": (30, 30, 1)}, "divisible by 4"),
        ({"likelihood": "poisson"}, "likelihood"),
        ({"quantizer": MovingAverageCodebook(dim=3), **own_networks()}, "encoder"),
        (
            {
                "quantizer": MovingAverageCodebook(dim=2),
                "num_classes": 3,
                **own_networks(),
            },
            "labels",
        ),
        ({"pixelcnn": PixelCNN(7, width=2, blocks=0)}, "pixelcnn"),
        ({"pixelcnn": layers.Dense(512)}, "can draw"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        VQVAE(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: MovingAverageCodebook(size=0), "size"),
        (lambda: GradientCodebook(dim=0), "dim"),
        (lambda: FiniteScalar((8, 1)), "levels"),
        (lambda: LookupFree(12), "power of 2"),
        (lambda: ResidualCodebooks(depth=0), "depth"),
    ],
)
def test_wrong_settings_of_quantizers_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)


def test_the_sampler_of_other_autoencoders_is_refused():
    model = VQVAE((4, 4, 1), architecture="conv")
    with pytest.raises(ValueError, match="fit_prior"):
        model.fit_sampler("mixture", np.zeros((4, 4, 4, 1)))
