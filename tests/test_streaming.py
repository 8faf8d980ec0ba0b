"""What `kzoo.data.stream` promises, on tiny folders and on the real MNIST."""

import importlib.util
import itertools
import pathlib
import shutil
import sys
import warnings

import keras
import numpy as np
import pytest
from conformance import assert_same_state
from PIL import Image

from kzoo import data
from kzoo.callbacks import Checkpoint
from kzoo.models import VAE
from kzoo.networks import MLPEncoderDecoder

COUNT = 23
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def folder(tmp_path):
    """23 images in two classes; image `i` has pixels of the value `10 * i`."""
    for i in range(COUNT):
        path = tmp_path / "photos" / ("first" if i < 9 else "second") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 10 * i, np.uint8)).save(path)
    return tmp_path / "photos"


def numbers(batches):
    return [(batch[:, 0, 0, 0] // 10).tolist() for batch in batches]


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def epoch(stream, number):
    stream.set_epoch(number)
    return numbers(stream)


# Order


@pytest.mark.one_backend
def test_an_epoch_is_every_image_once(folder):
    stream = data.stream(folder, 5)
    assert len(stream) == 5 and stream.num_images == COUNT
    assert stream.image_shape == (4, 4, 1)
    for number in range(3):
        batches = epoch(stream, number)
        assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
        assert sorted(flat(batches)) == list(range(COUNT))


@pytest.mark.one_backend
def test_batches_are_uint8_images(folder):
    for batch in data.stream(folder, 5, image_size=(2, 3)):
        assert batch.dtype == np.uint8 and batch.shape[1:] == (2, 3, 1)
        assert type(batch) is np.ndarray


@pytest.mark.one_backend
def test_the_order_is_that_of_the_seed_and_the_epoch(folder):
    stream = data.stream(folder, 5, seed=3)
    orders = [epoch(stream, number) for number in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    again = data.stream(folder, 5, seed=3)
    assert [epoch(again, number) for number in (2, 0, 1)] == [orders[2], *orders[:2]]
    other = data.stream(folder, 5, seed=4)
    assert all(epoch(other, number) not in orders for number in range(3))


@pytest.mark.one_backend
def test_without_shuffling_it_is_the_order_of_the_set(folder):
    stream = data.stream(folder, 5, shuffle=False, labels=True)
    images, labels = data.load(folder)
    for number in range(2):
        stream.set_epoch(number)
        batches = list(stream)
        np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), images)
        np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)
    assert batches[0][1].dtype == np.int32


@pytest.mark.one_backend
def test_any_batch_can_be_asked_for(folder):
    stream = data.stream(folder, 5)
    wanted = numbers(stream)
    order = [3, 4, 0, 0, 1, 2, 4, 1]
    assert numbers(stream[i] for i in order) == [wanted[i] for i in order]
    with pytest.raises(IndexError, match="5"):
        stream[5]


@pytest.mark.one_backend
def test_the_last_batch_can_be_left_out(folder):
    stream = data.stream(folder, 5, drop_remainder=True)
    assert len(stream) == 4
    assert [len(batch) for batch in epoch(stream, 1)] == [5, 5, 5, 5]


@pytest.mark.one_backend
def test_short_epochs_go_on_within_the_pass(folder):
    whole = data.stream(folder, 5)
    passes = epoch(whole, 0) + epoch(whole, 1)
    short = data.stream(folder, 5, steps_per_epoch=2)
    assert len(short) == 2
    assert flat(epoch(short, number) for number in range(5)) == passes


@pytest.mark.one_backend
def test_processes_read_disjoint_parts_in_as_many_steps(folder):
    streams = [data.stream(folder, 9, shard=(i, 3)) for i in range(3)]
    assert [stream.num_images for stream in streams] == [7, 7, 7]
    for number in range(2):
        parts = [epoch(stream, number) for stream in streams]
        assert [len(part) for part in parts] == [3, 3, 3]
        assert len(set(flat(flat(parts)))) == 21


# Unreadable images


def spoil(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"no image")


@pytest.mark.one_backend
def test_an_unreadable_image_is_named_and_its_batch_filled_up(folder):
    spoil(folder, "first/03.png", "second/20.png")
    stream = data.stream(folder, 5, corrupt_limit=2)
    with pytest.warns(UserWarning, match=r"Skipped .*\.png") as caught:
        batches = numbers(stream)
    named = " ".join(str(warning.message) for warning in caught)
    assert len(caught) == 2 and "03.png" in named and "20.png" in named
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert set(flat(batches)) == {*range(COUNT)} - {3, 20}
    assert len(stream.unreadable) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epoch(stream, 1)  # the same images, named before


