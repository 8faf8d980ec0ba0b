"""SavedModels, read by a process that has TensorFlow and neither Keras nor kzoo."""

import importlib.util

import conftest
import keras
import numpy as np
import pytest
from conformance import batch

from kzoo.models import AAE, DCGAN, VAE, VAEGAN
from kzoo.networks import ConvEncoderDecoder, DCGANNetworks, MLPEncoderDecoder

SERVE = """
import pathlib, sys
sys.modules["keras"] = sys.modules["kzoo"] = None  # cannot be imported
import numpy as np, tensorflow as tf

for arrays in pathlib.Path(sys.argv[1]).glob("*.npz"):
    given = dict(np.load(arrays))
    expected = {k[5:]: given.pop(k) for k in list(given) if k.startswith("want_")}
    model = tf.saved_model.load(str(arrays.with_suffix("")))
    for name, want in expected.items():
        signature = model.signatures[name]
        keys = signature.structured_input_signature[1]
        (got,) = signature(**{k: tf.constant(given[k]) for k in keys}).values()
        np.testing.assert_allclose(got, want, atol=1e-4, err_msg=name)
        (one,) = signature(**{k: tf.constant(given[k][:1]) for k in keys}).values()
        np.testing.assert_allclose(one, want[:1], atol=1e-4, err_msg=name)

    sample = model.signatures["sample"]
    draw = lambda n, seed: sample(
        num=tf.constant(n), seed=tf.constant(seed, tf.int64))["images"].numpy()
    assert draw(3, 2**40).shape == (3, *expected["generate"].shape[1:])
    assert (draw(3, 5) == draw(3, 5)).all() and (draw(3, 5) != draw(3, 6)).any()
    assert draw(9, 1).min() >= 0 and draw(9, 1).max() <= 1
    print(arrays.stem)
"""

SERVED = {
    "dcgan": lambda: DCGAN((8, 8, 3), 3, DCGANNetworks((4,)), num_classes=2),
    "vae": lambda: VAE((8, 8, 1), 3, ConvEncoderDecoder((4,))),
    "aae": lambda: AAE((8, 8, 1), 3, MLPEncoderDecoder((4,))),
    "vaegan": lambda: VAEGAN((8, 8, 1), 3, DCGANNetworks((4,))),
}


def test_served_models_answer_as_the_models_do(tmp_path, python):
    """Other backends start a process for each: one in the short suite."""
    in_process = keras.backend.backend() == "tensorflow"
    names = list(SERVED) if in_process or conftest.full else ["vae"]
    for name in names:
        export(SERVED[name](), tmp_path / name)
    shown = python("-c", SERVE, tmp_path).stdout
    assert set(shown.split()) == set(names)
    assert len(list(tmp_path.iterdir())) == 2 * len(names)  # nothing else was written


def export(model, path):
    """The SavedModel at `path`, and beside it what its signatures should answer."""
    images, labels = batch(model, 5)
    latents = model.draw_latents(5, seed=0)
    arrays = {"latents": latents, "images": images}
    if labels is not None:
        arrays["labels"] = labels.astype("int32")
    wanted = {"generate": model.generate(latents, labels)}
    if hasattr(model, "encode"):
        wanted["encode"] = model.encode(images)
        wanted["decode"] = wanted["generate"]
        wanted["reconstruct"] = model.reconstruct(images)
    wanted["serving_default"] = wanted.get("reconstruct", wanted["generate"])
    wanted = {f"want_{name}": value for name, value in wanted.items()}
    np.savez(path.with_suffix(".npz"), **arrays, **wanted)
    model.export(path, verbose=False)


def test_an_export_that_exists_is_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        VAE((4, 4, 1)).export(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_without_tensorflow_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"kzoo\[tensorflow\]"):
        VAE((4, 4, 1)).export(tmp_path / "served")


LOAD = """
import sys, keras, kzoo, numpy as np
arrays = np.load(sys.argv[2])
model = keras.saving.load_model(sys.argv[1])
labels = np.arange(len(arrays["latents"])) % 2
images = model.generate(arrays["latents"], labels)
np.testing.assert_allclose(images, arrays["images"], atol=1e-5)
assert model.optimizer.iterations == 2
model.fit(np.uint8(images * 255), labels, verbose=0)
"""


BACKENDS = ["jax", "torch", "tensorflow"]
HERE = BACKENDS.index(keras.backend.backend())
NEXT, LAST = BACKENDS[HERE - 2], BACKENDS[HERE - 1]


@pytest.mark.parametrize("other", [NEXT, pytest.param(LAST, marks=pytest.mark.full)])
def test_a_keras_file_draws_the_same_images_on_every_backend(other, tmp_path, python):
    model = DCGAN((8, 8, 1), 3, DCGANNetworks((4,)), num_classes=2)
    model.compile()
    images, labels = batch(model, 16)
    model.fit(images, labels, batch_size=8, verbose=0)
    latents = model.draw_latents(6, seed=1)
    images = model.generate(latents, np.arange(6) % 2)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "arrays.npz", latents=latents, images=images)
    files = tmp_path / "model.keras", tmp_path / "arrays.npz"
    python("-c", LOAD, *files, backend=other)
