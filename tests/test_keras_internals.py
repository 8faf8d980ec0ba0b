"""The private names of Keras that kzoo uses. Each test fails when one has no effect."""

import ast
import json

import keras
import numpy as np
import pytest
from conformance import batch, compiled, fit
from conftest import ROOT, wave
from keras import ops

from kzoo import backend
from kzoo.backend import keras_internals
from kzoo.callbacks import Checkpoint
from kzoo.models import VAE
from kzoo.networks import MLPEncoderDecoder
from kzoo.optimizers import OptimizerGroup, serialize

BACKEND = keras.backend.backend()


def make():
    return VAE((8, 8, 1), 4, MLPEncoderDecoder((16,)))


def count_calls(monkeypatch, owner, name):
    """Returns a list that grows by one whenever `owner.name` is called."""
    calls, function = [], getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(name)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def private_names():
    """The names with one underscore that objects of Keras have on this backend."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    objects = [model, model.layers[0], model.optimizer, model.trainable_variables[0]]
    objects += [keras.callbacks.Callback(), keras.random.SeedGenerator(0)]
    names = {name for each in objects for name in dir(each)}
    return {name for name in names if name[0] == "_" != name[1]}


def used_names(path):
    """Attributes that a file takes from elsewhere, and the methods that it defines."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    of_self = [n for n in attributes if getattr(n.value, "id", None) == "self"]
    own = {n.attr for n in of_self if isinstance(n.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            yield from (n.name for n in node.body if isinstance(n, ast.FunctionDef))
    yield from (n.attr for n in attributes if n not in of_self or n.attr not in own)


def test_no_other_module_uses_a_private_name_of_keras():
    private = private_names()
    for path in sorted(ROOT.glob("kzoo/**/*.py")):
        if path.stem != "keras_internals":
            assert not private.intersection(used_names(path)), path
            assert "keras.src" not in path.read_text(), path


# The trainer

LEAVE = """
import jax, keras, numpy as np
from kzoo.backend import keras_internals
jax.config.update("jax_num_cpu_devices", 2)
keras.distribution.set_distribution(keras.distribution.DataParallel())
variable = keras.Variable(np.zeros(2))
keras.distribution.set_distribution(None)
variable.assign(np.ones(2))
assert len(variable.value.devices()) == 2
keras_internals.forget_layout(variable)
variable.assign(np.ones(2))
assert len(variable.value.devices()) == 1
"""

if BACKEND == "jax":
    import jax

    def test_several_steps_run_as_one_program(monkeypatch):
        model = compiled(make, steps_per_execution=5)
        programs, compile_function = [], jax.jit

        def counted(function, **arguments):
            program = compile_function(function, **arguments)

            def run(*args):
                programs.append(function.__name__)
                return program(*args)

            return run

        monkeypatch.setattr(jax, "jit", counted)
        traces = count_calls(monkeypatch, VAE, "negative_elbo")
        assert np.isfinite(fit(model, n=80)["loss"]).all()  # ten steps
        assert programs == ["loop", "loop"]
        assert len(traces) == 1

    def test_the_state_of_a_step_is_not_searched_for_layers(monkeypatch):
        model, states = compiled(make), []
        tracker, searched = type(model._tracker), []
        track = tracker.track

        def note(self, value):
            searched.append(value)
            return track(self, value)

        monkeypatch.setattr(tracker, "track", note)
        look = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs: states.append(model._jax_state)
        )
        fit(model, callbacks=[look])
        assert searched and not any(isinstance(value, dict) for value in searched)
        assert [type(state) for state in states] == [dict] * 3

    def test_a_variable_leaves_the_devices_that_it_was_created_on(python):
        python("-c", LEAVE)


if BACKEND == "tensorflow":
    import tensorflow as tf

    def test_a_strategy_reads_no_batch_before_training():
        def count_passes(strategy):
            passes = []

            def read():
                passes.append(strategy)
                for _ in range(3):
                    yield np.full((8, 8, 8, 1), 100, "uint8")

            spec = tf.TensorSpec((8, 8, 8, 1), tf.uint8)
            data = tf.data.Dataset.from_generator(read, output_signature=spec)
            data = data.apply(tf.data.experimental.assert_cardinality(3))
            with strategy.scope():
                model = compiled(make)
            model.fit(data, shuffle=False, verbose=0)
            return len(passes)

        without = count_passes(tf.distribute.get_strategy())
        assert count_passes(tf.distribute.OneDeviceStrategy("CPU:0")) == without


class Evaluations(VAE):
    """Notes which of its evaluations are part of `fit`."""

    inside = ()

    def evaluate(self, *args, **kwargs):
        self.inside += (keras_internals.is_evaluation_inside_fit(kwargs),)
        return super().evaluate(*args, **kwargs)


def test_an_evaluation_inside_fit_is_told_from_another():
    model = compiled(lambda: Evaluations((8, 8, 1), 4, MLPEncoderDecoder((16,))))
    images, _ = batch(model)
    fit(model, epochs=2, validation_data=(images, None))
    model.evaluate(images, verbose=0)
    assert model.inside == (True, True, False)


class Epochs(keras.callbacks.Callback):
    """Lets `fit` begin at an epoch, and notes which epochs it runs."""

    def __init__(self, first=None):
        super().__init__()
        self.first, self.seen = first, []

    def on_train_begin(self, logs=None):
        if self.first is not None:
            keras_internals.set_initial_epoch(self.model, self.first)

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)


