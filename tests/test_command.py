"""The command `kzoo`."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conformance import compiled
from PIL import Image
from typer.testing import CliRunner

import kzoo
from kzoo.__main__ import app
from kzoo.models import CGAN, GAN, VAE, VQVAE, SphericalVAE, StyleGAN2
from kzoo.networks import (
    CGANNetworks,
    MLPEncoderDecoder,
    MLPNetworks,
    StyleGANNetworks,
)
from kzoo.networks.vqvae import ConvGridNetworks
from kzoo.parts.quantizers import MovingAverageCodebook

SHAPE = (8, 8, 1)


MAKE = {
    "vae": lambda: VAE(SHAPE, 2, MLPEncoderDecoder((8,))),
    "cgan": lambda: CGAN(SHAPE, 4, CGANNetworks((8,)), num_classes=3),
    "sphere": lambda: SphericalVAE(SHAPE, 3, MLPEncoderDecoder((8,))),
    "vqvae": lambda: VQVAE(
        SHAPE, MovingAverageCodebook(4, 2), ConvGridNetworks((4, 4))
    ),
    "stylegan2": lambda: StyleGAN2(
        SHAPE, 4, StyleGANNetworks((8, 8), mapping_layers=1, noisy=True)
    ),
    "colour": lambda: GAN((6, 4, 3), 4, MLPNetworks((8,))),
}


class Files(dict):
    """Files of small models by name, made when they are asked for."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        path = self.folder / f"{name}.keras"
        compiled(MAKE[name]).save(path)
        return self.setdefault(name, path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("models"))


