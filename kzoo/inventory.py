"""Finds trained models and recipes; lists names; describes the installation."""

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).parent


def unknown(what, received, known):
    """The message for a name that is not among the known ones."""
    close = difflib.get_close_matches(received, known)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"Unknown {what} {received!r}.{hint} Expected one of {', '.join(known)}."


def recipes():
    """`{name: path}` of the recipes, which are scripts."""
    spec = importlib.util.find_spec("kzoo.recipes")
    # Without: a checkout that is not installed.
    folder = Path(spec.origin).parent if spec else ROOT.parent / "recipes"
    paths = sorted(folder.glob("[!_]*.py"))
    return {path.stem: path for path in paths}


def import_all():
    """Imports kzoo as `import kzoo` does: classes are then registered with Keras."""
    import kzoo

    for name in kzoo.__all__:
        getattr(kzoo, name)


def model_path(path):
    """The file or folder that Keras loads: of a run's folder, its `model.keras`.

    Raises:
        LookupError: if there is none; the message has those that are near.
    """
    inside = path / "model.keras"
    if inside.is_file():
        return inside
    if path.suffix == ".keras" and path.is_file():
        return path
    if (path / "config.json").is_file():
        return path
    folder = path if path.is_dir() else path.parent
    near = [*Path("saved_models").glob("*/*.keras"), *folder.glob("*.keras")]
    near += folder.glob("*/*.keras")
    names = sorted({str(found) for found in near if found.name != "checkpoint.keras"})
    close = difflib.get_close_matches(str(path), names, cutoff=0.4)
    there = f"Models here: {', '.join(close or names[:10])}." if names else ""
    received = "which has no model in it" if path.exists() else "which does not exist"
    raise LookupError(
        "Expected a .keras file, or a folder with model.keras or config.json in it. "
        f"Received: {path}, {received}. {there or 'Train one: kzoo train vae.'}"
    )


def load_model(path):
    """The model in a `.keras` file or a folder, without its optimizers.

    Raises:
        LookupError: if there is no such file or folder.
        ValueError: if Keras cannot load it.
        TypeError: if it is not a model that kzoo knows how to sample from.
    """
    path = model_path(path)
    import_all()
    import keras

    from kzoo.base import GenerativeModel

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(
            f"Expected a model that Keras can load. Received: {path}, which fails: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, GenerativeModel):
        raise TypeError(
            f"Expected a generative model of kzoo. Received: {path}, which holds a "
            f"{type(model).__name__}."
        )
    return model


def _of_models():
    import kzoo

    models = ((name, getattr(kzoo.models, name)) for name in kzoo.models.__all__)
    return {name: inspect.getdoc(one).splitlines()[0] for name, one in models}


def _of_recipes():
    import ast

    trees = {name: ast.parse(path.read_text()) for name, path in recipes().items()}
    return {name: ast.get_docstring(t).splitlines()[0] for name, t in trees.items()}


def _of_datasets():
    from kzoo.data.streaming import IN_MEMORY

    folder = data_folder()
    found = {path.parent for path in folder.glob("**/dataset_info.json")}
    prepared = {str(path.relative_to(folder).parent): "prepared" for path in found}
    own = dict.fromkeys(sorted(IN_MEMORY), "comes with kzoo")
    own["stacked_mnist"] = "made from mnist"
    return own | prepared | {"./FOLDER": "a folder of image files"}


def _of_metrics():
    from kzoo.metrics import METRICS

    return dict.fromkeys(METRICS, "")


def _of_features():
    from kzoo.metrics.features import FEATURES_OF, NAMED, shipped

    datasets = {}
    for dataset, name in FEATURES_OF.items():
        datasets.setdefault(name, []).append(dataset)
    names = sorted({*NAMED, *shipped()})
    return {name: ", ".join(datasets.get(name, [])) for name in names}


LISTS = {
    "models": _of_models,
    "recipes": _of_recipes,
    "datasets": _of_datasets,
    "metrics": _of_metrics,
    "features": _of_features,
}


def table(rows):
    """Names and what is said of each, in two columns."""
    width = max(map(len, rows), default=0)
    return "\n".join(f"  {key:<{width}}  {text}".rstrip() for key, text in rows.items())


def data_folder():
    """Where the sets of TensorFlow Datasets are looked for."""
    folder = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(folder).expanduser()


def environment():
    """`{what: text}`: versions, devices and folders, for a bug report."""
    import keras

    import kzoo

    backend = keras.backend.backend()
    framework = sys.modules[backend]
    cache = os.environ.get("KZOO_CACHE") or "~/.cache/kzoo"
    return {
        "kzoo": f"{kzoo.__version__} in {_shortened(ROOT)}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "keras": keras.__version__,
        "backend": f"{backend} {framework.__version__}",
        "devices": ", ".join(_devices(framework)),
        "also here": ", ".join(_versions()),
        "data sets": _shortened(data_folder()),
        "cache": _shortened(Path(cache).expanduser()),
    }


def _devices(framework):
    import keras

    if framework.__name__ != "torch":
        return keras.distribution.list_devices()
    cards = range(framework.cuda.device_count())
    return [framework.cuda.get_device_name(i) for i in cards] or ["cpu"]


def _versions():
    packages = ("numpy", "tensorflow", "tensorflow-cpu", "jax", "torch", "grain")
    for package in (*packages, "tensorflow-datasets", "array-record", "matplotlib"):
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _shortened(path):
    home, path = str(Path.home()), str(path)
    return "~" + path.removeprefix(home) if path.startswith(home) else path