def test_keras_takes_data_whose_batches_are_checked():
    model, seen = compiled(make), []
    images, _ = batch(model, 16)

    def check(data):
        seen.append(data[0].shape)

    data = ((images[i : i + 8],) for i in (0, 8))
    data = keras_internals.CheckedData(data, check, lambda batch: batch)
    keras.Model.fit(model, data, steps_per_epoch=2, verbose=0)
    assert len(seen) >= 2 and int(model.optimizer.iterations) == 2


def test_validation_data_that_failed_are_forgotten():
    model = compiled(make)
    images, _ = batch(model, 16)

    class Stop(keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        model.fit(images, validation_data=images, callbacks=[Stop()], verbose=0)
    history = model.fit(images, validation_data=1 - images, verbose=0).history
    scores = model.evaluate(1 - images, verbose=0, return_dict=True)
    assert history["val_reconstruction"][0] == pytest.approx(
        scores["reconstruction"], rel=1e-2
    )


def test_a_model_outlives_an_error_in_its_first_batch():
    model = compiled(make)

    class Broken(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, i):
            return np.full((8, 8, 8, 1), 2.0)

    for run in (model.fit, model.evaluate):
        with pytest.raises(ValueError):
            run(Broken(), verbose=0)
    assert np.isfinite(fit(model)["loss"]).all()


def test_training_begins_at_the_epoch_that_is_set():
    model, late, usual = compiled(make), Epochs(2), Epochs()
    fit(model, epochs=4, callbacks=[late])
    keras_internals.set_initial_epoch(model, None)
    fit(model, epochs=2, callbacks=[usual])
    assert late.seen == [2, 3] and usual.seen == [0, 1]


def test_a_checkpoint_resumes_at_its_epoch_and_the_next_run_at_the_first(tmp_path):
    path = tmp_path / "run.keras"
    fit(compiled(make), epochs=2, callbacks=[Checkpoint(path)])
    model, resumed, usual = compiled(make), Epochs(), Epochs()
    fit(model, epochs=3, callbacks=[resumed, Checkpoint(path, resume=True)])
    fit(model, epochs=1, callbacks=[usual])
    assert resumed.seen == [2] and usual.seen == [0]


# Callbacks


def test_the_state_of_callbacks_has_names_that_keras_assigns():
    for name, state in keras_internals.CALLBACK_STATE.items():
        cls = getattr(keras.callbacks, name)
        callback = cls.__new__(cls)  # without what its arguments need
        assert keras_internals.callback_state(callback) == state
        assert set(state) <= keras_internals.set_by_keras(callback), name


def test_what_a_subclass_sets_is_told_from_what_keras_sets():
    class Own(keras.callbacks.EarlyStopping):
        def __init__(self):
            super().__init__("loss")
            self.counted = 0

    callback = Own()
    assert set(vars(callback)) - keras_internals.set_by_keras(callback) == {"counted"}
    assert "best" in keras_internals.callback_state(callback)
    callback = keras.callbacks.Callback()
    assert set(vars(callback)) <= keras_internals.set_by_keras(callback)
    assert keras_internals.callback_state(callback) == ()


# Layers


def test_a_replaced_sampler_leaves_no_weights_in_the_model():
    model = compiled(make)
    images, _ = batch(model)
    without = model.weights
    for _ in range(2):
        model.fit_sampler("mixture", images, components=2)
        added = {id(weight) for weight in model.weights} - {id(w) for w in without}
        assert added == {id(weight) for weight in model.sampler.weights} != set()
    model.fit_sampler(None)
    assert len(model.weights) == len(without)


# Optimizers


def run_adam(step, **arguments):
    """All variables after three steps of Adam along the slopes `3 x**2`."""
    weights = keras.Variable(wave((3, 4)))
    adam = keras.optimizers.Adam(0.01, **arguments)
    adam.build([weights])
    for _ in range(3):
        step(adam, weights)
    variables = [weights, *keras_internals.adam_moments(adam, weights)]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def keras_step(adam, weights):
    adam.apply([3 * ops.square(weights)], [weights])


def kzoo_step(adam, weights):
    def loss():
        return ops.sum(weights**3), {}

    backend.phase(loss, [weights], adam, [weights, *adam.variables])()


def test_what_is_in_a_layer_is_found_and_frozen_alone():
    inner = keras.layers.Dense(2)
    layer = keras.Sequential([keras.Input((1,)), inner])
    assert keras_internals.contents(layer)[-1] is inner
    found = keras_internals.contents(inner)
    assert [id(v) for v in found] == [id(inner.kernel), id(inner.bias)]
    keras_internals.set_own_trainable(layer, False)
    keras_internals.set_own_trainable(inner.bias, False)
    items = [layer, inner, inner.kernel, inner.bias]
    assert keras_internals.own_trainable(items) == [False, True, True, False]
    assert [item.trainable for item in items] == [False, True, True, False]
    assert not layer.trainable_variables


def test_a_step_that_is_made_anew_takes_what_has_changed():
    model = compiled(make)
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    images, _ = batch(model, 8)
    losses = []
    for weight in 1.0, 10.0:
        model.beta = weight
        losses.append(model.test_on_batch(images, return_dict=True))
    for weight, logs in zip((1.0, 10.0), losses, strict=True):
        loss = logs["reconstruction"] + weight * logs["kl"]
        assert logs["loss"] == pytest.approx(loss, rel=1e-5)
    assert "test_step" not in vars(model)


def test_a_callback_sees_the_variables_of_the_step_before():
    model = compiled(make)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            keras_internals.synchronize_state(model)
            seen.append(np.array(ops.convert_to_numpy(model.weights[0])))

    fit(model, callbacks=[Look()])
    assert len(seen) == 3 and not np.array_equal(seen[1], seen[2])


def test_what_made_a_tensor_is_found():
    x = keras.KerasTensor((None, 4))
    layer = keras.layers.Dense(2)
    operation, index, (inputs,) = keras_internals.producer(layer(x))
    assert (operation, index, inputs) == (layer, 0, x)
    _, index, _ = keras_internals.producer(ops.split(x, 2, axis=-1)[1])
    assert index == 1
    assert keras_internals.producer(x)[0] is None


def test_the_moments_of_adam_are_found():
    weights = keras.Variable(wave((3, 4)))
    adam = keras.optimizers.Adam(beta_1=0.5, beta_2=0.9)
    adam.build([keras.Variable(0.0), weights])
    adam.apply([ops.ones((3, 4))], [weights])
    moment, square = keras_internals.adam_moments(adam, weights)
    np.testing.assert_allclose(ops.convert_to_numpy(moment), np.full((3, 4), 0.5))
    np.testing.assert_allclose(
        ops.convert_to_numpy(square), np.full((3, 4), 0.1), rtol=1e-6
    )


def test_the_variables_of_an_optimizer_are_those_it_was_built_for():
    weights = [keras.Variable(0.0), keras.Variable(1.0)]
    adam = keras.optimizers.Adam()
    assert list(keras_internals.optimized_variables(adam)) == []
    adam.build(weights)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    scaled.build(weights)
    for optimizer in adam, scaled:
        found = keras_internals.optimized_variables(optimizer)
        assert [id(v) for v in found] == [id(v) for v in weights]


if BACKEND != "jax":
    if BACKEND == "torch":
        import torch

        KERNEL = torch, "_fused_adam_"
    else:
        KERNEL = tf.raw_ops, "ResourceApplyAdam"

    @pytest.mark.parametrize("amsgrad", [False, True])
    def test_adam_takes_the_step_of_keras_by_one_kernel(amsgrad, monkeypatch):
        calls = count_calls(monkeypatch, *KERNEL)
        expected = run_adam(keras_step, amsgrad=amsgrad)
        assert not calls
        got = run_adam(kzoo_step, amsgrad=amsgrad)
        assert len(calls) == (0 if amsgrad else 3)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "make_optimizer",
    [
        keras.optimizers.Adam,
        keras.optimizers.SGD,
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop()),
        lambda: OptimizerGroup({"one": "adam", "two": "adamw"}),
    ],
    ids=["adam", "sgd", "scaled", "group"],
)
def test_optimizers_are_saved_by_their_public_names(make_optimizer):
    optimizer = make_optimizer()
    text = json.dumps(serialize(optimizer))
    assert "keras.src" not in text and '"keras.optimizers"' in text
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(again) is type(optimizer)
    assert json.dumps(serialize(again)) == text


# Files


def test_a_keras_file_has_a_config_and_room_for_more(tmp_path):
    model, path = compiled(make), tmp_path / "model.keras"
    model.save(path)
    keras_internals.attach_json(path, "more.json", {"epochs": 3})
    config = keras_internals.read_config(path)
    assert config["class_name"] == "VAE"
    assert config["config"] == json.loads(json.dumps(model.get_config()))
    assert keras_internals.read_json(path, "more.json") == {"epochs": 3}
    arrays = [wave((2, 3)), np.array(7), np.array(["a"])]
    keras_internals.attach_arrays(path, "more", arrays)
    for a, b in zip(keras_internals.read_arrays(path, "more"), arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    keras_internals.check_archive(path)
    again = keras.saving.load_model(path)
    again.load_weights(path)
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_a_folder_that_keras_has_saved_is_a_model_folder(tmp_path):
    folder = tmp_path / "model"
    keras.saving.save_model(make(), folder, zipped=False)
    assert keras_internals.is_model_folder(folder)
    assert not keras_internals.is_model_folder(tmp_path)
    assert keras.saving.load_model(folder).latent_dim == 4
