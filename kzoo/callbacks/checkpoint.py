"""Stopping and going on as if nothing had happened."""

import json
import pathlib
import zipfile

import keras

from kzoo import backend
from kzoo.files import replacing


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole run after each epoch, and resumes it exactly.

    The file is an ordinary `.keras` file, with the history and the number of epochs
    inside, and is replaced in one step: whenever the process is killed, it holds a
    complete epoch. Resumed with the same arguments and data, `fit` ends with the same
    weights, optimizers, seeds and history as a run that was never stopped. For this the
    global random generators, which shuffle arrays, are seeded anew from `seed` before
    each epoch; not TensorFlow's own, which would have to compile again. With a
    validation split or several workers TensorFlow fixes the order when `fit` starts
    instead: call `keras.utils.set_random_seed` before it. Data sets that shuffle
    themselves have to do so by epoch, as a `kzoo.data.stream` does: there the number of
    the epoch is the position in the data, and `stream(..., steps_per_epoch=1000)` saves
    within a pass.

    Put it last: what a callback after it would do at the end of an epoch is not done
    again, if the process is killed in between.

    Unlike `keras.callbacks.BackupAndRestore`, it keeps the history, never leaves the
    weights of one epoch with the number of another, and stays when training ends, so
    that more epochs can follow.

    Args:
        path: file to write, ending in `.keras`.
        resume: whether to go on from `path` if it exists. If False, it must not exist.
        seed: whole number, the seed of the order in which arrays are shuffled.

    Raises:
        FileExistsError: at the start of `fit`, if `path` exists and `resume` is False.
        ValueError: if `path` holds another model, or one with other settings.

    Example:

    >>> model.fit(images, epochs=20, callbacks=[Checkpoint("run.keras", resume=True)])
    """

    def __init__(self, path, resume=False, seed=0):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"Expected path to end in .keras. Received: path={path}.")
        self.resume, self.seed = resume, seed

    def on_train_begin(self, logs=None):
        self.past = {}
        if self.path.exists():
            if not self.resume:
                raise FileExistsError(
                    f"Expected no file at {self.path}, as resume=False, but an earlier "
                    "run is there. Resume it, or write to another folder."
                )
            self._restore()

    def on_epoch_begin(self, epoch, logs=None):
        backend.reseed(self.seed + epoch)
        # `History` empties its list of epochs when training begins.
        self.model.history.epoch = list(range(epoch))

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.past.setdefault(name, []).append(value)
        if not backend.is_chief():
            return
        progress = {"epochs": epoch + 1, "history": self.past}
        with replacing(self.path) as partial:
            self.model.save(partial)
            with zipfile.ZipFile(partial, "a") as file:
                file.writestr("progress.json", json.dumps(progress))

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None  # or the next `fit` would begin there too

    def _restore(self):
        with zipfile.ZipFile(self.path) as file:
            saved = json.loads(file.read("config.json"))
            progress = json.loads(file.read("progress.json"))
        self._check_same_model(saved)
        self.model.load_weights(self.path)
        self.past = progress["history"]
        self.model.history.history = {k: list(v) for k, v in self.past.items()}
        self.model._initial_epoch = progress["epochs"]  # Keras reads it after this hook

    def _check_same_model(self, saved):
        own = keras.saving.serialize_keras_object(self.model)
        received = {"class": saved["class_name"], **saved["config"]}
        expected = {"class": own["class_name"], **json.loads(json.dumps(own["config"]))}
        keys = {**expected, **received}.keys() - {"name"}
        keys = sorted(k for k in keys if expected.get(k) != received.get(k))
        if keys:
            raise ValueError(
                f"Expected {self.path} to hold the model being trained. Received one "
                f"with other settings: "
                + ", ".join(
                    f"{k}={received.get(k)!r} not {expected.get(k)!r}" for k in keys
                )
                + ". Resume with the settings it was started with."
            )
