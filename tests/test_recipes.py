"""The recipes as a user runs them: as scripts, stopped, and started again."""

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
from conformance import assert_same_state
from conftest import ROOT
from PIL import Image

RECIPES = sorted(path.name for path in ROOT.glob("recipes/*.py"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_and_writes_what_it_says(recipe, tmp_path, python):
    output = tmp_path / "run"
    arguments = ["--epochs", 2, "--limit", 96, "--output", output]
    result = python(f"recipes/{recipe}", *arguments)
    assert str(output) in result.stdout
    last = [line for line in result.stdout.splitlines() if line.strip()][-1]
    assert any(character.isdigit() for character in last), last
    history = json.loads((output / "history.json").read_text())
    assert all(len(values) == 2 for values in history.values())
    assert (output / "SavedModel" / "saved_model.pb").exists()
    model = keras.saving.load_model(output / "model.keras")
    assert model.sample(3).shape == (3, 8, 8, 1)
    with Image.open(output / "samples" / "animation.gif") as animation:
        assert animation.n_frames == 2
    assert len(list((output / "samples").glob("epoch_*.png"))) == 2

    again = python(f"recipes/{recipe}", *arguments, check=False)
    assert again.returncode and "FileExistsError" in again.stderr
    python(f"recipes/{recipe}", *arguments, "--resume")
    assert json.loads((output / "history.json").read_text()) == history


def test_killed_and_resumed_recipe_ends_as_if_it_had_run_through(tmp_path, python):
    recipe = ["recipes/dcgan.py", "--limit", "256", "--epochs", "8", "--output"]
    python(*recipe, tmp_path / "whole")

    output = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, *recipe, output],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(output / "samples" / "epoch_0003.png", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "model.keras").exists()

    python(*recipe, output, "--resume")
    whole, resumed = (
        json.loads((tmp_path / run / "history.json").read_text())
        for run in ("whole", "killed")
    )
    assert whole == resumed
    assert_same_state(
        *(
            keras.saving.load_model(tmp_path / run / "model.keras")
            for run in ("whole", "killed")
        )
    )
    pictures = [
        np.asarray(Image.open(tmp_path / run / "samples" / "epoch_0008.png"))
        for run in ("whole", "killed")
    ]
    np.testing.assert_array_equal(*pictures)


def wait_for(path: pathlib.Path, process):
    for _ in range(2400):
        if path.exists():
            return
        assert process.poll() is None, "the recipe ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written in two minutes")
