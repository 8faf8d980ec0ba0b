"""The recipes as a user runs them: as scripts, stopped, and started again."""

import functools
import importlib
import importlib.util
import inspect
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import typer
from conformance import assert_same_state
from conftest import ROOT
from keras.saving import load_model as load
from PIL import Image

import kzoo
from kzoo.networks import (
    ConvEncoderDecoder,
    DCGANNetworks,
    EncoderDecoder,
    GANNetworks,
    MLPEncoderDecoder,
    MLPNetworks,
)
from kzoo.networks.hierarchy import HierarchyNetworks

full, one_backend = pytest.mark.full, pytest.mark.one_backend


def check_output(output, shown, epochs):
    """The files a recipe writes, and that its last line has a figure."""
    last = [line for line in shown.splitlines() if line.strip()][-1]
    assert str(output) in shown
    assert any(character.isdigit() for character in last), last
    history = json.loads((output / "history.json").read_text())
    assert all(len(values) == epochs for values in history.values())
    assert (output / "SavedModel" / "saved_model.pb").exists()
    model = load(output / "model.keras")
    assert model.sample(3).shape == (3, 8, 8, 1)
    assert len(list((output / "samples").glob("epoch_*.png"))) == epochs
    with Image.open(output / "samples" / "animation.gif") as animation:
        assert animation.n_frames == epochs


LABELLED = ["acgan", "biggan", "cgan", "cvae"]
PERHAPS_LABELLED = ["sagan", "sngan"]
# Of each recipe, widths that are quicker to compile than the model's own.
WIDTHS = {
    "aae": (8,),
    "acgan": (8, 4),
    "autoencoder": (4,),
    "began": (4, 8),
    "beta_tcvae": (4,),
    "beta_vae": (4,),
    "bigan": (8,),
    "biggan": None,  # an option
    "cgan": (8,),
    "cvae": (8,),
    "dcgan": (8, 4),
    "denoising_vae": (8,),
    "dip_vae": (4,),
    "factor_vae": (4,),
    "gan": (8,),
    "hvae": (8, 8, 8, 8, 8),
    "infogan": (8, 4),
    "infovae": (8,),
    "iwae": (8,),
    "joint_vae": (4,),
    "lsgan": (8, 4),
    "piwae": (8,),
    "r3gan": (16, 16),
    "rae": (4,),
    "sagan": (8, 8),
    "sngan": (8, 8),
    "spherical_vae": (8,),
    "stylegan2": (4, 4),
    "vae": (8,),
    "vaegan": (8, 4),
    "vampvae": (8,),
    "vqvae": None,
    "wae": (4,),
    "wgan": (8, 4),
}


EVERYWHERE = ["dcgan", "vae", "vqvae"]  # the others on one backend
RECIPES = [
    pytest.param(name, marks=() if name in EVERYWHERE else one_backend)
    for name in WIDTHS
]
# Of the discriminator for each of the generator, by recipe and model.
SEVERAL_STEPS = {"biggan": "BigGAN", "sngan": "SNGAN", "wgan": "WGANGP"}


def quickened(recipe, monkeypatch):
    """Lets the recipe build its model as a smaller program: narrow, with few steps."""
    widths = WIDTHS[recipe]
    if widths:
        for networks in (EncoderDecoder, HierarchyNetworks):
            monkeypatch.setattr(networks, "__init__", narrow(networks.__init__, widths))
        for networks in all_subclasses(GANNetworks):
            monkeypatch.setattr(networks, "default_widths", lambda self, shape: widths)
    if recipe in SEVERAL_STEPS:
        name = SEVERAL_STEPS[recipe]
        small = functools.partial(getattr(kzoo.models, name), discriminator_steps=1)
        monkeypatch.setattr(kzoo.models, name, small)


def narrow(init, widths):
    """The constructor, which takes these widths whatever it is passed."""

    @functools.wraps(init)
    def narrowed(*args, **kwargs):
        bound = inspect.signature(init).bind(*args, **kwargs)
        init(**bound.arguments | {"widths": widths})

    return narrowed


def all_subclasses(cls):
    return {cls}.union(*map(all_subclasses, cls.__subclasses__()))


