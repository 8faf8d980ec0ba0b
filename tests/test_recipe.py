"""Trains a small VAE, in the tests of what recipes share.

python recipes/small.py --epochs 2
"""

import errno
import inspect
import json
import sys
import zipfile

import keras
import numpy as np
import pytest
import typer
from conformance import assert_same_state
from keras.saving import load_model

import kzoo
from kzoo.networks import MLPEncoderDecoder, MLPNetworks
from kzoo.parts.likelihoods import LIKELIHOODS
from kzoo.recipe import ELBO, WRITTEN, named, recipe, script

one_backend = pytest.mark.one_backend
PARTS = ["config.json", "metadata.json", "model.weights.h5"]


class At(keras.callbacks.Callback):
    """Calls a function of the model when an epoch begins."""

    def __init__(self, epoch, function):
        super().__init__()
        self.epoch, self.function = epoch, function

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.function(self.model)


callbacks = []  # of the next run


@recipe(epochs=1, batch_size=32, test_split="test")
def small(run, latent_dim: int = 2, activation: str = "relu"):
    networks = MLPEncoderDecoder((8,), activation)
    model = kzoo.models.VAE(run.images().shape[1:], latent_dim, networks)
    model.compile(run_eagerly=True)  # quicker than compiling
    run.fit(model, pictures=callbacks)
    run.report(model, ELBO)


@recipe(epochs=1, batch_size=32)
def other(run):
    model = kzoo.models.GAN(run.images().shape[1:], 2, MLPNetworks((8,)))
    run.fit(model)


def train(output, *during, **options):
    callbacks[:] = [At(*pair) for pair in during]
    small(output=output, **{"limit": 64} | options)
    return load_model(output / "model.keras")