@pytest.mark.one_backend
def test_too_many_unreadable_images_are_an_error_that_names_them(folder):
    spoil(folder, "first/03.png", "first/05.png", "second/20.png")
    stream = data.stream(folder, 5, corrupt_limit=2)
    with (
        pytest.warns(UserWarning, match="Skipped"),
        pytest.raises(ValueError, match="corrupt_limit=2") as error,
    ):
        list(stream)
    assert all(name in str(error.value) for name in ("03.png", "05.png", "20.png"))


@pytest.mark.one_backend
def test_a_batch_without_a_readable_image_is_an_error(folder):
    spoil(folder, "first/00.png", "first/01.png")
    stream = data.stream(folder, 2, shuffle=False)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"01\.png"):
        stream[0]


@pytest.mark.one_backend
def test_nothing_readable_is_an_error_at_once(tmp_path):
    spoil(tmp_path, *(f"{i}.png" for i in range(4)))
    with pytest.raises(ValueError, match=r"corrupt_limit=2 .*\b0\.png.*1\.png.*2\.png"):
        data.stream(tmp_path, 2, corrupt_limit=2)


@pytest.mark.one_backend
def test_images_of_two_sizes_are_an_error_that_names_one(folder):
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(folder / "second" / "odd.png")
    with pytest.raises(ValueError, match=r"\(5, 4\) .*odd\.png.*image_size"):
        list(data.stream(folder, 5))


@pytest.mark.full
@pytest.mark.one_backend
def test_processes_read_the_same_and_name_the_same(folder):
    spoil(folder, "first/03.png")
    with pytest.warns(UserWarning, match=r"03\.png"):
        wanted = epoch(data.stream(folder, 5), 0)
    stream = data.stream(folder, 5, workers=1, corrupt_limit=1)
    with pytest.warns(UserWarning, match=r"03\.png"):
        assert epoch(stream, 0) == wanted
    spoil(folder, "second/20.png")
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match=r"03\.png.*20\.png"),
    ):
        for number in range(1, 4):  # some are read ahead
            epoch(stream, number)


