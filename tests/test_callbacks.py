"""The callbacks under a real `fit` of a stand-in for the models: two dense layers."""

import math
import sys
import types

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image, ImageSequence

from kzoo.callbacks import LatentGrid, ReconstructionGrid, SampleGrid
from kzoo.media import LIGHT, Images, tile


def initial(shape, dtype=None):
    # By numpy, because JAX would compile its generator for each shape.
    return np.random.default_rng(0).normal(size=shape, scale=0.2).astype("float32")


class Decoder(keras.Model):
    """What all kzoo models have."""

    def __init__(self, image_shape=(8, 8, 1), latent_dim=3, num_classes=None):
        super().__init__()
        self.medium = Images(image_shape)
        self.image_shape, self.latent_dim = image_shape, latent_dim
        self.num_classes = num_classes
        options = {"use_bias": False, "kernel_initializer": initial}
        self.encoder = keras.layers.Dense(latent_dim, **options)
        self.decoder = keras.layers.Dense(
            math.prod(image_shape), activation="sigmoid", **options
        )
        self.encoder.build((None, math.prod(image_shape)))
        self.decoder.build((None, latent_dim))
        self.seen = types.SimpleNamespace(latents=None, labels=None)

    def call(self, images):
        flat = ops.reshape(images, (-1, math.prod(self.image_shape)))
        return ops.reshape(self.decoder(self.encoder(flat)), ops.shape(images))

    def draw_latents(self, n, seed=None, labels=None):
        return np.random.default_rng(seed).normal(size=(n, self.latent_dim))

    def generate(self, latents, labels=None):
        if np.shape(latents)[1:] != (self.latent_dim,):
            raise ValueError("latents refused")
        if (labels is None) != (self.num_classes is None):
            raise ValueError("labels refused")
        self.seen.latents, self.seen.labels = latents, labels
        images = ops.convert_to_numpy(self.decoder(np.float32(latents)))
        images = images.reshape(-1, *self.image_shape)
        if labels is None:
            return images
        return images * 0 + np.reshape(labels, (-1, 1, 1, 1)) / np.float32(255)


class Autoencoder(Decoder):
    def reconstruct(self, images, labels=None):
        return 1 - images


def fit(model, *grids, epochs=2, initial_epoch=0, learning_rate=10.0):
    images = np.random.default_rng(0).random((16, *model.image_shape), "float32")
    model.compile(keras.optimizers.SGD(learning_rate), "mse", jit_compile=False)
    model.fit(
        images,
        images,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=list(grids),
        verbose=0,
    )


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.one_backend
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, np.float32(1 / 255)], ids=["uint8", "float32"])
def test_tile_places_images_row_by_row_and_fills_the_rest(channels, scale):
    images = np.arange(3, dtype="uint8").reshape(3, 1, 1, 1).repeat(channels, -1)
    expected = [[0, LIGHT, 1], [LIGHT, LIGHT, LIGHT], [2, LIGHT, LIGHT]]
    picture = tile(images * scale, columns=2, gap=1)
    assert picture.dtype == "uint8"
    for channel in range(channels):
        np.testing.assert_array_equal(picture[..., channel], expected)


def test_tile_keeps_rows_of_pixels_together_without_a_gap():
    images = np.arange(12, dtype="uint8").reshape(2, 2, 3, 1)
    picture = tile(images, columns=2, gap=0)
    np.testing.assert_array_equal(
        picture[..., 0], [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    )


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "shape, dtype, columns",
    [
        ((4, 2, 2), "uint8", 2),
        ((4, 2, 2, 2), "uint8", 2),
        ((0, 2, 2, 1), "uint8", 2),
        ((4, 2, 2, 1), "int64", 2),
        ((4, 2, 2, 1), "float32", 2),  # values up to 255
        ((4, 2, 2, 1), "uint8", 0),
    ],
)
def test_tile_says_what_it_expected(shape, dtype, columns):
    with pytest.raises(ValueError, match=r"Expected .* Received"):
        tile(np.full(shape, 255, dtype), columns)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_every_nth_epoch_leaves_a_picture_large_enough_to_see(tmp_path, channels, mode):
    grid = SampleGrid(tmp_path / "new" / "samples", rows=2, columns=4, every=2)
    fit(Decoder(image_shape=(8, 8, channels)), grid, epochs=5)
    names = ["animation.gif", "epoch_0002.png", "epoch_0004.png"]
    assert files(tmp_path / "new" / "samples") == names
    with Image.open(tmp_path / "new" / "samples" / names[1]) as picture:
        assert (picture.mode, picture.size) == (mode, (4 * 128 + 3 * 2, 2 * 128 + 2))


