"""The demo: its picture and models, and what a second run does."""

import functools
import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

import kzoo
from kzoo.networks import DCGANNetworks, MLPEncoderDecoder

DEMO = pathlib.Path(__file__).parents[1] / "recipes" / "demo.py"


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The demo's `main` on few images and with narrow networks."""
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    narrow_networks = {"VAE": MLPEncoderDecoder((16,)), "DCGAN": DCGANNetworks((8, 8))}
    for name, networks in narrow_networks.items():
        build = narrow(getattr(kzoo.models, name), networks)
        monkeypatch.setattr(kzoo.models, name, build)
    monkeypatch.setattr(kzoo.data, "load", functools.partial(kzoo.data.load, limit=120))
    return functools.partial(module.main, tmp_path / "demo", vae_epochs=2)


def narrow(build, networks):
    return lambda *args, **kwargs: build(*args, **{**kwargs, "architecture": networks})


@pytest.mark.full
def test_demo_writes_a_picture_and_models_and_a_second_run_goes_on(
    demo, tmp_path, capsys
):
    demo(gan_epochs=1)
    output = tmp_path / "demo"
    with Image.open(output / "demo.png") as picture:
        width, height = picture.size
        assert 800 <= width <= 2000 and 500 <= height <= 1500
        assert np.asarray(picture.convert("L")).std() > 20
    samples = keras.saving.load_model(output / "dcgan.keras").sample(4, seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and str(output / "demo.png") in lines[-1]

    demo(gan_epochs=1)
    assert len(capsys.readouterr().out.splitlines()) == 3
    again = keras.saving.load_model(output / "dcgan.keras").sample(4, seed=0)
    np.testing.assert_array_equal(samples, again)
