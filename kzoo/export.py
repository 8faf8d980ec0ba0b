"""SavedModel for serving, from any backend.

TensorFlow writes the file. On JAX and PyTorch the model is saved to a temporary
`.keras` file, which a child process reloads with `KERAS_BACKEND=tensorflow`: there is
one way to export, and TensorFlow is never started beside another framework.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import keras

from kzoo.files import replacing


def saved_model(model, filepath, verbose=True, overwrite=False):
    """Writes `model` as a TensorFlow SavedModel that needs neither keras nor kzoo.

    Signatures: those of `model.signatures()`, each from named tensors to a dict of one
    named tensor, any batch size, and `sample(num, seed)`, int32 and int64 scalars, to
    `images`. The same seed gives the same images, though not those of `model.sample`.

    Args:
        model: a `GenerativeModel`.
        filepath: folder to create.
        verbose: whether to print the signatures.
        overwrite: whether to replace `filepath` if it exists.

    Raises:
        FileExistsError: if `filepath` exists and `overwrite` is False.
        ImportError: without TensorFlow.
        RuntimeError: if the child process fails, with the end of what it printed.
    """
    filepath = pathlib.Path(filepath)
    if filepath.exists() and not overwrite:
        raise FileExistsError(
            f"Expected a folder that does not exist yet. Received: {filepath}, which "
            "does. Export to another one, or pass overwrite=True."
        )
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(
            "Writing a SavedModel needs TensorFlow, also from another backend. "
            "Install it: pip install 'kzoo[tensorflow]'."
        )
    with replacing(filepath) as partial:
        if keras.backend.backend() == "tensorflow":
            write(model, partial)
        else:
            write_in_child(model, partial)
    if verbose:
        names = ", ".join([*model.signatures(), "sample"])
        print(f"SavedModel: {filepath} with the signatures {names}")


def write(model, filepath):
    """Writes the SavedModel; the backend is TensorFlow."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, specs) in model.signatures().items():
        archive.add_endpoint(name, _named(name, function), specs)
    num = keras.InputSpec(shape=(), dtype="int32", name="num")
    seed = keras.InputSpec(shape=(), dtype="int64", name="seed")
    archive.add_endpoint("sample", _named("sample", _sampler(model)), [num, seed])
    archive.write_out(str(filepath), verbose=False)


def write_in_child(model, filepath):
    """Writes the SavedModel by way of a `.keras` file and a TensorFlow process."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "model.keras"
        model.save(source)
        hidden = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        child = subprocess.run(
            [sys.executable, "-m", "kzoo.export", source, filepath],
            env={**os.environ, **hidden, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
    if child.returncode:
        raise RuntimeError(
            "The TensorFlow process that writes the SavedModel failed. It reloads the "
            "model, so layers of your own must be importable there: run the export "
            f"with KERAS_BACKEND=tensorflow if not.\n{child.stderr[-2000:]}"
        )


def _named(name, function):
    """Gives the function's output a name, which TensorFlow Serving answers with."""
    output = "latents" if name == "encode" else "images"
    return lambda *inputs: {output: function(*inputs)}


def _sampler(model):
    from kzoo.backend.tensorflow import random

    def sample(num, seed):
        normal = random.seeded_normal((num, model.latent_source.size), seed)
        labels = []
        if model.num_classes:
            labels = [random.seeded_labels(num, model.num_classes, seed)]
        latents = model.latent_source(normal, *labels)
        return model.generate_batch(latents, *labels)

    return sample


if __name__ == "__main__":
    import kzoo  # noqa: F401  (registers the models)

    write(keras.saving.load_model(sys.argv[1], compile=False), sys.argv[2])