@pytest.fixture
def kzoo_command(tmp_path, monkeypatch):
    """Runs the command in an empty folder; its result, which must be a success."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kzoo"])  # `train` sets it

    def run(*arguments, fails=False):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if fails:
            # An exception of another kind would be a traceback.
            assert isinstance(result.exception, SystemExit), result.exception
            assert result.exit_code in (1, 2)
        else:
            assert result.exit_code == 0, (result.output, result.exception)
        return result

    return run


def load(path):
    return keras.saving.load_model(path, compile=False)


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def test_each_seed_draws_the_image_of_sample(kzoo_command, models):
    kzoo_command("sample", models["vae"], "--seeds", "4,0-2", "--out", "a.npz")
    kzoo_command("sample", models["vae"], "--seeds", "2", "--out", "b.npz")
    got, alone = arrays("a.npz"), arrays("b.npz")
    assert got["images"].dtype == np.uint8 and list(got["seeds"]) == [4, 0, 1, 2]
    expected = [load(models["vae"]).sample(1, seed=seed)[0] for seed in (4, 0, 1, 2)]
    np.testing.assert_allclose(got["images"] / 255, expected, atol=1 / 255)
    np.testing.assert_array_equal(got["latents"][3:], alone["latents"])
    assert "labels" not in got


def test_labels_are_taken_in_turn(kzoo_command, models):
    sample = ("sample", models["cgan"], "--seeds", "0-4")
    kzoo_command(*sample, "--out", "all.npz")
    kzoo_command(*sample, "--labels", "2", "--out", "one.npz")
    kzoo_command(*sample, "--labels", "0-1", "--out", "two.npz")
    assert list(arrays("all.npz")["labels"]) == [0, 1, 2, 0, 1]
    assert list(arrays("one.npz")["labels"]) == [2] * 5
    assert list(arrays("two.npz")["labels"]) == [0, 1, 0, 1, 0]
    both = arrays("one.npz")
    images = load(models["cgan"]).generate(both["latents"], both["labels"])
    np.testing.assert_allclose(both["images"] / 255, images, atol=1 / 255)


def test_pictures_and_folders(kzoo_command, models):
    sample = ("sample", models["colour"], "--seeds", "3-5", "--columns", "3", "--out")
    kzoo_command(*sample, "new/grid.png")
    kzoo_command(*sample, "new/folder/")
    assert sorted(path.name for path in Path("new").iterdir()) == ["folder", "grid.png"]
    names = sorted(path.name for path in Path("new/folder").iterdir())
    assert names == ["seed0003.png", "seed0004.png", "seed0005.png"]
    with Image.open("new/folder/seed0003.png") as one:
        assert one.size == (4, 6)
        one = np.asarray(one)
    with Image.open("new/grid.png") as grid:
        grid = np.asarray(grid.convert("RGB"))
    zoom = (grid.shape[0]) // 6
    np.testing.assert_array_equal(grid[: 6 * zoom : zoom, : 4 * zoom : zoom], one)


@pytest.mark.one_backend
def test_truncation_is_that_of_the_model(kzoo_command, models):
    kzoo_command(
        *("sample", models["vae"], "--seeds", "5", "--truncation", "0.3"),
        *("--out", "vae.npz"),
    )
    np.testing.assert_allclose(
        arrays("vae.npz")["latents"],
        load(models["vae"]).draw_latents(1, 5, truncation=0.3),
    )
    # Of styles where these have a mean: with psi 0 all images are one.
    kzoo_command(
        *("sample", models["stylegan2"], "--seeds", "0-1", "--truncation", "0"),
        *("--out", "style.npz"),
    )
    first, second = arrays("style.npz")["images"]
    np.testing.assert_array_equal(first, second)
    for name in ("sphere", "vqvae"):
        for verb in ("sample", "interpolate"):
            result = kzoo_command(
                *(verb, models[name], "--truncation", "1", "--out", "x.npz"), fails=True
            )
            assert "truncation" in result.stderr


def test_a_walk_visits_its_seeds_and_comes_back(kzoo_command, models):
    walk = ("interpolate", models["vae"], "--seeds", "1,5,9", "--steps", "4", "--out")
    kzoo_command(*walk, "walk.npz")
    kzoo_command(*walk, "walk.gif")
    got = arrays("walk.npz")
    corners = [load(models["vae"]).draw_latents(1, seed)[0] for seed in (1, 5, 9)]
    np.testing.assert_allclose(got["latents"][::4], corners, atol=1e-6)
    assert got["images"].shape == (12, *SHAPE)
    # In two dimensions a great circle turns and stretches evenly.
    turns = np.diff(np.unwrap(np.angle(got["latents"] @ [1, 1j])).reshape(3, 4), axis=1)
    np.testing.assert_allclose(turns, turns[:, :1].repeat(3, axis=1), atol=0.2)
    with Image.open("walk.gif") as gif:
        assert gif.n_frames > 1 and gif.info["loop"] == 0


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["sphere", "vqvae", "stylegan2", "colour"])
def test_a_walk_has_the_corners_of_every_prior(name, kzoo_command, models):
    kzoo_command(
        *("interpolate", models[name], "--seeds", "1,2", "--steps", "3"),
        *("--out", "walk.npz"),
    )
    latents = arrays("walk.npz")["latents"]
    expected = [load(models[name]).draw_latents(1, seed)[0] for seed in (1, 2)]
    np.testing.assert_allclose(latents[[0, 3]], expected, atol=1e-5)


@pytest.mark.one_backend
def test_a_walk_of_a_conditional_model_has_the_nearer_label(kzoo_command, models):
    walk = ("interpolate", models["cgan"], "--seeds", "1,2", "--steps", "3", "--out")
    kzoo_command(*walk, "zero.npz")
    kzoo_command(*walk, "two.npz", "--labels", "1,2")
    assert list(arrays("zero.npz")["labels"]) == [0] * 6
    assert list(arrays("two.npz")["labels"]) == [1, 1, 2, 2, 2, 1]


def test_reconstructions_lie_below_their_images(kzoo_command, models):
    pairs = ("reconstruct", models["vae"], "--limit", "5", "--columns", "3", "--out")
    kzoo_command(*pairs, "pairs.npz")
    kzoo_command(*pairs, "pairs.png")
    kzoo_command(*pairs, "pairs")
    images, _ = kzoo.data.load("digits", "test", limit=5)
    got = arrays("pairs.npz")
    np.testing.assert_array_equal(got["images"], images)
    expected = load(models["vae"]).reconstruct(images)
    np.testing.assert_allclose(got["reconstructions"] / 255, expected, atol=1 / 255)
    with Image.open("pairs.png") as picture:
        drawn = np.asarray(picture.convert("L"))
    zoom = (drawn.shape[1] - 2 * 2) // (3 * 8)
    cell = 8 * zoom + 2
    for row, source in enumerate(("images", "reconstructions") * 2):
        index = 3 * (row // 2)
        one = drawn[cell * row : cell * row + 8 * zoom : zoom, : 8 * zoom : zoom]
        np.testing.assert_array_equal(one, got[source][index][..., 0])
    assert len(list(Path("pairs").iterdir())) == 10


@pytest.mark.one_backend
def test_a_folder_of_images_and_of_a_run(kzoo_command, models):
    folder = Path("photos")
    folder.mkdir()
    for i, image in enumerate(kzoo.data.load("digits", limit=2)[0]):
        keras.utils.save_img(folder / f"{i}.png", image, scale=False)
    load(models["vae"]).save("run/model.keras")
    kzoo_command(
        *("reconstruct", "run", "--dataset", "./photos", "--split", "train"),
        *("--out", "x.npz"),
    )
    assert len(arrays("x.npz")["images"]) == 2


@pytest.mark.one_backend
def test_lists_name_everything(kzoo_command):
    printed = kzoo_command("list").stdout
    for name in (*kzoo.models.__all__, *kzoo.metrics.METRICS, "stylegan2", "mnist-v1"):
        assert f"  {name}" in printed
    assert "StyleGAN2 (arXiv:1912.04958)" in kzoo_command("list", "models").stdout
    assert "mnist_10k" in kzoo_command("list", "datasets").stdout


def test_env_names_versions_and_backend(kzoo_command):
    printed = kzoo_command("env").stdout
    for text in (kzoo.__version__, keras.__version__, keras.backend.backend()):
        assert text in printed
    assert str(Path.home()) + "/" not in printed.replace("./", "")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        (["smaple"], "sample"),
        (["train", "dcgn"], "dcgan"),
        (["list", "model"], "models"),
        (["sample", "{vae}", "--out", "x.tiff"], ".png"),
        (["sample", "{vae}", "--out", "x.gif"], ".png"),
        (["sample", "{vae}", "--seeds", "1-x", "--out", "x.png"], "0-63"),
        (["sample", "{vae}", "--seeds", "5-1", "--out", "x.png"], "5-1"),
        (["sample", "{vae}", "--labels", "1", "--out", "x.png"], "--labels"),
        (["sample", "{cgan}", "--labels", "3", "--out", "x.png"], "from 0 to 2"),
        (
            ["sample", "{cgan}", "--labels", "0-2", "--seeds", "1", "--out", "x"],
            "label",
        ),
        (["sample", "{vae}", "--truncation", "0", "--out", "x.png"], "truncation"),
        (["interpolate", "{vae}", "--seeds", "1", "--out", "x.gif"], "two seeds"),
        (
            ["reconstruct", "{cgan}", "--out", "x.png"],
            "CGAN. Draw from it: kzoo sample",
        ),
        (["reconstruct", "{vae}", "--dataset", "digit", "--out", "x.png"], "digits"),
        (["evaluate", "{vae}", "--metrics", "fid"], "frechet_distance"),
        (["sample", "{vae}s", "--out", "x.png"], "vae.keras"),
        (["sample", "nothing", "--out", "x.png"], "does not exist"),
        (["sample", "junk.keras", "--out", "x.png"], "junk.keras"),
        (["sample", "plain.keras", "--out", "x.png"], "Functional"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
def test_the_users_mistakes_end_with_what_is_known(
    arguments, named, kzoo_command, models
):
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save("plain.keras")
    Path("junk.keras").write_text("junk")
    before = sorted(Path().iterdir())
    result = kzoo_command(*(a.format_map(models) for a in arguments), fails=True)
    assert named in result.stderr
    assert sorted(Path().iterdir()) == before


@pytest.mark.one_backend
@pytest.mark.parametrize("verb", ["sample", "interpolate", "reconstruct", "export"])
@pytest.mark.parametrize("out", ["old.png", "old"])
def test_an_output_that_exists_is_not_touched(verb, out, kzoo_command, models):
    Path("old").mkdir()
    Path("old.png").write_text("old")
    result = kzoo_command(verb, models["vae"], "--out", out, fails=True)
    assert "--out" in result.stderr and Path("old.png").read_text() == "old"
    assert not list(Path("old").iterdir())


@pytest.mark.one_backend
def test_a_report_of_ones_own_is_not_touched(kzoo_command, models):
    Path("old.json").write_text("old")
    kzoo_command("evaluate", models["vae"], "--output", "old.json", fails=True)
    assert Path("old.json").read_text() == "old"


@pytest.mark.one_backend
def test_an_error_of_the_program_keeps_its_traceback(monkeypatch, models, tmp_path):
    def broken(*arguments, **arrays):
        return {}["key"]

    monkeypatch.setattr("kzoo.drawing.write", broken)
    arguments = ["sample", str(models["vae"]), "--out", str(tmp_path / "x.png")]
    assert isinstance(CliRunner().invoke(app, arguments).exception, KeyError)


@pytest.mark.one_backend
def test_train_runs_the_recipe_as_a_script_does(kzoo_command, monkeypatch):
    monkeypatch.setattr(kzoo.models.Autoencoder, "export", lambda *_, **__: None)
    options = ["--epochs", "1", "--limit", "64", "--latent-dim", "2", "--output"]
    kzoo_command("train", "autoencoder", *options, "command")
    # What torchrun starts anew with --devices on PyTorch.
    assert sys.argv == [str(kzoo_recipe("autoencoder")), *options, "command"]
    sys.argv = [str(kzoo_recipe("autoencoder")), *options, "script"]
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(sys.argv[0], run_name="__main__")
    assert not stopped.value.code
    weights = [
        keras.saving.load_model(f"{folder}/model.keras").get_weights()
        for folder in ("command", "script")
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert history("command") == history("script")


def history(folder):
    return json.loads(Path(folder, "history.json").read_text())


def kzoo_recipe(name):
    return Path(__file__).parents[1] / "recipes" / f"{name}.py"


@pytest.mark.one_backend
def test_help_of_a_recipe_and_of_train(kzoo_command):
    assert "--latent-dim" in kzoo_command("train", "vae", "--help").stdout
    assert "recipe" in kzoo_command("train", "--help").stdout


@pytest.mark.one_backend
def test_help_starts_no_framework(tmp_path):
    """In a process of its own, `python -m kzoo` and the installed command alike."""
    code = """
