"""The private names of Keras that kzoo uses: one function each, and all are here.

Each function says what Keras does, why kzoo needs it, and what happens when a release
of Keras drops the name. `tests/test_keras_internals.py` has a test of each that fails
when it no longer takes effect.
"""

import contextlib
import dis
import functools
import inspect
import io
import json
import pathlib
import types
import zipfile

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter, is_torch_dataloader
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

import kzoo.backend

# The trainer


def adapt_trainer(cls):
    """Class decorator: overrides methods of a `keras.Model`, most of them private.

    The functions below say which and why.
    """
    cls._make_function = _run_steps_together(cls)
    cls._maybe_symbolic_build = _build_nothing
    cls._get_jax_state = _keep_state(cls)
    cls.__setattr__ = _set_without_tracking(cls.__setattr__)
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


def _keep_state(cls):
    """Returns a `_get_jax_state` that keeps what it takes from the variables.

    On JAX Keras empties the variables when training starts, and has their values only
    in the running step. An error in reading the first batch would lose them. From
    `_jax_state` `jax_state_sync` brings them back. When a name is gone, a model whose
    first batch is refused on JAX is lost.
    """

    def _get_jax_state(self, purge_model_variables=False, **groups):
        state = super(cls, self)._get_jax_state(
            purge_model_variables=purge_model_variables, **groups
        )
        if purge_model_variables:
            names = [name for name, wanted in groups.items() if wanted]
            self._jax_state = dict(zip(names, state, strict=True))
        return state

    return _get_jax_state


def _set_without_tracking(set_attribute):
    """Returns a `__setattr__` that stores `_jax_state` as it is, all else as before.

    On JAX Keras sets `_jax_state` in each step, to the values of all variables.
    `keras.Layer.__setattr__` would search them for layers and variables to track. When
    the name is gone, Keras searches: the same numbers, more slowly.
    """

    def __setattr__(self, name, value):
        if name == "_jax_state":
            object.__setattr__(self, name, value)
        else:
            set_attribute(self, name, value)

    return __setattr__


@contextlib.contextmanager
def new_step(model, name):
    """Lets Keras compile the method `name` anew, while it makes a function of it.

    On JAX Keras compiles `model.train_step`, and JAX knows a function by equality: it
    would take what it has compiled for the same method of the same model before. It
    gets another function. When Keras takes the method from the class, a setting that
    has changed has no effect.
    """
    step, before = getattr(model, name), vars(model).get(name)
    object.__setattr__(model, name, lambda *args: step(*args))
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(model, name)
        else:
            object.__setattr__(model, name, before)