# Arguments


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"name": "digits"}, r"kzoo\.data\.load\('digits'\)"),
        ({"name": "ring-8"}, r"kzoo\.data\.load\('ring-8'\)"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"image_size": 0}, "image_size=0"),
        ({"seed": -1}, "seed=-1"),
        ({"workers": -1}, "workers=-1"),
        ({"corrupt_limit": -1}, "corrupt_limit=-1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch=0"),
        ({"shard": (2, 2)}, r"shard=\(2, 2\)"),
        ({"shard": (0, 24)}, "Received: 23"),
        ({"batch_size": 24, "drop_remainder": True}, "24 .*Received: 23"),
        ({"split": "test"}, "one of 'train'"),
    ],
)
def test_bad_arguments_are_named(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.stream(**{"name": folder, "batch_size": 5, **arguments})


@pytest.mark.one_backend
def test_labels_of_a_set_without_are_an_error(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    assert data.stream(tmp_path, 2)[0].shape == (1, 4, 4, 1)
    with pytest.raises(ValueError, match="labels=True"):
        data.stream(tmp_path, 2, labels=True)


@pytest.mark.one_backend
def test_without_grain_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match="pip install grain"):
        data.stream(folder, 5)


# TensorFlow Datasets


@pytest.mark.one_backend
def test_array_records_are_those_that_load_reads(prepared):
    where = {"split": "test[:70]", "data_dir": prepared / "array_record"}
    images, labels = data.load("mnist", **where)
    stream = data.stream("mnist", 32, labels=True, **where)
    found = {x.tobytes(): y for xs, ys in stream for x, y in zip(xs, ys, strict=True)}
    assert found == {x.tobytes(): y for x, y in zip(images, labels, strict=True)}


@pytest.mark.one_backend
def test_a_damaged_record_is_named_by_its_file_and_number(prepared, tmp_path):
    source = prepared / "array_record" / "mnist" / "3.0.1"
    target = tmp_path / "mnist" / "3.0.1"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*train*"))
    (file,) = target.glob("*test.array_record*")
    content = bytearray(file.read_bytes())
    content[200_000] ^= 255
    file.write_bytes(content)
    stream = data.stream("mnist", 64, "test[:1000]", data_dir=tmp_path, shuffle=False)
    with pytest.warns(UserWarning, match=rf"{file.name}__\d+ .*mismatch") as caught:
        assert sum(map(len, stream)) == 1000
    assert len(caught) == 1
    with pytest.raises(ValueError, match=rf"{file.name}__\d+"):
        data.load("mnist", "test", data_dir=tmp_path)


@pytest.mark.one_backend
@needs_tensorflow
def test_tfrecords_are_shuffled_by_tf_data(prepared):
    where = {"split": "test[5:75]", "data_dir": prepared}
    images, _ = data.load("mnist", **where)
    stream = data.stream("mnist", 32, **where)
    passes = []
    for number in range(2):
        stream.set_epoch(number)
        passes.append(np.concatenate(list(stream)))
        assert {x.tobytes() for x in passes[-1]} == {x.tobytes() for x in images}
    assert not np.array_equal(*passes) and not np.array_equal(passes[0], images)
    again = data.stream("mnist", 32, steps_per_epoch=2, **where)
    again.set_epoch(2)  # from the middle of the second pass on
    np.testing.assert_array_equal(again[0], passes[1][32:64])
    hosts = [data.stream("mnist", 32, shard=(i, 2), **where) for i in range(2)]
    assert {x.tobytes() for host in hosts for xs in host for x in xs} == {
        x.tobytes() for x in images
    }
    with pytest.raises(ValueError, match="workers=2"):
        data.stream("mnist", 32, workers=2, **where)


# Training


def fit(stream, epochs, *callbacks, **arguments):
    keras.utils.set_random_seed(5)
    model = VAE(stream.image_shape, 2, MLPEncoderDecoder((4,)), **arguments)
    model.compile()
    model.fit(stream, epochs=epochs, verbose=0, callbacks=callbacks)
    return model


class Seen(keras.callbacks.Callback):
    """Which epochs and steps were trained, and how many steps Keras expects."""

    def on_train_begin(self, logs=None):
        self.steps, self.last = self.params["steps"], []

    def on_train_batch_end(self, batch, logs=None):
        self.batch = batch

    def on_epoch_end(self, epoch, logs=None):
        self.last.append((epoch, self.batch))


def test_fit_takes_a_stream(folder):
    seen = Seen()
    stream = data.stream(folder, 5)
    model = fit(stream, 2, seen)
    assert seen.steps == 5 and seen.last == [(0, 4), (1, 4)]
    assert set(model.evaluate(stream, verbose=0, return_dict=True)) == {
        "loss",
        "reconstruction",
        "kl",
    }
    labelled = data.stream(folder, 5, labels=True)
    fit(labelled, 1, num_classes=2)
    with pytest.raises(ValueError, match="num_classes"):
        fit(labelled, 1)
    with pytest.raises(ValueError, match=r"kzoo\.data\.stream"):
        model.fit(stream, steps_per_epoch=2)


@pytest.mark.one_backend
def test_fit_reads_each_epoch_in_its_own_order(folder, monkeypatch):
    stream = data.stream(folder, 5)
    asked = []
    read = stream._read
    monkeypatch.setattr(stream, "_read", lambda i: asked.append(i) or read(i))
    fit(stream, 3)
    assert asked[-12:] == list(range(3, 15))


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= 7:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "steps",  # 2: killed and resumed within a pass
    [2, pytest.param(None, marks=pytest.mark.one_backend)],
)
def test_a_resumed_run_is_the_uninterrupted_run(folder, tmp_path, steps):
    epochs = 4 if steps is None else 6

    def make():
        return data.stream(folder, 5, steps_per_epoch=steps)

    whole = fit(make(), epochs, Checkpoint(tmp_path / "whole.keras"))
    path = tmp_path / "run.keras"
    with pytest.raises(KeyboardInterrupt):
        fit(make(), epochs, Checkpoint(path), Crash())
    resumed = fit(make(), epochs, Checkpoint(path, resume=True))
    assert resumed.history.history == whole.history.history
    assert_same_state(whole, resumed)


@pytest.mark.one_backend
def test_too_many_unreadable_images_stop_fit(folder):
    spoil(folder, "first/03.png", "second/20.png")
    with (
        pytest.warns(UserWarning, match="Skipped"),
        pytest.raises(ValueError, match=r"corrupt_limit=1 .*\.png.*\.png"),
    ):
        fit(data.stream(folder, 5, corrupt_limit=1), 1)


@pytest.mark.one_backend
def test_a_pass_over_many_files_has_every_image_and_little_memory(tmp_path):
    path = pathlib.Path(__file__).parents[1] / "benchmarks" / "streaming.py"
    spec = importlib.util.spec_from_file_location("streaming_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.write(tmp_path, 500)
    found = benchmark.memory(tmp_path, 500, batch_size=16, workers=0)
    assert found["seen"] == 500
    assert found["peak_over_baseline_mb"] < 500


@pytest.mark.one_backend
def test_a_batch_that_processes_cannot_share_is_refused(folder):
    with pytest.raises(ValueError, match="divides among 2"):
        data.stream(folder, 5, shard=(0, 2))
