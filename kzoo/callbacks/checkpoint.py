"""Checkpoints of a whole run, from which it resumes exactly."""

import json
import pathlib

import keras

from kzoo import backend, checks
from kzoo.backend import keras_internals
from kzoo.files import replacing


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole run after each epoch, and resumes it exactly.

    The file is an ordinary `.keras` file that also holds the history and the number of
    epochs. It is replaced in one step: whenever the process is killed, the file holds a
    complete epoch. With the same arguments and data, a resumed `fit` ends with the same
    weights, optimizers, seeds and history as a run that was never stopped.

    For this, the global random generators, which shuffle arrays, are seeded from `seed`
    and the number of the epoch before each epoch. TensorFlow's own is not: it would
    compile again. With a validation split or several workers TensorFlow fixes the order
    when `fit` starts: call `keras.utils.set_random_seed` before it. Data sets that
    shuffle themselves have to do so by epoch. A `kzoo.data.stream` does: the number of
    the epoch is its position in the data, and `stream(..., steps_per_epoch=1000)` saves
    within a pass.

    Put it last. If the process is killed between two callbacks, what those after it do
    at the end of an epoch is lost.

    Unlike `keras.callbacks.BackupAndRestore`, it keeps the history, never pairs the
    weights of one epoch with the number of another, and leaves its file when training
    ends, so that more epochs can follow.

    Args:
        path: file to write, ending in `.keras`.
        resume: whether to resume from `path` if it exists. If False, it must not exist.
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
        self.resume, self.seed = resume, checks.whole_number("seed", seed)

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
            keras_internals.attach_json(partial, "progress.json", progress)

    def on_train_end(self, logs=None):
        keras_internals.set_initial_epoch(self.model, None)  # for the next `fit`

    def _restore(self):
        progress = keras_internals.read_json(self.path, "progress.json")
        self._check_same_model(keras_internals.read_config(self.path))
        self.model.load_weights(self.path)
        self.past = progress["history"]
        self.model.history.history = {k: list(v) for k, v in self.past.items()}
        # Keras reads it after this hook.
        keras_internals.set_initial_epoch(self.model, progress["epochs"])

    def _check_same_model(self, saved):
        own = keras.saving.serialize_keras_object(self.model)
        received = {"class": saved["class_name"], **saved["config"]}
        expected = {"class": own["class_name"], **json.loads(json.dumps(own["config"]))}
        differences = checks.differences(received, expected)
        if differences:
            raise ValueError(
                f"Expected {self.path} to hold the model being trained. Received one "
                f"with other settings: {differences}. Resume with the settings it was "
                "started with."
            )
