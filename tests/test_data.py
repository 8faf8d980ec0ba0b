"""What `kzoo.data.load` promises, on tiny folders and on the real sets."""

import ast
import importlib.util
import json
import os
import pathlib
import shlex
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from kzoo import data

pytestmark = pytest.mark.one_backend


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KZOO_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture
def real(prepared, session_cache, monkeypatch):
    """Loads from the real array_record sets, decoding each split once a session."""
    monkeypatch.setenv("KZOO_CACHE", str(session_cache))
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared / "array_record"))
    return data.load


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def save(path, pixels=None, mode=None):
    """Writes a PNG of `pixels`, by default 8x8 gray noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(noise(8, 8) if pixels is None else pixels)
    (image.convert(mode) if mode else image).save(path, format="png")
    return path


def no_decoding(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("decoded again")

    monkeypatch.setattr(Image, "open", fail)


# Digits


@pytest.mark.parametrize(
    "split, part", [("train", slice(1500)), ("test", slice(1500, None))]
)
def test_digits_are_those_of_scikit_learn(split, part):
    from sklearn.datasets import load_digits

    images, labels = data.load(split=split)
    wanted, wanted_labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(labels, wanted_labels[part])
    np.testing.assert_allclose(
        images.reshape(-1, 64), wanted[part] * 255 / 16, atol=0.5001
    )


def test_arrays_are_ordinary_on_the_first_and_on_the_second_load():
    for _ in range(2):
        images, labels = data.load("digits", limit=20)
        assert images.dtype == np.uint8 and images.shape == (20, 8, 8, 1)
        assert labels.dtype == np.int32 and labels.shape == (20,)
        assert images.flags.writeable and images.flags.c_contiguous
        assert labels.flags.writeable


def test_mnist_10k_is_balanced_and_mixed_and_needs_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for split, count in {"train": 800, "test": 200}.items():
        images, labels = data.load("mnist_10k", split)
        assert images.shape == (10 * count, 28, 28, 1) and images.dtype == np.uint8
        assert np.bincount(labels).tolist() == [count] * 10
        assert set(labels[:100]) == set(range(10))
        assert len({image.tobytes() for image in images}) == 10 * count
    with pytest.raises(ValueError, match="one of 'train', 'test' for mnist_10k"):
        data.load("mnist_10k", "valid")


# Arguments


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": 2.5}, "limit=2.5"),
        ({"image_size": 0}, "image_size=0"),
        ({"image_size": "8"}, "image_size='8'"),
        ({"image_size": (8, 8, 1)}, r"\(height, width\)"),
        ({"image_size": (8, -8)}, "image_size=-8"),
        ({"split": "valid"}, "one of 'train', 'test' for digits"),
        ({"split": None}, "split=None"),
        ({"name": 3}, "name=3"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(**arguments)


def test_a_size_crops_around_the_centre_without_touching_pixels(tmp_path):
    pixels = noise(9, 6, 3)
    save(tmp_path / "a.png", pixels)
    images, _ = data.load(tmp_path, image_size=6)
    np.testing.assert_array_equal(images[0], pixels[1:7])


def test_a_size_shrinks_with_antialiasing(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    save(tmp_path / "a.png", stripes)
    images, _ = data.load(tmp_path, image_size=(4, 8))
    assert images.shape == (1, 4, 8, 1)
    assert np.abs(images - 127.5).max() < 8


# Folders


def test_sub_folders_are_classes_in_sorted_order(tmp_path):
    for name, value in {"b/x": 20, "a/y": 11, "a/deep/x": 10}.items():
        save(tmp_path / f"{name}.png", np.full((4, 4), value, np.uint8))
    images, labels = data.load(str(tmp_path))
    assert images[:, 0, 0, 0].tolist() == [10, 11, 20]
    assert labels.tolist() == [0, 0, 1]


def test_a_folder_without_sub_folders_has_no_labels_and_skips_other_files(tmp_path):
    save(tmp_path / "a.PNG")
    save(tmp_path / ".hidden.png")
    save(tmp_path / ".thumbnails" / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    for _ in range(2):  # from the cache, too
        images, labels = data.load(tmp_path)
        assert len(images) == 1 and labels is None


def test_splits_share_the_numbers_of_their_classes(tmp_path):
    for name in ("train/a/1", "train/b/1", "test/b/1"):
        save(tmp_path / f"{name}.png")
    assert data.load(tmp_path, "train")[1].tolist() == [0, 1]
    assert data.load(tmp_path, "test")[1].tolist() == [1]
    with pytest.raises(ValueError, match="one of 'test', 'train' for the folder"):
        data.load(tmp_path, "valid")


def test_a_folder_without_splits_is_all_train(tmp_path):
    save(tmp_path / "a" / "1.png")
    with pytest.raises(ValueError, match="one of 'train' for the folder"):
        data.load(tmp_path, "test")


@pytest.mark.parametrize(
    "modes, channels",
    [(["L", "1", "LA"], 1), (["RGB"], 3), (["L", "RGBA"], 3), (["P", "L"], 3)],
)
def test_all_gray_is_one_channel_and_anything_else_is_rgb(tmp_path, modes, channels):
    for index, mode in enumerate(modes):
        save(tmp_path / f"{index}.png", noise(8, 8, 3), mode)
    assert data.load(tmp_path)[0].shape == (len(modes), 8, 8, channels)
    assert data.load(tmp_path, limit=1)[0].shape[-1] == channels


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    save(tmp_path / "a.png", np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)
    images, _ = data.load(tmp_path)
    np.testing.assert_array_equal(images.ravel(), np.arange(256))


def empty(folder):
    (folder / "notes.txt").write_text("no image")


def two_sizes(folder):
    save(folder / "a.png")
    save(folder / "b.png", noise(8, 9))


def corrupt(folder):
    (folder / "bad.png").write_bytes(b"no image")


def truncated(folder):
    path = save(folder / "bad.png", noise(64, 64))
    path.write_bytes(path.read_bytes()[:-600])


def loose(folder):
    save(folder / "a.png")
    save(folder / "class" / "b.png")


@pytest.mark.parametrize(
    "fill, message",
    [
        (empty, "Received: none"),
        (two_sizes, r"\(8, 8\) .*a.png.* and \(8, 9\) .*b.png.*image_size"),
        (corrupt, "bad.png"),
        (truncated, "bad.png"),
        (loose, "a.png beside .*b.png"),
    ],
)
def test_a_bad_folder_is_an_error_that_names_the_file(tmp_path, fill, message):
    fill(tmp_path)
    with pytest.raises(ValueError, match=message):
        data.load(tmp_path)


def test_a_limit_decodes_no_more(tmp_path):
    images = [save(tmp_path / f"{index}.png", noise(64, 64)) for index in range(3)]
    images[2].write_bytes(images[2].read_bytes()[:-600])
    assert len(data.load(tmp_path, limit=2)[0]) == 2
    with pytest.raises(ValueError, match=r"2\.png"):
        data.load(tmp_path, limit=3)


# The cache


def test_a_limit_slices_the_full_cache(tmp_path, monkeypatch):
    for index in range(4):
        save(tmp_path / "class" / f"{index}.png", noise(index + 4, 4))
    full, _ = data.load(tmp_path, image_size=4)
    no_decoding(monkeypatch)
    images, labels = data.load(tmp_path, image_size=4, limit=3)
    np.testing.assert_array_equal(images, full[:3])
    assert labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("change", ["another file", "another content", "another class"])
def test_a_changed_folder_is_decoded_again(tmp_path, change):
    path = save(tmp_path / "a" / "1.png", np.zeros((8, 8), np.uint8))
    before = data.load(tmp_path)
    if change == "another file":
        save(tmp_path / "a" / "2.png")
    elif change == "another content":
        save(path, np.ones((8, 8), np.uint8))
        os.utime(path, ns=(1, 1))
    else:
        path.parent.rename(tmp_path / "b")
        save(tmp_path / "a" / "1.png")
    images, labels = data.load(tmp_path)
    assert (images.tolist(), labels.tolist()) != tuple(a.tolist() for a in before)


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b""])
def test_a_damaged_cache_file_is_rebuilt(cache, damage):
    images, _ = data.load("digits")
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    np.testing.assert_array_equal(data.load("digits")[0], images)
    assert file.read_bytes()[:1000] == whole[:1000]


def test_a_crash_while_writing_leaves_no_cache_file(cache, monkeypatch):
    def crash(path, **arrays):
        pathlib.Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", crash)
    with pytest.raises(KeyboardInterrupt):
        data.load("digits")
    assert not list(cache.iterdir())


def test_a_cache_that_cannot_be_written_warns_once(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="KZOO_CACHE"):
        data.load("digits")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.load("digits")[0]) == 1500


# Names


@pytest.mark.parametrize(
    "name, message",
    [
        ("mnits", "close matches: mnist"),
        ("pictures", r"pass '\./pictures'"),
        ("./nowhere", "Expected a folder of images"),
        ("no/where", "knows no 'no'"),
        (pathlib.Path("mnist"), "Expected a folder of images"),
        ("lsun/bedroom", r'builder\("lsun/bedroom"'),
    ],
)
def test_an_unknown_name_says_what_to_do(tmp_path, monkeypatch, name, message):
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(data.DatasetNotFound, match=message):
        data.load(name, data_dir=tmp_path / "sets")
    assert not (tmp_path / "sets").exists()


def test_a_set_that_is_not_prepared_names_the_command(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    with pytest.raises(data.DatasetNotFound) as error:
        data.load("mnist", data_dir=tmp_path)
    assert isinstance(error.value, LookupError)
    command = shlex.split(str(error.value).partition("python -c ")[2])
    seen = []
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda self: seen.append(self)
    )
    exec(command[0], {})
    assert seen[0].info.full_name.startswith("mnist/")
    assert seen[0].info.file_format is tfds.core.FileFormat.ARRAY_RECORD
    assert pathlib.Path(seen[0].data_path).parents[1] == tmp_path


@pytest.mark.parametrize("name", ["mnist", "mnist:3.0.1", "mnist/plain"])
@pytest.mark.parametrize("parent", ["array_record", "sets/array_record"])
def test_a_set_below_the_folder_is_found_and_named(tmp_path, name, parent):
    folder = tmp_path / parent / name.partition(":")[0] / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(data.DatasetNotFound) as error:
        data.load(name, data_dir=tmp_path)
    assert str(folder.parent.relative_to(tmp_path)) in str(error.value)
    assert f"data_dir={str(tmp_path / parent)!r}" in str(error.value)
    assert f"TFDS_DATA_DIR={tmp_path / parent}" in str(error.value)


def test_a_set_is_not_looked_for_in_the_whole_disk(tmp_path):
    folder = tmp_path / "one" / "two" / "three" / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    with pytest.raises(data.DatasetNotFound, match="download_and_prepare"):
        data.load("mnist", data_dir=tmp_path)


# The real sets


@pytest.mark.parametrize(
    "name, split, shape",
    [
        ("mnist", "train", (60000, 28, 28, 1)),
        ("mnist", "test", (10000, 28, 28, 1)),
        ("fashion_mnist", "test", (10000, 28, 28, 1)),
        ("cifar10", "test", (10000, 32, 32, 3)),
    ],
)
def test_real_sets_have_their_known_sizes(real, name, split, shape):
    images, labels = real(name, split)
    assert images.shape == shape
    assert set(labels) == set(range(10))


def test_mnist_has_its_published_statistics(real):
    images, _ = real("mnist")
    assert images.mean() == pytest.approx(33.3184, abs=1e-4)
    assert images.std() == pytest.approx(78.567, abs=1e-3)


@pytest.mark.full
def test_mnist_10k_is_mnist_split_by_split(real):
    for split in ("train", "test"):
        whole = {
            (image.tobytes(), label)
            for image, label in zip(*real("mnist", split), strict=True)
        }
        part = zip(*data.load("mnist_10k", split), strict=True)
        assert all((image.tobytes(), label) in whole for image, label in part)


def test_slices_are_those_of_the_whole(real):
    images, labels = real("mnist", "test")
    part, part_labels = real("mnist:3.0.1", "test[:5]+test[20:25]")
    order = [*range(5), *range(20, 25)]
    np.testing.assert_array_equal(part, images[order])
    np.testing.assert_array_equal(part_labels, labels[order])


@pytest.mark.parametrize("split", ["valid", "train[5"])
def test_an_unknown_split_of_a_real_set_lists_the_splits(real, split):
    with pytest.raises(
        ValueError, match="one of 'train', 'test' for mnist, or a slice"
    ):
        real("mnist", split)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow"
)
def test_tfrecord_gives_the_same_arrays_as_array_record(real, prepared):
    images, labels = real("mnist", "test", data_dir=prepared)
    wanted, wanted_labels = real("mnist", "test")
    np.testing.assert_array_equal(images, wanted)
    np.testing.assert_array_equal(labels, wanted_labels)


@pytest.fixture
def edited(prepared, tmp_path):
    """Copies real mnist to a folder of `tmp_path`, with other features."""

    def edit(folder, edit_features=lambda features: None):
        source = prepared / "array_record" / "mnist" / "3.0.1"
        target = tmp_path / folder / "3.0.1"
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*train*"))
        features = json.loads((target / "features.json").read_text())
        edit_features(features["featuresDict"]["features"])
        (target / "features.json").write_text(json.dumps(features))
        return target

    return edit


def test_a_set_without_labels_has_none(edited, tmp_path):
    edited("mnist", lambda features: features.pop("label"))
    images, labels = data.load("mnist", "test", limit=3, data_dir=tmp_path)
    assert images.shape == (3, 28, 28, 1) and labels is None


def test_a_set_without_images_is_an_error(edited, tmp_path):
    edited("mnist", lambda features: features.update(scan=features.pop("image")))
    with pytest.raises(ValueError, match=r"feature 'image' .* scan"):
        data.load("mnist", "test", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["mnist", "mnist/plain"])
def test_a_set_has_configurations_and_its_newest_version_counts(edited, tmp_path, name):
    newest = edited("mnist/plain")
    newest.rename(newest.with_name("10.0.0"))
    (newest.with_name("9.0.0")).mkdir()
    (tmp_path / "mnist" / ".config").mkdir()
    default = json.dumps({"default_config_name": "plain"})
    (tmp_path / "mnist" / ".config" / "metadata.json").write_text(default)
    assert len(data.load(name, "test", limit=3, data_dir=tmp_path)[0]) == 3


# What may be imported


def test_what_reads_images_is_imported_when_it_is_needed():
    tree = ast.parse(pathlib.Path(data.__file__).read_text())
    late = {"PIL", "sklearn", "tensorflow_datasets", "tqdm"}
    for node in tree.body:
        names = [alias.name for alias in getattr(node, "names", [])]
        names.append(getattr(node, "module", None) or "")
        assert not late & {name.partition(".")[0] for name in names}


WITHOUT_TENSORFLOW = """
import importlib.machinery, sys

