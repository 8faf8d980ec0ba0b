"""The private names of Keras that kzoo uses: one function each, and all are here.

Each function says what Keras does, why kzoo needs it, and what happens when a release
of Keras drops the name. `tests/test_keras_internals.py` has a test of each that fails
when it no longer takes effect.
"""

import dis
import functools
import inspect
import io
import json
import pathlib
import zipfile

import keras
import numpy as np

import kzoo.backend

# The trainer


def adapt_trainer(cls):
    """Class decorator: overrides three methods of a `keras.Model`, two of them private.

    The functions below say which and why.
    """
    cls._make_function = _run_steps_together(cls)
    cls._maybe_symbolic_build = _build_nothing
    cls.__setattr__ = _set_without_tracking(cls)
    return cls


def _run_steps_together(cls):
    """Returns a `_make_function` that runs `steps_per_execution` steps as one program.

    Keras builds the function that `fit` and `evaluate` call from one step. On JAX it is
    a loop in Python, which starts a program for each step. `backend.execution` replaces
    it. When the name is gone, JAX runs Keras's loop: the same numbers, more slowly.
    """

    def _make_function(self, step_function, **kwargs):
        execution = super(cls, self)._make_function(step_function, **kwargs)
        one = self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile
        if kwargs or one:
            return execution
        steps = self.steps_per_execution
        return kzoo.backend.execution(execution, step_function, steps)

    return _make_function


def _build_nothing(self, *args, **kwargs):
    """The `_maybe_symbolic_build` of a model that is built in `__init__`.

    Under a `tf.distribute` strategy Keras reads a batch before training, averages it
    over the replicas and builds the model from its shape. TensorFlow cannot average
    uint8 images over workers. When the name is gone, `fit` reads one batch more, and
    fails on uint8 images with several workers.
    """


def _set_without_tracking(cls):
    """Returns a `__setattr__` that stores `_jax_state` as it is.

    On JAX Keras sets `_jax_state` in each step, to the values of all variables.
    `keras.Layer.__setattr__` would search them for layers and variables to track. When
    the name is gone, Keras searches: the same numbers, more slowly.
    """

    def __setattr__(self, name, value):
        if name == "_jax_state":
            object.__setattr__(self, name, value)
        else:
            super(cls, self).__setattr__(name, value)

    return __setattr__


def is_evaluation_inside_fit(kwargs):
    """Whether `fit` has called `evaluate(**kwargs)`, on its validation data.

    Keras passes `_use_cached_eval_dataset=True` then, and evaluates the data set that
    `fit` has made. kzoo has checked and divided those data. When the name is gone, they
    are checked and divided again after each epoch.
    """
    return bool(kwargs.get("_use_cached_eval_dataset"))


def set_initial_epoch(model, epoch):
    """Makes `fit` begin at `epoch`. None means its own argument `initial_epoch`.

    Keras reads `_initial_epoch` after the callbacks' `on_train_begin`: its own
    `BackupAndRestore` sets it there. The value stays for the next `fit`. When the name
    is gone, a resumed run begins at epoch 0.
    """
    model._initial_epoch = epoch


# Callbacks