@pytest.mark.parametrize("learning_rate, same", [(0.0, True), (10.0, False)])
def test_only_the_weights_change_a_sample_grid(tmp_path, learning_rate, same):
    fit(Decoder(), SampleGrid(tmp_path), learning_rate=learning_rate)
    first, second = (pixels(tmp_path / f"epoch_000{n}.png") for n in (1, 2))
    assert np.array_equal(first, second) == same


def test_sample_grid_draws_the_latents_it_is_given(tmp_path):
    model, latents = Decoder(), np.eye(3, dtype="float32")
    fit(model, SampleGrid(tmp_path, latents, columns=2), epochs=1)
    np.testing.assert_array_equal(model.seen.latents, latents)
    assert (pixels(tmp_path / "epoch_0001.png")[-1, -1] == LIGHT).all()


@pytest.mark.parametrize("channels, error", [(1, 0), (3, 6)])
def test_animation_of_a_resumed_run_starts_at_its_first_epoch(
    tmp_path, channels, error
):
    model = Decoder(image_shape=(8, 8, channels))
    strangers = {"epoch_0000.png": 9, "epoch_0009.png": 64, "epoch_x.png": 64}
    for name, size in strangers.items():
        Image.new("L", (size, size)).save(tmp_path / name)
    fit(model, SampleGrid(tmp_path), epochs=2)
    fit(model, SampleGrid(tmp_path), epochs=3, initial_epoch=2)
    times, mode = [], "L" if channels == 1 else "RGB"
    with Image.open(tmp_path / "animation.gif") as animation:
        frames = ImageSequence.Iterator(animation)
        for epoch, frame in zip([1, 2, 3], frames, strict=True):
            drawn = np.float32(pixels(tmp_path / f"epoch_000{epoch}.png"))
            assert np.mean(np.abs(drawn - frame.convert(mode))) <= error
            times.append(frame.info["duration"])
    assert times[-1] > times[0]


@pytest.mark.parametrize("epochs, every", [(0, 1), (1, 2)])
def test_training_without_pictures_makes_no_animation(tmp_path, epochs, every):
    fit(Decoder(), SampleGrid(tmp_path, every=every), epochs=epochs)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "num_classes, arguments, expected",
    [
        (3, {"rows": 2}, [0, 1, 2, 0, 1, 2]),
        (40, {"rows": 1}, range(8)),
        (3, {"rows": 1, "columns": 4}, [0, 1, 2, 0]),
        (3, {"rows": 1, "columns": 4, "labels": 2}, [2, 2, 2, 2]),
        (3, {"latents": np.ones((2, 3)), "labels": [2, 1]}, [2, 1]),
    ],
)
def test_labels_of_a_sample_grid(tmp_path, num_classes, arguments, expected):
    model = Decoder(num_classes=num_classes)
    fit(model, SampleGrid(tmp_path, **arguments), epochs=1)
    np.testing.assert_array_equal(model.seen.labels, expected)


def test_each_column_of_a_conditional_grid_is_a_class(tmp_path):
    fit(Decoder(num_classes=3), SampleGrid(tmp_path), epochs=1)
    picture = pixels(tmp_path / "epoch_0001.png")
    assert [np.unique(picture[:, x]).tolist() for x in (0, 250, 500)] == [
        [label, LIGHT] for label in range(3)
    ]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_reconstructions_are_below_their_inputs(tmp_path, dtype):
    images = np.arange(3).reshape(3, 1, 1, 1) + np.zeros((1, 8, 8, 1))
    images = images.astype("uint8") if dtype == "uint8" else np.float32(images / 255)
    fit(Autoencoder(), ReconstructionGrid(tmp_path, images, columns=2), epochs=1)
    zoom, picture = 32, pixels(tmp_path / "epoch_0001.png")
    assert picture.shape == (4 * 8 * zoom + 3 * 2, 2 * 8 * zoom + 2)
    corners = picture[:: 8 * zoom + 2, [0, -1]]
    assert corners.tolist() == [[0, 1], [255, 254], [2, LIGHT], [253, LIGHT]]