def synchronize_state(model):
    """Gives the variables of a model in training their values, on JAX.

    They are in `_jax_state` between two steps. Keras lets callbacks call
    `jax_state_sync`, and reads the variables again before the next step.
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def is_evaluation_inside_fit(kwargs):
    """Whether `fit` has called `evaluate(**kwargs)`, on its validation data.

    Keras passes `_use_cached_eval_dataset=True` then, and evaluates the data set that
    `fit` has made. kzoo has checked and divided those data. When the name is gone, they
    are checked and divided again after each epoch.
    """
    return bool(kwargs.get("_use_cached_eval_dataset"))


def forget_validation_data(model):
    """Drops the iterator of validation data that `fit` keeps in `_eval_epoch_iterator`.

    Keras drops it at the end of `fit`, on TensorFlow and PyTorch not after an error.
    The next `fit` would validate on the old data, and TensorFlow may hang when Python
    ends. When the name is gone, this does nothing.
    """
    if getattr(model, "_eval_epoch_iterator", None) is not None:
        del model._eval_epoch_iterator


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


# Data


class CheckedData(DataAdapter):
    """The data set `x`, with `check(batch)` called on each batch before the step.

    Keras makes an adapter of each kind of data, and takes an adapter as it is. This one
    wraps Keras's. When the name is gone, importing kzoo raises an `ImportError`.

    Args:
        x: a data set, loader or generator.
        check: function of a batch, which raises an exception for a bad one.
        split: function of a batch that returns a tuple of its parts, or None for those
            that are not there. Keras takes tuples only from a PyTorch `DataLoader`.
        plausible: function of a batch of tensors that returns a boolean tensor: if
            True, TensorFlow leaves out `check`. None: it never does.
        shuffle: whether Keras is to shuffle a `PyDataset`.

    Attributes:
        failure: the first exception that a check raised, or None. TensorFlow reads
            data in a thread and hides it there.
    """

    def __init__(self, x, check, split, plausible=None, shuffle=False):
        self.failure, self._check = None, check
        self._plausible = plausible or (lambda batch: keras.ops.array(False))
        if isinstance(x, types.GeneratorType):
            x = self._each(x)
        shuffle = shuffle and isinstance(x, keras.utils.PyDataset)
        self._adapter = get_data_adapter(x, shuffle=shuffle)
        if is_torch_dataloader(x) and keras.backend.backend() != "torch":
            self._adapter._dataloader = _Mapped(x, lambda batch: _some(split(batch)))

    def check(self, batch):
        try:
            self._check(batch)
        except Exception as error:
            self.failure = self.failure or error
            raise
        return batch

    def _each(self, batches):
        for batch in batches:
            self.check(batch)
            yield _some(batch) if isinstance(batch, tuple | list) else (batch,)

    def get_numpy_iterator(self):
        return _Mapped(self._adapter.get_numpy_iterator(), self.check)

    def get_jax_iterator(self):
        return _Mapped(self._adapter.get_jax_iterator(), self.check)

    def get_torch_dataloader(self):
        return _Mapped(self._adapter.get_torch_dataloader(), self.check)

    def get_tf_dataset(self):
        dataset = self._adapter.get_tf_dataset()
        return kzoo.backend.checked(dataset, self.check, self._plausible)

    def __getattr__(self, name):
        return getattr(self._adapter, name)

    num_batches = property(lambda self: self._adapter.num_batches)
    batch_size = property(lambda self: self._adapter.batch_size)
    has_partial_batch = property(lambda self: self._adapter.has_partial_batch)
    partial_batch_size = property(lambda self: self._adapter.partial_batch_size)

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()


class _Mapped:
    """An iterable of `function(batch)` for each of the batches."""

    def __init__(self, batches, function):
        self.batches, self.function = batches, function

    def __iter__(self):
        return map(self.function, self.batches)


def _some(parts):
    return tuple(part for part in parts if part is not None)


# Layers and variables


def untrack(layer, value):
    """Forgets `value`, a layer or variable that was an attribute of `layer`.

    Keras tracks what an attribute is set to, and keeps tracking it when the attribute
    is set to something else. A sampler that was replaced would stay in `model.weights`
    and in files. When the name is gone, this raises an `AttributeError`.
    """
    layer._tracker.untrack(value)


def contents(layer):
    """The layers in `layer`, then its own variables that training may move.

    Keras keeps both in the order in which they were set, frozen or not, which weights
    in files rely on too. Public lists leave out what is frozen, or layers of layers.
    When a name is gone, this raises an `AttributeError`.
    """
    return [*layer._layers, *layer._trainable_variables]


def own_trainable(items):
    """A list of whether each layer or variable is to be trained.

    Whatever it is in: the public property can be overridden, and takes longer to read
    in each step. When the name is gone, this raises an `AttributeError`.
    """
    return [item._trainable for item in items]


def set_own_trainable(item, value):
    """Sets `trainable` of a layer or variable alone.

    The public setter of a layer passes it on to all that is in the layer, and so cannot
    freeze a layer and not one inside. When the name is gone, this has no effect: what
    was frozen is trained again once it is loaded.
    """
    if isinstance(item, keras.Variable):
        item.trainable = value  # PyTorch's tensor is told, too
    else:
        item._trainable = value


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
