"""Checkpoints of a whole run, from which it resumes exactly."""

import json
import pathlib
import warnings
import weakref

import keras
import numpy as np

from kzoo import backend, checks
from kzoo.backend import keras_internals
from kzoo.callbacks.state import States
from kzoo.files import replacing

# {optimizer: its settings as a run of this process has left them}
LEFT = weakref.WeakKeyDictionary()


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole run after each epoch, and resumes it exactly.

    The file is an ordinary `.keras` file that also holds the history, the number of
    epochs and the state of the other callbacks. It is replaced in one step: whenever
    the process is killed, the file holds a complete epoch. With the same arguments and
    data, a resumed `fit` ends with the same weights, optimizers, seeds and history as a
    run that was never stopped.

    Callbacks: it runs after all others, wherever it is in the list. Of Keras's own it
    saves what training changes, such as the best value of `ModelCheckpoint` and the
    lines of `CSVLogger`. Of others it saves what `get_state()` returns, for
    `set_state(state)`, or without these two the attributes that have changed: numbers,
    strings, None, arrays, tensors, Keras objects with variables, and lists, dicts and
    the like of them. A warning names what it cannot save. Callbacks are found again by
    their class and settings, and by their order where settings have changed; one that
    is new starts anew.

    For this, the global random generators, which shuffle arrays, are seeded from `seed`
    and the number of the epoch before each epoch. TensorFlow's own is not: it would
    compile again. With a validation split or several workers TensorFlow fixes the order
    when `fit` starts: call `keras.utils.set_random_seed` before it. Data sets that
    shuffle themselves have to do so by epoch. A `kzoo.data.stream` does: the number of
    the epoch is its position in the data, and `stream(..., steps_per_epoch=1000)` saves
    within a pass.

    An epoch in which a callback stops training before the last batch is not saved: a
    resumed run repeats it. After `EarlyStopping` has stopped a run, it trains no
    further unless its patience is raised or it is left out.

    Unlike `keras.callbacks.BackupAndRestore`, it keeps the history, never pairs the
    weights of one epoch with the number of another, and leaves its file when training
    ends, so that more epochs can follow.

    Args:
        path: file to write, ending in `.keras`.
        resume: whether to resume from `path` if it exists. If False, it must not exist.
        seed: whole number, the seed of the order in which arrays are shuffled.

    Raises:
        FileExistsError: at the start of `fit`, if `path` exists and `resume` is False.
        ValueError: at the start of `fit`, if `path` is damaged or no checkpoint, or
            holds another model, or one with other settings of the model or of its
            optimizers.

    Example:

    >>> model.fit(images, epochs=20, callbacks=[Checkpoint("run.keras", resume=True)])
    """

    async_safe = True  # at the end of a batch it only counts

    def __init__(self, path, resume=False, seed=0):
        super().__init__()
        self.path = pathlib.Path(path)
        if self.path.suffix != ".keras":
            raise ValueError(f"Expected path to end in .keras. Received: path={path}.")
        self.resume, self.seed = resume, checks.whole_number("seed", seed)
        self.others = None

    def before_fit(self, model, others, settings):
        """Checks the file before any callback begins, as some empty their files then.

        Called by `fit` of the models of kzoo.

        Args:
            model: to train.
            others: the list of the other callbacks.
            settings: the arguments of `fit` that the numbers depend on, as a dict.
        """
        self.others, self.settings = others, {**settings, "seed": self.seed}
        self._check(model)

    def _check(self, model):
        self.progress = None
        self.optimizer = _optimizer_config(model.optimizer)
        self.config = _model_config(model)
        if not self.path.exists():
            return
        if not self.resume:
            raise FileExistsError(
                f"Expected no file at {self.path}, as resume=False, but an earlier "
                "run is there. Resume it, or write to another folder."
            )
        saved, progress = self._read()
        self._check_same_model(saved, progress)
        self._check_same_optimizer(saved, progress, model)
        self.optimizer = progress.get("optimizer", self.optimizer)
        self.config = progress.get("model", self.config)
        self.progress = progress

    def _read(self):
        """The config and the progress of a file that is known to be whole."""
        try:
            keras_internals.check_archive(self.path)
            saved = keras_internals.read_config(self.path)
        except Exception as error:
            raise self._unreadable(error) from error
        try:
            progress = keras_internals.read_json(self.path, "progress.json")
            return saved, {"epochs": progress["epochs"], **progress}
        except KeyError as error:
            raise ValueError(
                f"Expected a file that Checkpoint has written. Received: {self.path}, "
                "a model without its run. Pass another path, and start from the model "
                "by keras.saving.load_model."
            ) from error
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error):
        return ValueError(
            f"Expected a file that Checkpoint has written. Received: {self.path}, "
            f"which cannot be read: {type(error).__name__}: {error}. It is damaged "
            "or no such file. Put a copy in its place, or move it away to start anew."
        )

    def _check_same_model(self, saved, progress):
        """The model is to be that of the start, or as callbacks have left it."""
        left = {"class": saved["class_name"], **saved["config"]}
        start = progress.get("model", left)
        # What is trainable the optimizer's state in the file depends on.
        known = [{**start, "trainable": left.get("trainable")}, left]
        differences = [checks.differences(one, self.config) for one in known]
        differences = all(differences) and differences[0]
        if differences:
            raise ValueError(
                f"Expected {self.path} to hold the model being trained. Received one "
                f"with other settings: {differences}. Resume with the settings it was "
                "started with."
            )

    def _check_same_optimizer(self, saved, progress, model):
        """The optimizer is to be that of the start, or as a callback has left it."""
        compiled = saved.get("compile_config") or {}
        known = [progress.get("optimizer"), _rounded(compiled.get("optimizer"))]
        known += [LEFT.get(model.optimizer)]
        known = [one for one in known if one]
        found = [checks.differences(one, self.optimizer) for one in known]
        if found and all(found):
            raise ValueError(
                f"Expected the optimizer that the run in {self.path} was started with. "
                f"Received another one: the file has {found[0]}, compiled here. To go "
                "on, compile the model as then. To train on with other settings, start "
                "a new run: model = keras.saving.load_model(path), change its "
                "optimizer or compile it anew, and pass a Checkpoint of another path."
            )

    def set_model(self, model):
        super().set_model(model)
        self.trained = model  # on JAX `self.model` copies all variables

    def on_train_begin(self, logs=None):
        told, self.others = self.others is not None, self.others or []
        if not told:
            self.settings = {"seed": self.seed}
            self._check(self.model)
        self.epochs = None  # of a history to restore
        self.states = States(self.others)
        missed = [
            f"{type(callback).__name__} has {', '.join(sorted(lost))}"
            for callback, lost in zip(self.others, self.states.lost, strict=True)
            if lost
        ]
        if not told:
            missed.append("The other callbacks, which only models of kzoo name")
        self.warned = [set(lost) for lost in self.states.lost]
        if self.progress is not None:
            missed += self._restore(self.progress)
        self._warn(missed)

    def _warn(self, missed):
        missed = list(dict.fromkeys(missed))
        if missed and backend.is_chief():
            warnings.warn(
                f"Checkpoint {self.path} does not restore all state of the callbacks, "
                f"so that a resumed run may differ: {'; '.join(missed)}. Keep state in "
                "attributes that are plain values and arrays, or give the callback "
                "get_state() and set_state(state).",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch, logs=None):
        backend.reseed(self.seed + epoch)
        self._restore_epochs()
        self._note_optimizer()
        self.cut_short = False

    def on_train_batch_end(self, batch, logs=None):
        last = batch + 1 == self.params["steps"]
        self.cut_short = self.trained.stop_training and not last

    def on_epoch_end(self, epoch, logs=None):
        self._note_optimizer()
        if self.cut_short:
            return
        if not backend.is_chief():
            return
        entries, arrays = self.states.save()
        self._warn_of_new(entries)
        progress = {
            "epochs": epoch + 1,
            **self._history(epoch, logs),
            "optimizer": self.optimizer,
            "model": self.config,
            "settings": self._settings() and self._settings().save(),
            "fit": self.settings,
            "callbacks": entries,
        }
        with replacing(self.path) as partial:
            self.model.save(partial)
            keras_internals.attach_json(partial, "progress.json", progress)
            keras_internals.attach_arrays(partial, "callbacks", arrays)

    def _settings(self):
        """Those of a model of kzoo, which callbacks may change."""
        return getattr(self.trained, "compiled_settings", None)

    def _history(self, epoch, logs):
        """The history with this epoch, for the file.

        Keras's own runs last, and has yet to note the epoch; the user's may have.
        """
        noted = self.model.history
        history = {name: list(values) for name, values in noted.history.items()}
        if epoch not in noted.epoch:
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        return {"history": history, "epoch": sorted({*noted.epoch, epoch})}

    def _warn_of_new(self, entries):
        """Warns of what has come to be unsaveable since training began."""
        self._warn(
            f"{entry['class']} has {what}"
            for entry, warned in zip(entries, self.warned, strict=True)
            for what in {*entry["lost"]} - warned
        )
        self.warned = [{*entry["lost"]} for entry in entries]

    def on_train_end(self, logs=None):
        self._restore_epochs()  # where no epoch was left
        keras_internals.set_initial_epoch(self.model, None)  # for the next `fit`
        self.others = None

    def _restore(self, progress):
        """Sets the model and the callbacks. Returns what was missed, as sentences."""
        try:
            arrays = keras_internals.read_arrays(self.path, "callbacks")
            self.model.load_weights(self.path)
        except Exception as error:
            raise self._unreadable(error) from error
        if progress.get("settings") and self._settings():
            self._settings().restore(progress["settings"])
        missed = self.states.restore(progress.get("callbacks", []), arrays)
        self.model.history.history = {
            k: list(v) for k, v in progress["history"].items()
        }
        self.epochs = progress.get("epoch", list(range(progress["epochs"])))
        self._check_same_data(progress.get("fit", {}))
        stopped = any(map(_has_stopped, self.others))
        begin = self.params["epochs"] if stopped else progress["epochs"]
        # Keras reads it after this hook.
        keras_internals.set_initial_epoch(self.model, max(begin, progress["epochs"]))
        self._note_optimizer()
        return missed

    def _note_optimizer(self):
        """So that what a callback has set is not taken for a setting of the user's."""
        LEFT[self.model.optimizer] = _optimizer_config(self.model.optimizer)

    def _restore_epochs(self):
        """`History` empties its list of epochs when training begins."""
        if self.epochs is not None:
            self.model.history.epoch, self.epochs = list(self.epochs), None

    def _check_same_data(self, before):
        both = [name for name in self.settings if name in before]
        now = _as_json(self.settings)
        differences = checks.differences(
            {k: before[k] for k in both}, {k: now[k] for k in both}
        )
        if differences and backend.is_chief():
            warnings.warn(
                f"Expected the arguments of fit that the run in {self.path} was "
                f"started with. Received others: the file has {differences}. The "
                "run goes on, but ends otherwise than one that was never stopped.",
                stacklevel=2,
            )


def _has_stopped(callback):
    """Whether an `EarlyStopping` has ended the run, and would again."""
    return (
        isinstance(callback, keras.callbacks.EarlyStopping)
        and callback.stopped_epoch > 0
        and callback.wait >= callback.patience
    )


def _model_config(model):
    """The class and the settings of a model, as in a file."""
    own = keras.saving.serialize_keras_object(model)
    return {"class": own["class_name"], **_as_json(own["config"])}


def _optimizer_config(optimizer):
    """The settings of an optimizer, or of all members of a group, as in a file."""
    if optimizer is None:
        return None
    return _rounded(_as_json(keras.saving.serialize_keras_object(optimizer)))


def _rounded(config):
    """An optimizer's config by public names, with 0.001 for the nearest float32."""
    config = keras_internals.public_module_names(config)

    def round_(value):
        if isinstance(value, dict):
            return {k: round_(v) for k, v in value.items()}
        if isinstance(value, list):
            return list(map(round_, value))
        short = isinstance(value, float) and float(np.float32(value)) == value
        return float(str(np.float32(value))) if short else value

    return round_(config)


def _as_json(value):
    return json.loads(json.dumps(value))