import runpy, sys
heavy = {"keras", "numpy", "jax", "tensorflow", "torch"}
for command in sys.argv[1:]:
    sys.argv = ["kzoo", *command.split(), "--help"]
    try:
        runpy.run_module("kzoo", run_name="__main__", alter_sys=False)
    except SystemExit as stopped:
        assert not stopped.code, command
    assert not heavy & set(sys.modules), command
import kzoo
assert not heavy & set(sys.modules)
assert kzoo.models.VAE and kzoo.show and kzoo.GenerativeModel
"""
    commands = ["", "list", "train", "sample", "interpolate", "reconstruct"]
    commands += ["evaluate", "export", "env"]
    subprocess.run([sys.executable, "-c", code, *commands], cwd=tmp_path, check=True)
    module = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kzoo", "--help"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "interpolate" in module.stdout and "keras" not in module.stderr


@pytest.mark.one_backend
def test_importing_kzoo_registers_the_models_and_is_light(python, models):
    code = """
import sys
import keras
before = set(sys.modules)
import kzoo
late = {"PIL", "matplotlib", "sklearn", "tensorflow_datasets", "tqdm", "typer"}
loaded = set(sys.modules) - before
assert not [m for m in loaded if m.split(".")[0] in late or m == "scipy.stats"], loaded
assert keras.saving.load_model(sys.argv[1]).sample(1).shape == (1, 8, 8, 1)
"""
    python("-c", code, models["vae"])
