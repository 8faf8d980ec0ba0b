"""The wheel: what is in it, and that it works where the source tree is not."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SOURCES = ("kzoo", "recipes", "pyproject.toml", "README.md", "LICENSE")


def packages_of(folder, name):
    paths = (ROOT / folder).rglob("__init__.py")
    parents = (path.parent.relative_to(ROOT / folder).parts for path in paths)
    return {".".join((name, *parts)) for parts in parents}


@pytest.mark.one_backend
def test_every_package_is_listed():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    expected = packages_of("kzoo", "kzoo") | packages_of("recipes", "kzoo.recipes")
    assert sorted(expected) == listed


def run(*arguments, cwd, **environment):
    """What a process printed, in an environment that has no path to the source tree."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    result = subprocess.run(
        [*map(str, arguments)],
        cwd=cwd,
        env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, as setuptools leaves folders beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"),
        *("--no-index", "--wheel-dir", folder / "dist", "."),
        cwd=folder,
    )
    (path,) = (folder / "dist").iterdir()
    return path


@pytest.fixture(scope="module")
def commands(wheel, tmp_path_factory):
    """The folder of the commands of a fresh environment with the wheel.

    What kzoo depends on is that of this environment, read by a `.pth` file; its own
    kzoo is hidden by the wheel's, which comes before.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = pathlib.Path(run(python, "-c", code, cwd=folder).strip())
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"),
        *("--no-index", wheel),
        cwd=folder,
    )
    # Without `import ...` lines, so that editable packages of this environment are not.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.mark.full
@pytest.mark.one_backend
def test_the_wheel_holds_recipes_weights_and_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (n for n in names if n.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    for path in [*ROOT.glob("kzoo/**/*.npz"), *ROOT.glob("kzoo/**/*.md")]:
        assert str(path.relative_to(ROOT)) in names
    for path in ROOT.glob("recipes/*.py"):
        assert f"kzoo/recipes/{path.name}" in names
    assert {"kzoo/py.typed"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "License-Expression: Apache-2.0" in text
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "docs"))]


@pytest.mark.full
@pytest.mark.one_backend
def test_the_installed_wheel_works_in_an_empty_folder(commands, tmp_path):
    backend = {"KERAS_BACKEND": keras.backend.backend()}

    def kzoo(*arguments):
        return run(commands / "kzoo", *arguments, cwd=tmp_path, **backend)

    code = "import kzoo, kzoo.recipes; print(kzoo.__file__, kzoo.recipes.__file__)"
    where = run(commands / "python", "-c", code, cwd=tmp_path, **backend).split()
    assert all(path.startswith(str(commands.parent)) for path in where)

    kzoo("train", "vae", "--epochs", "1", "--limit", "300", "--output", "run")
    kzoo("sample", "run", "--seeds", "0-3", "--out", "grid.png")
    kzoo("evaluate", "run", "--metrics", "frechet_distance,elbo")
    kzoo("export", "run", "--out", "SavedModel")
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"run", "grid.png", "SavedModel"}
    assert (tmp_path / "run" / "history.png").exists()
    assert (tmp_path / "run" / "model.scores.json").exists()