CALLBACK_STATE = {
    "BackupAndRestore": ("_batches_seen_since_last_saving", "_last_batch_seen"),
    "CSVLogger": ("keys",),
    "EarlyStopping": ("best", "wait", "stopped_epoch", "best_weights", "best_epoch"),
    "History": ("epoch", "history"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
    "OrbaxCheckpoint": (
        *("best", "_batches_seen_since_last_saving", "_last_batch_seen"),
        "_total_batches_seen",
    ),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
}


def callback_state(callback):
    """The attributes of a callback of Keras, or of a subclass, that training changes.

    Keras resets most of them when training begins, so that a resumed run would differ.
    What it makes anew from its arguments, such as writers, is left out. When a name is
    gone, that part of the state is not saved.
    """
    names = [cls.__name__ for cls in type(callback).__mro__ if is_of_keras(cls)]
    return next((CALLBACK_STATE[n] for n in names if n in CALLBACK_STATE), ())


def set_by_keras(callback):
    """The attributes of a callback that the code of Keras assigns.

    They are read from its instructions: what a user's subclass of a callback of Keras
    sets is told apart from them.
    """
    return {
        instruction.argval
        for cls in type(callback).__mro__
        if is_of_keras(cls)
        for function in vars(cls).values()
        if inspect.isfunction(function)
        for instruction in dis.get_instructions(function)
        if instruction.opname == "STORE_ATTR"
    }


def is_of_keras(cls):
    return cls.__module__.split(".")[0] == "keras"


# Layers and variables


def untrack(layer, value):
    """Forgets `value`, a layer or variable that was an attribute of `layer`.

    Keras tracks what an attribute is set to, and keeps tracking it when the attribute
    is set to something else. A sampler that was replaced would stay in `model.weights`
    and in files. When the name is gone, this raises an `AttributeError`.
    """
    layer._tracker.untrack(value)


def forget_layout(variable):
    """Lets a variable on JAX be assigned values on one device.

    A variable that is created under a `keras.distribution` keeps its layout, and Keras
    distributes each value that is assigned to it. When the name is gone, a model
    remains on all devices after training, and fails where the other processes ended.
    """
    variable._layout = None


def producer(tensor):
    """`(operation, index, inputs)`: what made a symbolic tensor, and from which.

    Keras has it in `_keras_history` of the tensor. `index` is the tensor's place among
    the outputs. Networks of the user's are judged by what they end in. When the name is
    gone, the operation is None and they are judged by their outputs.
    """
    history = getattr(tensor, "_keras_history", None)
    if history is None or not history.operation:
        return None, 0, []
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, history.tensor_index, node.input_tensors


# Optimizers


def optimized_variables(optimizer):
    """The variables that an optimizer was built for; none before `build`.

    On JAX Keras compares their number only, and would train another model's by them.
    When the name is gone, this raises an `AttributeError`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return optimizer._trainable_variables if optimizer.built else []


def adam_moments(optimizer, variable):
    """The first and the second moment of `variable` in `keras.optimizers.Adam`.

    kzoo's fused steps on TensorFlow and PyTorch update them in place. When the names
    are gone, this raises an `AttributeError`.
    """
    place = optimizer._get_variable_index(variable)
    return optimizer._momentums[place], optimizer._velocities[place]


def replace_adam_step(optimizer, step):
    """Replaces the step of Adam on PyTorch, for all variables at once.

    Keras calls `_parallel_update_step(grads, variables, learning_rate)` there. It
    becomes `step(optimizer, grads, variables, learning_rate)`. AMSGrad keeps its step,
    and so does any optimizer with another step than Adam. When the name is gone, Keras
    computes the step: the same numbers up to rounding, more slowly.
    """
    name = "_parallel_update_step"
    adam = isinstance(optimizer, keras.optimizers.Adam)
    if not adam or optimizer.amsgrad or name in vars(optimizer):
        return
    own = getattr(type(optimizer), name, None)
    if own and own is getattr(type(keras.optimizers.Adam()), name, None):
        object.__setattr__(optimizer, name, functools.partial(step, optimizer))


def keras_adam_step(optimizer, grads, variables, learning_rate):
    """Takes the step that `replace_adam_step` has replaced."""
    step = type(optimizer)._parallel_update_step
    step(optimizer, grads, variables, learning_rate)


def public_module_names(config):
    """A config of `keras.saving`, with optimizers by their public name.

    On PyTorch Keras writes the module of its PyTorch class, in
    `keras.src.backend.torch.optimizers`. Other backends can load that class but not run
    it. When Keras moves it, files that PyTorch wrote do not train elsewhere.
    """
    if not isinstance(config, dict):
        return config
    config = {key: public_module_names(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras.src.backend.torch.optimizers"):
        config["module"] = "keras.optimizers"
    return config


# Files


def is_model_folder(path):
    """Whether the folder `path` holds a model, by the file that Keras reads first.

    Keras loads a folder that has the content of a `.keras` file. When that changes,
    kzoo finds no models in folders.
    """
    return (pathlib.Path(path) / "config.json").is_file()


def read_config(path):
    """The config of the model in the `.keras` file `path`, a dict.

    Its `class_name` and `config` are those of `keras.saving.serialize_keras_object`. A
    `.keras` file is a zip archive; `keras.saving` reads no config without making the
    model. When the name is gone, this raises a `KeyError`.
    """
    return read_json(path, "config.json")


def attach_json(path, name, value):
    """Writes `value` into the `.keras` file `path`, as a JSON file `name`.

    Keras reads only the files that it knows. When the format is no zip archive any
    more, this raises a `zipfile.BadZipFile`.
    """
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(name, json.dumps(value))


def attach_arrays(path, folder, arrays):
    """Writes arrays into the `.keras` file `path`: `folder/0.npy` and so on."""
    with zipfile.ZipFile(path, "a") as file:
        for i, array in enumerate(arrays):
            with file.open(f"{folder}/{i}.npy", "w", force_zip64=True) as entry:
                np.save(entry, array, allow_pickle=False)


def read_arrays(path, folder):
    """The list of arrays that `attach_arrays` wrote."""
    with zipfile.ZipFile(path) as file:
        count = sum(name.startswith(f"{folder}/") for name in file.namelist())
        return [
            np.load(io.BytesIO(file.read(f"{folder}/{i}.npy")), allow_pickle=False)
            for i in range(count)
        ]


def check_archive(path):
    """Raises a `zipfile.BadZipFile` or an `OSError` for a damaged `.keras` file."""
    with zipfile.ZipFile(path) as file:
        damaged = file.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} in it is damaged")


def read_json(path, name):
    """The content of the JSON file `name` in the `.keras` file `path`."""
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read(name))