def test_a_plane_of_latents_is_walked_at_normal_quantiles(tmp_path):
    model = Decoder(latent_dim=2)
    fit(model, LatentGrid(tmp_path, size=3), epochs=1)
    low, high = -1.6448536, 1.6448536
    corners = np.reshape(model.seen.latents, (3, 3, 2))[::2, ::2]
    np.testing.assert_allclose(
        corners, [[[low, high], [high, high]], [[low, low], [high, low]]], rtol=1e-6
    )


@pytest.mark.parametrize("latent_dim, rows", [(3, 3), (12, 10)])
def test_other_latents_are_traversed_one_a_row(tmp_path, latent_dim, rows):
    model = Decoder(latent_dim=latent_dim)
    fit(model, LatentGrid(tmp_path, size=5), epochs=1)
    latents = np.reshape(model.seen.latents, (rows, 5, latent_dim))
    for row, line in enumerate(latents):
        np.testing.assert_allclose(line[:, row], [-3, -1.5, 0, 1.5, 3])
        assert np.count_nonzero(np.delete(line, row, axis=1)) == 0


@pytest.mark.parametrize("labels, expected", [(None, 0), (2, 2)])
def test_a_latent_grid_shows_one_class(tmp_path, labels, expected):
    model = Decoder(latent_dim=2, num_classes=3)
    fit(model, LatentGrid(tmp_path, labels, size=2), epochs=1)
    np.testing.assert_array_equal(model.seen.labels, [expected] * 4)


def test_tensorboard_reads_the_pictures_of_all_grids(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    logs, images = tmp_path / "new" / "logs", np.zeros((2, 8, 8, 1), "uint8")
    fit(
        Autoencoder(),
        SampleGrid(tmp_path / "a", log_dir=logs),
        ReconstructionGrid(tmp_path / "b", images, log_dir=logs),
        LatentGrid(tmp_path / "c", log_dir=str(logs)),
    )
    events = accumulator.EventAccumulator(str(logs))
    events.Reload()
    for tag, folder in zip(
        ["samples", "reconstructions", "latents"], "abc", strict=True
    ):
        steps = {event.step: event for event in events.Images(tag)}
        assert sorted(steps) == [1, 2]
        path = tmp_path / folder / "epoch_0002.png"
        assert steps[2].encoded_image_string == path.read_bytes()
        assert (steps[2].height, steps[2].width) == pixels(path).shape


def test_a_missing_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        SampleGrid(tmp_path, log_dir=tmp_path)


@pytest.mark.parametrize(
    "model, grid, arguments, message",
    [
        (Decoder, SampleGrid, {"latents": np.ones((2, 5))}, "latents refused"),
        (Decoder, SampleGrid, {"labels": 0}, "labels refused"),
        (Decoder, LatentGrid, {"labels": 0}, "labels refused"),
        (Autoencoder, ReconstructionGrid, {"images": np.ones((2, 8, 8, 3))}, "8, 8, 1"),
        (Autoencoder, ReconstructionGrid, {"images": np.ones((8, 8, 1))}, "batch axis"),
        (Decoder, ReconstructionGrid, {"images": []}, "Decoder.*Use SampleGrid"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_before_training(
    tmp_path, model, grid, arguments, message
):
    model = model()
    before = model.decoder.get_weights()[0]
    with pytest.raises((TypeError, ValueError), match=message):
        fit(model, grid(tmp_path, **arguments))
    np.testing.assert_array_equal(model.decoder.get_weights()[0], before)


@pytest.mark.parametrize("argument", ["every", "rows", "columns"])
def test_counts_are_at_least_one(tmp_path, argument):
    with pytest.raises(ValueError, match=f"{argument}=0"):
        SampleGrid(tmp_path, **{argument: 0})


@pytest.mark.parametrize("grid", [SampleGrid, ReconstructionGrid, LatentGrid])
def test_no_batch_hook_costs_keras_its_asynchronous_dispatch(grid):
    for hook in ("on_train_batch_begin", "on_train_batch_end"):
        assert getattr(grid, hook) is getattr(keras.callbacks.Callback, hook)
