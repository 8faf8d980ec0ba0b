"""Who may import whom, and what a model needs beside its file."""

import ast
import functools
import inspect
import pathlib

import keras
import pytest

import kzoo
from kzoo.base import PhasedModel

pytestmark = pytest.mark.one_backend

ROOT = pathlib.Path(__file__).parents[1]
FRAMEWORKS = {"jax", "tensorflow", "torch"}
# What each part may import from kzoo; parts not named here are only imported.
ALLOWED = {
    "backend": set(),
    "checks": set(),
    "files": set(),
    "optimizers": {"backend"},
    "config": {"checks", "optimizers"},
    "media": {"checks"},
    "layers": {"backend", "checks"},
    "parts": {"backend", "checks", "config", "layers"},
    "networks": {"checks", "config", "layers", "media", "parts"},
    "samplers": {"checks", "networks", "parts"},
    "export": {"backend", "files"},
    "base": {
        "backend",
        "checks",
        "config",
        "export",
        "files",
        "media",
        "networks",
        "optimizers",
        "parts",
        "samplers",
    },
    "models": {
        "backend",
        "base",
        "checks",
        "config",
        "layers",
        "media",
        "networks",
        "parts",
        "samplers",
    },
    "metrics": {"backend", "checks", "files", "media"},
    "distribution": {"backend", "checks"},
    "data": {"backend", "checks", "files", "media"},
    "callbacks": {"backend", "checks", "files", "media", "metrics"},
    "figures": {"checks", "files", "media"},
    "drawing": {"base", "checks", "figures", "files", "media"},
    "inventory": {"base", "data", "metrics"},
    "weights": {"checks"},
    "recipe": {
        "callbacks",
        "data",
        "distribution",
        "figures",
        "files",
        "metrics",
        "weights",
    },
    "__main__": {"data", "drawing", "inventory", "metrics"},
}
# Models whose constructors and ancestors are counted: what is passed on is not theirs.
MOST_ARGUMENTS, MOST_ANCESTORS = 12, 5
KERAS_INTERNALS = ROOT / "kzoo" / "backend" / "keras_internals.py"
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


def all_models():
    """Classes and functions of the zoo, and every class in their files."""
    found = {name: getattr(kzoo.models, name) for name in kzoo.models.__all__}
    for module in vars(kzoo.models).values():
        if inspect.ismodule(module) and module.__name__.startswith("kzoo.models."):
            found |= {
                name: value
                for name, value in vars(module).items()
                if inspect.isclass(value) and issubclass(value, PhasedModel)
            }
    return found


@pytest.mark.parametrize("name", all_models())
def test_constructors_are_small(name):
    parameters = inspect.signature(all_models()[name]).parameters.values()
    own = [p.name for p in parameters if p.kind != p.VAR_KEYWORD]
    base = {"optimizers", "name"}  # of every model
    assert len(set(own) - base) <= MOST_ARGUMENTS, own


@pytest.mark.parametrize(
    "name", [n for n, model in all_models().items() if inspect.isclass(model)]
)
def test_models_have_one_line_of_ancestors(name):
    line = all_models()[name].__mro__[1:]
    own = [cls for cls in line if cls.__module__.startswith("kzoo.")]
    assert len(own) <= MOST_ANCESTORS
    for cls in (all_models()[name], *own):
        bases = [b for b in cls.__bases__ if b.__module__.startswith("kzoo.")]
        assert len(bases) <= 1, f"{cls.__name__} has {bases}"


@pytest.mark.parametrize("name", all_models())
def test_configs_are_arguments(name):
    """No model writes its config itself, or takes out what its parent has."""
    model = all_models()[name]
    if inspect.isclass(model) and model.__module__.startswith("kzoo.models"):
        assert not {"get_config", "from_config", "fixed", "refuse"} & set(vars(model))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_set_before_the_parent_is(path):
    """No constructor sets an attribute of `self` before `super().__init__`."""
    for cls in ast.walk(ast.parse(path.read_text())):
        if not isinstance(cls, ast.ClassDef):
            continue
        for init in cls.body:
            if isinstance(init, ast.FunctionDef) and init.name == "__init__":
                calls = [n.lineno for n in ast.walk(init) if is_super_init(n)]
                stores = [n.lineno for n in ast.walk(init) if is_attribute_store(n)]
                assert not calls or not stores or min(calls) < min(stores), cls.name


def is_super_init(node):
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "__init__"
    )


def is_attribute_store(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


@functools.cache
def private_names_of_keras():
    """What begins with one underscore in the objects of Keras that kzoo works with."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    callback = keras.callbacks.Callback()
    of_keras = model, model.layers[0], model.optimizer, model.weights[0], callback
    names = {name for thing in of_keras for name in dir(thing)}
    return {n for n in names if n.startswith("_") and not n.startswith("__")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_private_names_of_keras_are_in_one_place(path):
    if path == KERAS_INTERNALS:
        return
    text = path.read_text()
    nodes = list(ast.walk(ast.parse(text)))
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    made = {node.attr for node in nodes if is_attribute_store(node)}  # its own
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    classes = [n for n in nodes if isinstance(n, ast.ClassDef) and n.bases]
    overridden = {getattr(node, "name", "") for cls in classes for node in cls.body}
    assert sorted((asked - made | overridden) & private_names_of_keras()) == []
    assert "keras.src" not in text


def public_names():
    """Classes and functions that users reach: `{dotted name: object}`."""
    found = {}
    for package in (kzoo, kzoo.models, kzoo.parts, kzoo.networks, kzoo.layers):
        for name in package.__all__:
            value = getattr(package, name)
            if not inspect.ismodule(value):
                found[f"{package.__name__}.{name}"] = value
    return found


@pytest.mark.parametrize("name", public_names())
def test_public_names_say_what_they_are(name):
    """Each argument is named in its docstring, or in that of a parent that has it."""
    value = public_names()[name]
    text = inspect.getdoc(value)
    assert text and not text.startswith(("Of ", "The same"))
    if inspect.isclass(value):
        parents = [
            c for c in value.__mro__ if c.__module__.startswith(("kzoo", "keras"))
        ]
        text = "".join(inspect.getdoc(c) or "" for c in parents)
    for argument in inspect.signature(value).parameters.values():
        if argument.kind == argument.POSITIONAL_OR_KEYWORD:
            assert argument.name in text, f"{name} does not say what {argument} is"


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