def without_a_child(monkeypatch):
    """The process that writes a SavedModel for other backends runs TensorFlow, where
    each recipe exports; one recipe starts it on the others.
    """

    def write(model, filepath):
        filepath.mkdir()
        (filepath / "saved_model.pb").touch()

    monkeypatch.setattr(kzoo.export, "write_in_child", write)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_and_writes_what_it_says(recipe, tmp_path, capsys, monkeypatch):
    quickened(recipe, monkeypatch)
    if recipe != "vae":
        without_a_child(monkeypatch)
    options = {"conditional": True} if recipe in PERHAPS_LABELLED else {}
    options |= {"widths": "8,8"} if recipe == "biggan" else {}
    if recipe == "vqvae":  # whose samples change with each epoch at this rate
        options |= {"prior_width": 8, "prior_blocks": 1, "prior_learning_rate": 0.05}
    output = tmp_path / "run"
    main = script(f"recipes/{recipe}.py").main
    # Two batches of one size, so that a step is traced once.
    main(epochs=2, batch_size=48, limit=96, output=output, **options)
    check_output(output, capsys.readouterr().out, 2)


@one_backend
@pytest.mark.parametrize("recipe", LABELLED + PERHAPS_LABELLED)
def test_a_conditional_recipe_needs_labels(recipe, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    options = {"conditional": True} if recipe in PERHAPS_LABELLED else {}
    with pytest.raises(typer.BadParameter, match="no labels"):
        script(f"recipes/{recipe}.py").main(
            dataset=str(tmp_path), output=tmp_path / "run", **options
        )


@one_backend
@pytest.mark.parametrize("recipe", WIDTHS)
def test_a_recipe_is_short_and_says_how_to_start_it(recipe):
    module = script(f"recipes/{recipe}.py")
    assert f"python recipes/{recipe}.py " in module.__doc__
    assert module.main.__doc__ == module.__doc__
    lines = pathlib.Path(module.__file__).read_text().splitlines()
    assert recipe == "vqvae" or len(lines) <= 30


@full
def test_killed_and_resumed_recipe_ends_as_if_it_had_run_through(tmp_path, python):
    recipe = ["recipes/dcgan.py", "--limit", "256", "--epochs", "8", "--output"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    check_output(whole, python(*recipe, whole).stdout, 8)
    again = python(*recipe, whole, check=False)
    assert again.returncode and "--resume" in again.stderr

    process = subprocess.Popen(
        [sys.executable, *recipe, killed],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(killed / "samples" / "epoch_0003.png", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model.keras").exists()

    check_output(killed, python(*recipe, killed, "--resume").stdout, 8)
    histories = [(run / "history.json").read_text() for run in (whole, killed)]
    assert histories[0] == histories[1]
    assert_same_state(*(load(run / "model.keras") for run in (whole, killed)))
    last = [run / "samples" / "epoch_0008.png" for run in (whole, killed)]
    np.testing.assert_array_equal(*(np.asarray(Image.open(path)) for path in last))


@pytest.mark.full
@one_backend
def test_the_example_in_the_readme_runs(tmp_path, python):
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("epochs=20", "epochs=1")
    script = tmp_path / "example.py"
    script.write_text(f"import os; os.chdir({str(tmp_path)!r})\n{code}")
    python(script)
    assert (tmp_path / "run" / "SavedModel" / "saved_model.pb").exists()


def script(path):
    """A recipe or benchmark as a module: quicker to call than to start."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@full
def test_comparison_reports_every_model_and_claim(tmp_path, capsys):
    compare = script("recipes/compare.py")
    compare.in_a_new_process = lambda function, *arguments: function(*arguments)
    compare.SAMPLES = 5
    compare.MODELS = {
        "MLP VAE": lambda shape: kzoo.models.VAE(shape, 2, MLPEncoderDecoder((8,))),
        "conv VAE": lambda shape: kzoo.models.VAE(shape, 2, ConvEncoderDecoder((4, 8))),
        "MLP GAN": lambda shape: kzoo.models.GAN(shape, 2, MLPNetworks((8,))),
        "DCGAN": lambda shape: kzoo.models.DCGAN(shape, 2, DCGANNetworks((8, 4))),
    }
    compare.main(epochs=1, limit=96, output=tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert report in capsys.readouterr().out and "seeds 0 to 0" in report
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["MLP VAE", "conv VAE", "MLP GAN", "DCGAN"]
    for name, (run,) in results.items():
        assert f"| {name} |" in report
        assert run["parameters"] > 500 and run["peak_memory_mb"] > 50
        assert ("negative_log_likelihood" in run) == name.endswith("VAE")
    assert "a GAN is sharper | yes" in report or "a GAN is sharper | no" in report
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.size > (800, 500)


@one_backend
def test_models_of_the_comparison_have_about_a_million_parameters():
    for make in script("recipes/compare.py").MODELS.values():
        assert 0.6e6 < make((28, 28, 1)).count_params() < 1.2e6


@full
def test_a_run_of_the_comparison_has_a_process_of_its_own(tmp_path, monkeypatch):
    """So its peak memory is the model's: an epoch needs no 4 GB."""
    monkeypatch.syspath_prepend(ROOT / "recipes")  # where the process finds it too
    compare = importlib.import_module("compare")
    assert compare.in_a_new_process(os.getpid) not in (None, os.getpid())
    data = {"dataset": "digits", "image_size": None, "limit": 96}
    settings = data, "pixels", 1, 128, False
    compare.in_a_new_process(compare.train, "DCGAN", 0, tmp_path, *settings)
    run = json.loads((tmp_path / "result.json").read_text())
    assert run["parameters"] > 1e5 and 50 < run["peak_memory_mb"] < 4000


@full
def test_classifier_recipe_makes_features(tmp_path, capsys):
    script("recipes/classifier.py").main(
        epochs=4, widths="8,16", batch_size=64, limit=400, output=tmp_path
    )
    shown = capsys.readouterr().out
    assert float(shown.rsplit(":", 1)[1].strip(" %\n")) > 20  # 10 by chance
    images, _ = kzoo.data.load("digits", "test")
    extractor = kzoo.metrics.Extractor(str(tmp_path / "classifier.npz"), (8, 8, 1))
    assert extractor(images)[0].shape == (297, 16)


@one_backend
@pytest.mark.parametrize("recipe", ["classifier", "compare"])
def test_an_earlier_result_is_not_touched(recipe, tmp_path):
    (tmp_path / "classifier.npz").write_text("earlier")
    with pytest.raises(typer.BadParameter, match="another --output"):
        script(f"recipes/{recipe}.py").main(output=tmp_path)
    assert (tmp_path / "classifier.npz").read_text() == "earlier"


@full
@pytest.mark.parametrize(
    "name, arguments, figures",
    [
        ("likelihood", {"dataset": "digits", "stages": 2, "samples": 9}, ["±"]),
        (
            "likelihood",
            {
                "model": "two layers",
                "samples_in_training": 2,
                "dataset": "digits",
                "stages": 2,
                "samples": 9,
            },
            ["±"],
        ),
        ("floor", {"datasets": "digits"}, ["frechet_distance:", "coverage:"]),
        ("throughput", {"models": "MLP VAE", "steps": 3, "rounds": 2}, ["'ratio'"]),
        *[
            (
                "throughput",
                {
                    "models": "MLP VAE",
                    "steps": 2,
                    "rounds": 1,
                    "limits": 64,
                    "precision": precision,
                },
                ["'ratio'", "'of_floor'"],
            )
            for precision in ("float32", "bfloat16")
            if keras.backend.backend() != "tensorflow"  # where none is counted
        ],
        (
            "zoo",
            {"models": "CGAN,InfoGAN", "limit": 96, "metrics": "kernel_distance"},
            ["CGAN", "InfoGAN", "'kernel_distance'"],
        ),
        (
            "vqvae",
            {
                "dataset": "digits",
                "quantizers": "ema",
                "limit": 96,
                "epochs": 1,
                "prior_epochs": 1,
                "width": 8,
                "blocks": 1,
            },
            ["'reconstruction'", "'prior val_loss'"],
        ),
        ("modes", {"datasets": "ring-8", "steps": 20, "seeds": 1}, ["modes:"]),
        (
            "wgan_gp",
            {"dataset": "digits", "epochs": 1, "batch_size": 8, "limit": 8},
            ["'d_loss'", "'gradient_penalty'"],
        ),
        (
            "disentanglement",
            {
                "models": "beta-VAE",
                "epochs": 1,
                "image_size": 24,
                "orientations": 2,
                "positions": 2,
            },
            ["beta-VAE mig: mean", "factor_vae", "train_kl"],
        ),
        (
            "samplers",
            {
                "models": "VAE",
                "epochs": 1,
                "limit": 96,
                "steps": 2,
                "metrics": "kernel_distance",
            },
            ["VAE prior", "VAE two_stage", "'kernel_distance'"],
        ),
    ],
)
def test_benchmark_runs(name, arguments, figures, tmp_path, capsys):
    benchmark = script(f"benchmarks/{name}.py")
    benchmark.WIDTH = 4  # WGAN-GP's
    benchmark.main(output=tmp_path, **arguments)
    shown = capsys.readouterr().out
    assert all(figure in shown for figure in figures)
    assert list(tmp_path.glob("*.json"))


@full
def test_growth_is_measured_in_processes_of_their_own(tmp_path, python):
    arguments = ["--sweeps", "latents", "--largest", 2, "--steps", 1]
    result = python("benchmarks/growth.py", *arguments, "--output", tmp_path)
    assert "'ms'" in result.stdout
    assert (tmp_path / "growth.png").exists()


def wait_for(path: pathlib.Path, process):
    for _ in range(2400):
        if path.exists():
            return
        assert process.poll() is None, "the recipe ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written in two minutes")
