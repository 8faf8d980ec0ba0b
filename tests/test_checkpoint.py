"""Stopping and resuming. `test_recipes.py` does it with SIGKILL."""

import keras
import numpy as np
import pytest
from conformance import assert_same_state, batch, compiled, state

from kzoo.callbacks import Checkpoint
from kzoo.models import DCGAN, GAN, LSGAN, SNGAN, VAE
from kzoo.networks import DCGANNetworks, MLPNetworks


def make():
    return DCGAN((8, 8, 1), 4, DCGANNetworks((4,)))


def fit(model, epochs, *callbacks):
    images, labels = batch(model, 20)
    return model.fit(images, labels, 8, epochs, verbose=0, callbacks=callbacks).history


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations >= 5:
            raise KeyboardInterrupt


def test_a_resumed_run_is_the_uninterrupted_run(tmp_path):
    whole = compiled(make)
    history = fit(whole, 4, Checkpoint(tmp_path / "whole.keras"))

    model, path = compiled(make), tmp_path / "run.keras"
    with pytest.raises(KeyboardInterrupt):
        fit(model, 4, Checkpoint(path), Crash())
    resumed = make()
    resumed.compile()
    assert fit(resumed, 4, Checkpoint(path, resume=True)) == history
    assert resumed.history.epoch == [0, 1, 2, 3]
    assert_same_state(whole, resumed)

    again = make()
    again.compile()
    assert fit(again, 4, Checkpoint(path, resume=True)) == history
    assert_same_state(whole, again)
    longer = fit(again, 5, Checkpoint(path, resume=True))
    assert {name: len(values) for name, values in longer.items()} == {
        name: 5 for name in history
    }


def test_the_file_is_an_ordinary_model(tmp_path):
    model, path = compiled(make), tmp_path / "run.keras"
    fit(model, 1, Checkpoint(path))
    assert_same_state(model, keras.saving.load_model(path))


def test_an_earlier_run_is_not_overwritten(tmp_path):
    path = tmp_path / "run.keras"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="Resume"):
        fit(compiled(make), 1, Checkpoint(path))
    assert path.read_bytes() == b"mine"
    with pytest.raises(ValueError, match=r"\.keras"):
        Checkpoint(tmp_path / "run.h5")


def test_names_of_optimizers_that_keras_numbers_are_no_other_settings(tmp_path):
    path = tmp_path / "run.keras"

    def make():
        return SNGAN((8, 8, 1), 4, MLPNetworks((4,)), discriminator_steps=1)

    fit(compiled(make), 1, Checkpoint(path))
    again = make()
    names = [one.get_config()["optimizers"]["generator"] for one in (make(), again)]
    assert names[0] != names[1]
    again.compile()
    assert len(fit(again, 2, Checkpoint(path, resume=True))["generator_loss"]) == 2


@pytest.mark.parametrize(
    "other, named",
    [
        (lambda: GAN((8, 8, 1), 4, MLPNetworks((4,))), "architecture=DCGANNetworks"),
        (lambda: DCGAN((8, 8, 1), 4, DCGANNetworks((8,))), r"widths=\[4\] instead of"),
        # A function of the same class.
        (lambda: LSGAN((8, 8, 1), 4, DCGANNetworks((4,))), "loss=NonSaturating"),
        (lambda: VAE((8, 8, 1), 4), "class"),
    ],
)
def test_the_file_of_another_model_is_refused(other, named, tmp_path):
    path = tmp_path / "run.keras"
    fit(compiled(make), 1, Checkpoint(path))
    model = compiled(other)
    before = state(model)
    with pytest.raises(ValueError, match=named):
        fit(model, 2, Checkpoint(path, resume=True))
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)
