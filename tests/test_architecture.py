"""Who may import whom, and what a model needs beside its file."""

import ast
import pathlib

import pytest

import kzoo

pytestmark = pytest.mark.one_backend

ROOT = pathlib.Path(__file__).parents[1]
FRAMEWORKS = {"jax", "tensorflow", "torch"}
# What each part may import from kzoo; parts not named here are only imported.
ALLOWED = {
    "backend": set(),
    "checks": set(),
    "files": set(),
    "metrics": {"backend", "checks", "files"},
    "distribution": {"backend", "checks"},
    "data": {"backend", "checks", "files"},
    "callbacks": {"backend", "checks", "files", "metrics"},
    "__main__": {"data", "drawing", "inventory", "metrics"},
    "drawing": {"callbacks", "checks", "figures", "files", "verbs"},
    "figures": {"callbacks", "checks", "files"},
    "inventory": {"data", "metrics", "training"},
    "recipe": {
        "callbacks",
        "data",
        "distribution",
        "figures",
        "files",
        "metrics",
        "weights",
    },
    "weights": set(),
    "losses": set(),
    "likelihoods": {"checks"},
    "flows": set(),
    "sphere": set(),
    "priors": {"flows", "losses", "sphere"},
    "posteriors": {"flows", "losses", "sphere"},
    "layers": {"backend"},
    "penalties": {"augmentations", "backend"},
    "augmentations": {"backend"},
    "networks": {"checks", "layers"},
    "optimizers": set(),
    "quantizers": {"backend", "checks"},
    "export": {"backend", "files"},
    "samplers": {"checks", "losses", "priors"},
    "verbs": {"backend", "checks", "export", "networks", "samplers"},
    "training": {"backend", "checks", "files", "networks", "optimizers", "verbs"},
    "models": {
        "augmentations",
        "backend",
        "checks",
        "layers",
        "likelihoods",
        "losses",
        "networks",
        "penalties",
        "posteriors",
        "priors",
        "quantizers",
        "training",
        "verbs",
    },
}
FILES = sorted(ROOT.glob("kzoo/**/*.py"))
MODELS = [f.stem for f in ROOT.glob("kzoo/models/*.py") if f.stem != "__init__"]


def part_of(path):
    return path.relative_to(ROOT / "kzoo").with_suffix("").parts[0]


def imports(path):
    """Full names of what a file imports, `from kzoo import x` as `kzoo.x`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_layers(path):
    names = [name.split(".") for name in imports(path)]
    if part_of(path) != "backend":
        assert not FRAMEWORKS & {name[0] for name in names}
    own = {name[1] for name in names if name[0] == "kzoo" and len(name) > 1}
    part = part_of(path)
    if part in ALLOWED:
        main_block = {"export": {"export"}}.get(part, set())
        assert own <= ALLOWED[part] | {part} | main_block


def test_every_part_is_listed():
    parts = {part_of(path) for path in FILES} - {"__init__"}
    assert parts == set(ALLOWED)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_a_test_and_a_recipe(model):
    assert (ROOT / "tests" / "models" / f"test_{model}.py").exists()
    assert (ROOT / "recipes" / f"{model}.py").exists()


@pytest.mark.parametrize("name", kzoo.models.__all__)
def test_a_model_is_in_the_zoo_table(name):
    assert f"`{name}`" in (ROOT / "docs" / "models.md").read_text()


@pytest.mark.parametrize("name", kzoo.models.__all__)
def test_a_model_says_what_it_is_from_which_paper(name):
    text = getattr(kzoo.models, name).__doc__
    assert "arXiv:" in text and "Args:" in text and "Example:" in text


def test_lists_of_names_are_sorted():
    assert kzoo.__all__ == sorted(kzoo.__all__)
    assert kzoo.models.__all__ == sorted(kzoo.models.__all__)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_stay_short(path):
    """No function above 40 statements' lines, docstrings left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= 40, f"{path.name}: {node.name} has {lines} lines"