class Hide(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] != "tensorflow":
            return super().find_spec(name, path, target)

finders = sys.meta_path
finders[finders.index(importlib.machinery.PathFinder)] = Hide
from kzoo import data

images, _ = data.load("mnist", "test", limit=9, data_dir=sys.argv[1] + "/array_record")
print(images.shape)
assert "tensorflow" not in sys.modules
try:
    data.load("mnist", "test", limit=9, data_dir=sys.argv[1])
except ImportError as error:
    print(error)
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_array_records_need_no_tensorflow_and_tfrecords_say_so(python, prepared):
    printed = python("-c", WITHOUT_TENSORFLOW, prepared, backend="jax").stdout
    assert "(9, 28, 28, 1)" in printed
    assert "pip install tensorflow" in printed and "array_record" in printed


@pytest.mark.parametrize("name, modes", [("ring-8", 8), ("grid-25", 25)])
def test_points_of_a_mixture(name, modes):
    points, labels = data.load(name, "test")
    assert points.shape == (10_000, 1, 1, 2) and points.dtype == np.float32
    assert points.min() >= 0 and points.max() <= 1
    centres, scale = data.MIXTURES[name]
    assert np.array_equal(np.unique(labels), np.arange(modes))
    offsets = points.reshape(-1, 2) - centres[labels]
    np.testing.assert_allclose(offsets.mean(axis=0), 0, atol=0.05 * scale)
    np.testing.assert_allclose(offsets.std(axis=0), scale, rtol=0.03)
    np.testing.assert_array_equal(points[:5], data.load(name, "test", limit=5)[0])
    assert not np.array_equal(points[:5], data.load(name, limit=5)[0])
    with pytest.raises(ValueError, match="'train', 'test'"):
        data.load(name, "validation")


def test_stacked_mnist_reads_three_digits(real):
    digits, classes = real("mnist", "test")
    images, labels = real("stacked_mnist", "test", limit=50)
    assert images.shape == (50, 28, 28, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int32 and labels.max() < 1000
    known = {
        digit.tobytes(): label for digit, label in zip(digits, classes, strict=True)
    }
    for image, label in zip(images, labels, strict=True):
        channels = [known[image[..., i : i + 1].tobytes()] for i in range(3)]
        assert label == int("".join(map(str, channels)))