@pytest.fixture(autouse=True, scope="module")
def without_exporting():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("write", "write_in_child"):
            patch.setattr(kzoo.export, name, lambda model, path: path.mkdir())
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of one epoch, as a file."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, seed=1)
    return folder / "model.keras"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model of three epochs that was never stopped."""
    return train(tmp_path_factory.mktemp("whole"), epochs=3)


@one_backend
def test_help_shows_own_and_shared_options_and_the_docstring(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["small", "--help"])
    with pytest.raises(SystemExit) as stop:
        script(small)
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    shared = "dataset epochs batch-size split test-split image-size limit output resume"
    for name in f"latent-dim {shared} from seed devices".split():
        assert f"--{name} " in shown
    assert "python recipes/small.py --epochs 2" in shown


@one_backend
def test_every_shared_option_has_a_help_text():
    for parameter in inspect.signature(other).parameters.values():
        (option,) = parameter.annotation.__metadata__
        assert option.help


@one_backend
def test_defaults_are_the_recipes_own():
    options = inspect.signature(small).parameters
    assert options["epochs"].default == 1 and options["batch_size"].default == 32
    assert options["output"].default.parts == ("saved_models", "test_recipe")
    assert options["test_split"].default == "test"
    assert "test_split" not in inspect.signature(other).parameters


@one_backend
def test_the_command_line_reaches_the_recipe(tmp_path, monkeypatch, capsys):
    arguments = ["--epochs", "2", "--limit", "64", "--latent-dim", "3", "--output"]
    monkeypatch.setattr(sys, "argv", ["small", *arguments, str(tmp_path)])
    callbacks[:] = []
    with pytest.raises(SystemExit) as stop:
        script(small)
    assert not stop.value.code and str(tmp_path) in capsys.readouterr().out
    assert load_model(tmp_path / "model.keras").latent_dim == 3
    history = json.loads((tmp_path / "history.json").read_text())
    assert all(len(values) == 2 for values in history.values())


@one_backend
def test_a_recipe_writes_its_files(tmp_path, capsys):
    train(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"samples", "reconstructions", "history.png", "history.json"} <= written
    assert {"model.keras", "checkpoint.keras", "SavedModel"} <= written
    assert "Test negative ELBO" in capsys.readouterr().out


@one_backend
@pytest.mark.parametrize("name", WRITTEN)
def test_an_earlier_run_is_not_touched(name, tmp_path, monkeypatch):
    """And it is looked for before anything else is done."""
    (tmp_path / name).write_text("earlier")
    monkeypatch.setattr(kzoo.data, "load", None)
    with pytest.raises(typer.BadParameter, match=f"(?s){name}.*--resume"):
        train(tmp_path)
    assert (tmp_path / name).read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


@one_backend
def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(kzoo.data, "load", None)
    with pytest.raises(typer.BadParameter, match="can be written to"):
        train(tmp_path / "file" / "run")


@one_backend
def test_an_unknown_data_set_is_a_wrong_option(tmp_path):
    with pytest.raises(typer.BadParameter, match="no_such_set"):
        train(tmp_path / "run", dataset="no_such_set")
    assert not (tmp_path / "run").exists()


@one_backend
def test_a_named_part_takes_the_settings_that_it_has():
    part = named("likelihood", "bernoulli", LIKELIHOODS, binarize=True, scale=None)
    assert part.binarize
    with pytest.raises(ValueError, match=r"(?s)gaussian.*scale.*binarize"):
        named("likelihood", "gaussian", LIKELIHOODS, binarize=True)
    with pytest.raises(ValueError, match="poisson"):
        named("likelihood", "poisson", LIKELIHOODS)


@one_backend
def test_a_setting_out_of_range_is_an_error_of_the_command_line(tmp_path):
    with pytest.raises(typer.BadParameter, match="latent_dim=-1"):
        small(output=tmp_path, latent_dim=-1, limit=64)


def interrupt(model):
    raise KeyboardInterrupt


def full_disk(model):
    raise OSError(errno.ENOSPC, "No space left on device")


@one_backend
@pytest.mark.parametrize("stop", [interrupt, full_disk])
def test_a_stopped_run_says_what_is_left_and_goes_on(stop, whole, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / "run", (2, stop), epochs=3)
    assert ended.value.code
    assert not (tmp_path / "run" / "model.keras").exists()
    checkpoint = tmp_path / "run" / "checkpoint.keras"
    load_model(checkpoint)
    shown = capsys.readouterr().err
    assert str(checkpoint) in shown and "--resume" in shown

    assert_same_state(whole, train(tmp_path / "run", epochs=3, resume=True))


@one_backend
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path, monkeypatch, capsys
):
    def break_saving(model):
        monkeypatch.setattr(kzoo.models.VAE, "save", lambda *args: full_disk(None))

    with pytest.raises(SystemExit):
        train(tmp_path, (1, break_saving), epochs=2)
    assert "No space left" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "checkpoint.keras") as file:
        assert json.loads(file.read("progress.json"))["epochs"] == 1
    assert not list(tmp_path.glob(".partial*"))


@one_backend
def test_stopped_in_the_first_epoch_there_is_nothing_to_resume(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train(tmp_path, (0, interrupt))
    shown = capsys.readouterr().err
    assert "No epoch" in shown and "--resume" not in shown


def starting_point(model, into):
    into += [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    into += [int(keras.ops.convert_to_numpy(model.optimizer.iterations))]


@pytest.mark.one_backend
@pytest.mark.parametrize("folder", [False, True])
def test_from_goes_on_with_the_weights_and_a_fresh_optimizer(folder, trained, tmp_path):
    source, start = trained, []
    if folder:
        source = tmp_path / "model"
        with zipfile.ZipFile(trained) as file:
            file.extractall(source, PARTS)
    train(tmp_path / "run", (0, lambda m: starting_point(m, start)), from_=source)
    *weights, iterations = start
    assert iterations == 0
    for mine, theirs in zip(weights, load_model(trained).weights, strict=True):
        np.testing.assert_array_equal(mine, keras.ops.convert_to_numpy(theirs))


@one_backend
def test_from_leaves_out_a_sampler(trained, tmp_path):
    model = load_model(trained)
    model.fit_sampler("normal", kzoo.data.load("digits", limit=64)[0])
    model.save(tmp_path / "sampled.keras")
    assert train(tmp_path / "run", from_=tmp_path / "sampled.keras").sampler is None


@one_backend
@pytest.mark.parametrize(
    "options, message",
    [
        ({"image_size": 16}, r"shape \(16, 16, 1\).*\(8, 8, 1\)"),
        ({"latent_dim": 3}, "latent_dim=2 instead of 3"),
        # Weights of the same shapes.
        ({"activation": "tanh"}, "activation='relu' instead of 'tanh'"),
    ],
)
def test_from_another_model_is_refused(options, message, trained, tmp_path):
    with pytest.raises(typer.BadParameter, match=message):
        train(tmp_path, from_=trained, **options)
    assert not list(tmp_path.iterdir())


@one_backend
def test_from_another_class_is_refused(trained, tmp_path):
    with pytest.raises(typer.BadParameter, match=r"trained GAN.*a VAE"):
        other(output=tmp_path, limit=64, from_=trained)


@one_backend
def test_from_a_model_with_other_networks_says_which_it_is(tmp_path):
    kzoo.models.LSGAN((8, 8, 1), 2).save(tmp_path / "lsgan.keras")
    with pytest.raises(typer.BadParameter, match=r"(?s)trained GAN .*a LSGAN .*MLPNet"):
        other(output=tmp_path / "run", limit=64, from_=tmp_path / "lsgan.keras")


@one_backend
def test_from_takes_the_networks_of_another_loss(tmp_path):
    """And of a model by another name, which is of the same class."""
    networks = MLPEncoderDecoder((8,))
    source = kzoo.models.BetaVAE((8, 8, 1), 2, networks, beta=9.0)
    source.save(tmp_path / "source.keras")
    start = []
    during = (0, lambda model: starting_point(model, start))
    model = train(tmp_path / "run", during, from_=tmp_path / "source.keras")
    assert model.beta == 1.0
    for mine, theirs in zip(start[:-1], source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@one_backend
@pytest.mark.parametrize("name", ["missing.keras", "text.keras", "folder"])
def test_from_needs_a_model(name, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "folder").mkdir()
    with pytest.raises(typer.BadParameter, match=name):
        train(tmp_path / "run", from_=tmp_path / name)


@one_backend
def test_resume_takes_precedence_over_from(trained, tmp_path):
    train(tmp_path, epochs=1)
    expected, start = load_model(tmp_path / "checkpoint.keras"), []
    train(
        tmp_path,
        (1, lambda m: starting_point(m, start)),
        epochs=2,
        resume=True,
        from_=trained,
    )
    *weights, iterations = start
    assert iterations == 2
    for mine, theirs in zip(weights, expected.weights, strict=True):
        np.testing.assert_array_equal(mine, keras.ops.convert_to_numpy(theirs))
