"""The engine: phases, several optimizers, Keras's trainers and callbacks."""

import contextlib
import functools
import importlib.util

import grain
import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_config_round_trip,
    check_golden,
    check_model,
    compiled,
    fit,
    networks,
    state,
    with_fixed_noise,
)
from conftest import ROOT, ignore_rounding, wave
from critic import Critic
from keras import ops

from kzoo import backend
from kzoo.callbacks import Checkpoint
from kzoo.models import GAN, VAE
from kzoo.networks import DCGANNetworks, MLPEncoderDecoder, MLPNetworks
from kzoo.optimizers import OptimizerGroup
from kzoo.parts import R1, Adaptive, Bernoulli

BACKEND = keras.backend.backend()


def make_vae(**arguments):
    return VAE((8, 8, 1), 4, MLPEncoderDecoder((16,)), **arguments)


def make_gan(architecture=None, **arguments):
    networks = architecture or MLPNetworks((16,), dropout=0.0)
    return GAN((8, 8, 1), 4, networks, **arguments)


def adam(rate=1e-3, **arguments):
    return keras.optimizers.Adam(rate, **arguments)


def pair(**arguments):
    return {"discriminator": adam(**arguments), "generator": adam(**arguments)}


def test_a_model_of_the_users_own_keeps_the_contract(golden, tmp_path):
    check_model(Critic, tmp_path)
    check_golden(Critic, golden, "critic")


@pytest.mark.one_backend
def test_the_examples_of_docs_adding_a_model_keep_the_contract(tmp_path):
    text = (ROOT / "docs" / "adding_a_model.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    model, parts = (
        next(block for block in blocks if f"class {name}(" in block)
        for name in ("SmallWGAN", "OneLayer")
    )
    path = tmp_path / "small_wgan.py"
    path.write_text(f"import kzoo\n{model}{parts}")
    spec = importlib.util.spec_from_file_location("small_wgan", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def make():
        return module.SmallWGAN((8, 8, 1), 4, MLPNetworks((8,)), critic_steps=2)

    check_model(make, tmp_path)
    check_config_round_trip(module.model)
    module.model.compile()
    fit(module.model)
    module.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.loss.sharpness == 2.0 and again.architecture.widths == (64,)


class Noisy(VAE):
    """A model whose loss draws from `keras.random` and looks at a value."""

    def negative_elbo(self, images, labels=None, training=True):
        loss, logs = super().negative_elbo(images, labels, training)
        noise = keras.random.uniform((), seed=self.seed)
        loss = loss * ops.cond(noise > 0.5, lambda: 2.0 * noise, lambda: noise)
        return loss, {**logs, "loss": noise}


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_vae(likelihood=Bernoulli(binarize=True)),
        lambda: Noisy((8, 8, 1), 4, MLPEncoderDecoder((16,))),
        lambda: GAN((4, 4, 1), 4, MLPNetworks((8,))),  # its Dropout draws, too
        lambda: make_gan(loss="hinge", penalty=[R1(10.0, every=2)]),
        lambda: make_gan(
            DCGANNetworks((16,)),
            penalty="gradient_penalty",
            ema=0.9,
            augmentation="color",
        ),
    ],
    ids=["uniform", "keras.random", "dropout", "lazy", "penalty"],
)
def test_a_compiled_step_is_the_step_run_eagerly(make):
    runs = []
    for run_eagerly in (False, True):
        model = compiled(make, run_eagerly=run_eagerly)
        ignore_rounding(model)
        model.seed.state.assign(np.array([1, 2]))
        history = [{k: v[0] for k, v in fit(model).items()} for _ in range(2)]
        runs.append((history, state(model)))
    (history, values), (eager_history, eager_values) = runs
    for a, b in zip(history, eager_history, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-5)
    for a, b in zip(values, eager_values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
    assert history[0] != history[1]


def test_what_pytorch_cannot_compile_is_said():
    model = compiled(
        lambda: Noisy((8, 8, 1), 4, MLPEncoderDecoder((16,))), jit_compile=True
    )
    warns = pytest.warns(UserWarning, match="negative_elbo")
    with warns if BACKEND == "torch" else contextlib.nullcontext():
        assert np.isfinite(fit(model)["loss"]).all()


@pytest.mark.parametrize("norm", [1.0, 3.0])
def test_gradient_penalty_of_a_linear_critic_is_its_closed_form(norm):
    model = compiled(lambda: Critic(linear=True))
    kernel = model.critic.trainable_variables[0]
    kernel.assign(norm * np.ones(kernel.shape) / 4)
    images, _ = batch(model)
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores["gradient_penalty"] == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_input_gradient_can_be_differentiated_again():
    x = ops.convert_to_tensor([[0.5], [2.0]])

    def slope(x):
        return backend.input_gradient(lambda x: x**3, x)

    second = backend.input_gradient(slope, x)
    np.testing.assert_allclose(ops.convert_to_numpy(second), [[3.0], [12.0]], rtol=1e-5)


def test_compile_builds_an_optimizer_for_each_network():
    model = compiled(make_gan)
    for name in networks(model):
        variables = model.optimizer.members[name].variables
        assert len(variables) == 2 + 2 * len(getattr(model, name).trainable_variables)


@pytest.mark.parametrize(
    "make, optimizer",
    [
        (make_gan, "adam"),
        (make_gan, {"generator": "adam"}),
        (make_gan, {"generator": "adam", "critic": "adam"}),
        (make_vae, {"encoder": "adam", "decoder": "adam"}),
    ],
)
def test_optimizers_that_do_not_fit_the_networks_are_refused(make, optimizer):
    with pytest.raises(ValueError, match="Expected"):
        make().compile(optimizer)


def test_one_optimizer_object_for_two_networks_is_refused():
    shared = adam()
    with pytest.raises(ValueError, match="separate"):
        make_gan().compile({"discriminator": shared, "generator": shared})


def test_the_order_of_the_optimizers_does_not_change_what_is_restored(tmp_path):
    model = compiled(make_gan)
    fit(model)
    model.save(tmp_path / "gan.keras")
    other = compiled(make_gan, optimizer=dict(reversed(pair().items())))
    other.load_weights(tmp_path / "gan.keras")
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [make_gan, make_vae])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_and_comes_back(make, policy, tmp_path):
    model = compiled(lambda: make(dtype=policy))
    logs = fit(model, epochs=2)
    assert all(np.isfinite(v).all() for v in logs.values())
    assert model.sample(2, seed=0).dtype == np.float32
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert fit(model) == fit(again)
    members = getattr(model.optimizer, "optimizers", [model.optimizer])
    scaled = [isinstance(m, keras.optimizers.LossScaleOptimizer) for m in members]
    assert all(s == (policy == "mixed_float16") for s in scaled)


def test_float16_skips_steps_whose_gradients_overflow_for_each_network():
    model = compiled(lambda: make_gan(dtype="mixed_float16"))
    scale = model.optimizer.members["generator"].dynamic_scale
    scale.assign(1e38)
    kernel = model.generator.trainable_variables[0]
    before = np.array(ops.convert_to_numpy(kernel))
    images, _ = batch(model, 8)
    model.fit(images, batch_size=8, verbose=0)
    np.testing.assert_array_equal(before, ops.convert_to_numpy(kernel))
    assert float(ops.convert_to_numpy(scale)) == pytest.approx(5e37)
    other = model.optimizer.members["discriminator"].dynamic_scale
    assert float(ops.convert_to_numpy(other)) == 2.0**15


def test_loss_scaling_does_not_change_the_step():
    plain, scaled = compiled(make_gan), compiled(make_gan)
    wrapped = {
        name: keras.optimizers.LossScaleOptimizer(member)
        for name, member in scaled.default_optimizer().items()
    }
    scaled.compile(wrapped)
    scaled.seed.state.assign(ops.convert_to_numpy(plain.seed.state))
    fit(plain)
    fit(scaled)
    for a, b in zip(plain.variables, scaled.variables, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_learning_rate_callbacks_reach_every_optimizer():
    model = compiled(make_gan)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    logs = fit(model, epochs=2, callbacks=[schedule])
    plateau = keras.callbacks.ReduceLROnPlateau(
        "generator_loss", factor=0.5, patience=1, min_delta=1e9, mode="min"
    )
    for name in networks(model):
        assert logs[f"learning_rate_{name}"] == pytest.approx([0.01, 0.005])
    fit(model, epochs=3, callbacks=[plateau])
    for member in model.optimizer.optimizers:
        rate = float(ops.convert_to_numpy(member.learning_rate))
        assert rate < 0.005
    with pytest.raises(AttributeError, match="members"):
        _ = model.optimizer.learning_rate


def test_schedules_given_to_the_optimizers_are_followed():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = compiled(make_gan, optimizer={n: adam(schedule) for n in pair()})
    fit(model)
    rates = [
        float(ops.convert_to_numpy(m.learning_rate)) for m in model.optimizer.optimizers
    ]
    assert rates == pytest.approx([0.1 * 0.5**3] * 2)


def test_ema_weights_are_swapped_in_for_evaluation():
    model = compiled(make_gan, optimizer=pair(use_ema=True, ema_momentum=0.5))
    images, _ = batch(model)
    swap = keras.callbacks.SwapEMAWeights()
    fit(model, epochs=2, callbacks=[swap], validation_data=(images, None))
    plain = compiled(make_gan)
    with pytest.raises(ValueError, match="use_ema"):
        fit(plain, callbacks=[swap], validation_data=(images, None))


def test_tensorboard_logs_each_learning_rate(tmp_path):
    model = compiled(make_gan)
    fit(model, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    written = b"".join(f.read_bytes() for f in tmp_path.rglob("events.out*"))
    assert b"learning_rate_generator" in written


@pytest.mark.parametrize("steps", [2, 3])  # of three batches
def test_steps_per_execution_trains_the_same_or_says_why_not(steps):
    one, several = compiled(make_gan), compiled(make_gan, steps_per_execution=steps)
    if BACKEND == "torch":
        with pytest.raises(ValueError, match="steps_per_execution"):
            fit(several)
        return
    logs, expected = fit(several), fit(one)
    for name, values in expected.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5)
    for a, b in zip(state(one), state(several), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


if BACKEND != "torch":  # which takes one step

    @pytest.mark.parametrize("size", [8, 10])  # the last batch is as large, or not
    def test_several_steps_an_execution_evaluate_the_same(size):
        one, two = (compiled(make_vae, steps_per_execution=n) for n in (1, 2))
        one.noise = two.noise = lambda shape, draw=None: ops.zeros(shape)
        images, _ = batch(one)
        scores = [m.evaluate(images, batch_size=size, verbose=0) for m in (one, two)]
        np.testing.assert_allclose(*scores, rtol=1e-5)


@pytest.fixture
def no_c_compiler(monkeypatch):
    """Lets torch.compile trace all it does, but emit no C++: that takes a minute."""
    if BACKEND == "torch":
        import torch

        traced = functools.partial(torch.compile, backend="aot_eager")
        monkeypatch.setattr(torch, "compile", traced)


@pytest.mark.parametrize("arguments", [{"run_eagerly": True}, {"jit_compile": True}])
@pytest.mark.parametrize("make", [make_vae, Critic])
def test_eager_and_compiled_training_agree(make, arguments, no_c_compiler):
    model, other = (with_fixed_noise(compiled(make, **a)) for a in ({}, arguments))
    fit(model)
    fit(other)
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_compile_settings_of_a_machine_are_not_saved(tmp_path):
    model = compiled(make_vae, jit_compile=True, steps_per_execution=2)
    model.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras")
    assert again.steps_per_execution == 1


def test_epoch_logs_count_every_image_once():
    model = compiled(make_vae)
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    images, _ = batch(model, 10)
    whole = model.evaluate(images, batch_size=10, verbose=0, return_dict=True)
    parts = model.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    assert parts == pytest.approx(whole, rel=1e-5)


def test_evaluation_does_not_touch_batch_statistics():
    model = compiled(lambda: GAN((8, 8, 1), 4, DCGANNetworks((8, 4))))
    fit(model)
    before = [np.array(ops.convert_to_numpy(v)) for v in model.weights]
    model.evaluate(*batch(model), verbose=0)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))


def test_a_loss_that_is_not_finite_stops_training_and_names_itself(tmp_path):
    model = compiled(make_gan)
    path = tmp_path / "run.keras"
    fit(model, callbacks=[Checkpoint(path)])
    good = path.read_bytes()
    bias = model.discriminator.trainable_variables[-1]
    bias.assign(np.full(bias.shape, np.nan))
    resumed = Checkpoint(tmp_path / "other.keras")
    with pytest.raises(FloatingPointError, match="_loss"):
        fit(model, epochs=3, callbacks=[resumed])
    assert path.read_bytes() == good
    assert not resumed.path.exists()


def test_callbacks_are_taken_as_keras_takes_them():
    model = compiled(make_vae)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: seen.append(epoch)
    )
    for callbacks in (note, [note], (note,), [[note]], None):
        fit(model, callbacks=callbacks)
    assert seen == [0] * 4


def at(when, change):
    """A callback that calls `change(number)` as each epoch or batch begins."""
    return keras.callbacks.LambdaCallback(
        **{when: lambda number, logs=None: change(number)}
    )


def set_beta(model, number):
    model.beta = 3.0 * number


def set_free_bits(model, number):
    model.divergence.free_bits = np.float32(number)


def set_scale(model, number):
    model.likelihood.scale = 1.0 + number


def set_penalty(model, number):
    model.penalty[0].weight = 100.0 * number
    model.penalty[0].every = 1 + number


def set_gan(model, number):
    model.discriminator_steps = 1 + number % 2
    model.ema = 0.1 * number
    model.weight_clip = 0.1 / (1 + number)
    model.augmentation.probability = 0.2 * number


CHANGED = {
    "argument": (make_vae, set_beta),
    "part": (make_vae, set_free_bits),
    "likelihood": (lambda: make_vae(likelihood="gaussian"), set_scale),
    "penalty": (lambda: make_gan(penalty=["r1", "lecam"]), set_penalty),
    "phases": (lambda: make_gan(ema=0.9, augmentation="color"), set_gan),
}


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_train_batch_begin"])
@pytest.mark.parametrize("case", CHANGED)
def test_settings_that_a_callback_changes_take_effect(case, when):
    make, change = CHANGED[case]
    runs = []
    for run_eagerly in (False, True):
        model = compiled(make, run_eagerly=run_eagerly)
        ignore_rounding(model)
        model.seed.state.assign(np.array([1, 2]))
        callback = at(when, functools.partial(change, model))
        epochs = 2 if when == "on_epoch_begin" else 1
        data = {"validation_data": batch(model)} if case == "argument" else {}
        logs = fit(model, epochs, callbacks=[callback], **data)
        change(model, 3)
        logs["after"] = model.evaluate(*batch(model), verbose=0)
        logs["sample"] = model.sample(2, seed=0)
        runs.append((logs, state(model)))
    (logs, values), (expected, eager_values) = runs
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=2e-3, atol=1e-4)
    for a, b in zip(values, eager_values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)


def test_a_changed_setting_trains_as_a_model_built_with_it():
    def make_with(beta):
        return with_fixed_noise(
            compiled(lambda: make_vae(beta=beta), optimizer=keras.optimizers.SGD(0.01))
        )

    model, other = make_with(0.5), make_with(3.0)
    fit(model)
    other.set_weights(model.get_weights())

    def change(epoch):
        model.beta = 3.0

    logs, expected = fit(model, callbacks=[at("on_epoch_begin", change)]), fit(other)
    for name in expected:
        np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    "make, path, value, named",
    [
        (make_vae, "free_bits", 1.0, "model.divergence.free_bits"),
        (make_vae, "divergence.beta", 2.0, "no setting beta"),
        (make_vae, "divergence.free_bits", -1.0, "at least 0"),
        (make_vae, "divergence", "kl", "divergence"),
        (make_vae, "likelihood", Bernoulli(), "likelihood"),
        (make_vae, "latent_dim", 5, "latent_dim"),
        (make_vae, "architecture.widths", (4,), "widths"),
        (make_vae, "beta", -1.0, "at least 0"),
        (make_vae, "beta", "cyclic", "beta"),
        (make_vae, "encoder", keras.Sequential(), "encoder"),
        (make_gan, "loss", "hinge", "loss"),
        (lambda: make_gan(penalty="r1"), "weight", 1.0, r"model.penalty\[0\].weight"),
        (lambda: make_gan(penalty="r1"), "penalty", "r2", "penalty"),
        (make_gan, "probability", 0.5, "model.augmentation.probability"),
        (
            lambda: make_gan(augmentation=Adaptive("color")),
            "augmentation.probability",
            0.5,
            "assign",
        ),
    ],
)
def test_settings_that_would_be_ignored_are_refused(make, path, value, named):
    model = make()
    model.compile(run_eagerly=True)
    owner, _, name = f"model.{path}".rpartition(".")
    owner = model if owner == "model" else getattr(model, owner.split(".")[1])
    before = getattr(owner, name, None)
    with pytest.raises((AttributeError, ValueError), match=named):
        setattr(owner, name, value)
    assert getattr(owner, name, None) is before


def test_a_callback_of_evaluate_changes_settings():
    model = with_fixed_noise(compiled(make_vae))
    change = keras.callbacks.Callback()
    change.on_test_begin = lambda logs=None: set_beta(model, 2)
    images, _ = batch(model)
    logs = model.evaluate(images, verbose=0, callbacks=[change], return_dict=True)
    loss = logs["reconstruction"] + 6 * logs["kl"]
    assert logs["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_setting_that_changes_in_every_step_is_warned_of():
    model = compiled(make_vae, run_eagerly=True)
    images, _ = batch(model, 8)

    def change():
        for _ in range(12):
            model.beta += 0.1
            model.test_on_batch(images)

    with pytest.warns(UserWarning, match="warmup_steps"):
        change()


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_train_batch_begin"])
def test_a_callback_that_freezes_has_to_compile(when):
    model = compiled(make_vae)
    kernel = model.encoder.layers[-1].kernel

    def freeze(number):
        model.encoder.trainable = number != 1

    with pytest.raises(ValueError, match="encoder"):
        fit(model, 2, callbacks=[at(when, freeze)])
    assert np.isfinite(model.sample(2, seed=0)).all()
    assert all(np.isfinite(one).all() for one in state(model))

    kernels = []

    def freeze_and_compile(number):
        if number == 1:
            model.encoder.trainable = False
            model.compile()
            kernels.append(np.array(ops.convert_to_numpy(kernel)))

    model.encoder.trainable = True
    model.compile()
    fit(model, 2, callbacks=[at(when, freeze_and_compile)])
    np.testing.assert_array_equal(kernels[-1], ops.convert_to_numpy(kernel))


def test_sample_weights_are_refused():
    model = compiled(make_vae)
    images, _ = batch(model)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(images, sample_weight=np.ones(len(images)), verbose=0)


def batches(*parts):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(parts[0]) // 8

        def __getitem__(self, i):
            if i >= len(self):
                raise IndexError
            taken = tuple(part[8 * i : 8 * i + 8] for part in parts)
            return taken if len(parts) > 1 else taken[0]

    return Batches()


def torch_loader(*parts):
    import torch

    rows = torch.utils.data.TensorDataset(*map(torch.from_numpy, parts))
    return torch.utils.data.DataLoader(rows, batch_size=8)


def tf_dataset(*parts):
    import tensorflow as tf

    parts = parts if len(parts) > 1 else parts[0]
    return tf.data.Dataset.from_tensor_slices(parts).batch(8)


def grain_dataset(*parts):
    rows = list(zip(*parts, strict=True)) if len(parts) > 1 else parts[0]
    return grain.MapDataset.source(rows).batch(8)


def once(images):
    return ((images[i : i + 8],) for i in (0, 8))


class Recorder(VAE):
    """Notes the number of each image, which is its grey level, and its label."""

    def unpack(self, data):
        images, labels = super().unpack(data)
        numbers = 255 * ops.convert_to_numpy(images)[:, 0, 0, 0]
        self.taken.append((numbers.round().astype(int), ops.convert_to_numpy(labels)))
        return images, labels


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_of_arrays_has_each_image_once(shuffle):
    numbers = np.arange(10)
    images = np.broadcast_to(numbers[:, None, None, None], (10, 8, 8, 1))
    images, labels = images.astype("uint8"), (numbers % 3).astype("int32")

    def orders():
        keras.utils.set_random_seed(7)
        model = Recorder((8, 8, 1), 4, MLPEncoderDecoder((16,)), num_classes=3)
        model.compile(run_eagerly=True)
        model.taken = []
        arguments = {"batch_size": 4, "epochs": 3, "verbose": 0, "shuffle": shuffle}
        model.fit(images, labels, **arguments)
        assert [len(found) for found, _ in model.taken] == [4, 4, 2] * 3
        for found, conditions in model.taken:
            np.testing.assert_array_equal(conditions, found % 3)
        return np.concatenate([found for found, _ in model.taken]).reshape(3, 10)

    first = orders()
    np.testing.assert_array_equal(np.sort(first), [numbers] * 3)
    np.testing.assert_array_equal(first, orders())
    if shuffle:
        assert len({tuple(order) for order in first}) == 3
    else:
        np.testing.assert_array_equal(first, [numbers] * 3)


def arrays(*parts):
    return parts


def lists(*parts):
    return tuple(list(part) for part in parts)


def tensors(*parts):
    return tuple(map(ops.convert_to_tensor, parts))


def as_dict(*parts):
    return (dict(zip(("image", "label"), parts, strict=False)),)


def generator(*parts):
    return (tuple(part[i : i + 8] for part in parts) for i in range(0, 24, 8))


def dicts(*parts):
    return (as_dict(*batch)[0] for batch in generator(*parts))


def py_dataset(*parts):
    return batches(*parts)


def torch_dicts(*parts):
    import torch

    rows = [as_dict(*row)[0] for row in zip(*parts, strict=True)]
    return torch.utils.data.DataLoader(rows, batch_size=8)


def tf_dicts(*parts):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(as_dict(*parts)[0]).batch(8)


WAYS = [arrays, lists, tensors, as_dict, generator, dicts]
WAYS += [py_dataset, torch_loader, torch_dicts, tf_dataset, tf_dicts, grain_dataset]


def arguments(way, *parts):
    """The arguments of `fit` that pass the parts that way."""
    data = way(*parts)
    return data if isinstance(data, tuple) else (data,)


def labelled(n=24):
    images = np.linspace(0, 1, n * 64, dtype="float32").reshape(n, 8, 8, 1)
    return images, np.arange(n, dtype="int32") % 3


def changed(array, place, value):
    array = np.array(array)
    array[place] = value
    return array


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_checks_every_batch(way):
    model = compiled(lambda: make_vae(num_classes=3))
    images, labels = labelled()
    bad = {
        "from 0 to 2": (images, changed(labels, 12, 3)),
        "from -1 to": (images, changed(labels, 0, -1)),
        "values from -0.5": (changed(images, 12, -0.5), labels),
        "NaN": (changed(images, 12, np.nan), labels),
        "whole numbers": (images, labels.astype("float32")),
        "uint8": (np.int32(images), labels),
        "needs labels": (images,),
    }
    model.fit(*arguments(way, images, labels), verbose=0)
    for text, parts in bad.items():
        with pytest.raises(ValueError, match=text):
            model.fit(*arguments(way, *parts), verbose=0)
        with pytest.raises(ValueError, match=text):
            model.evaluate(*arguments(way, *parts), verbose=0)
    data = arguments(way, *bad["NaN"])
    with pytest.raises(ValueError, match="NaN"):
        data = data if len(data) == 2 else data[0]
        model.fit(images, labels, validation_data=data, verbose=0)
    with pytest.raises(ValueError, match="no classes"):
        compiled(make_vae).fit(*arguments(way, images, labels), verbose=0)
    # The model is left as the last good batch has made it.
    assert np.isfinite(model.evaluate(images, labels, verbose=0)).all()


@pytest.mark.parametrize("verb", ["train_on_batch", "test_on_batch"])
@pytest.mark.parametrize("way", [arrays, lists, tensors, as_dict])
def test_single_batches_are_checked(way, verb):
    model = compiled(lambda: make_vae(num_classes=3))
    images, labels = labelled()
    run = getattr(model, verb)
    assert np.isfinite(run(*arguments(way, images, labels))).all()
    for text, parts in {
        "from 0 to 2": (images, changed(labels, 12, 3)),
        "NaN": (changed(images, 12, np.nan), labels),
        "24 images and 20 labels": (images, labels[:20]),
        "needs labels": (images,),
    }.items():
        with pytest.raises(ValueError, match=text):
            run(*arguments(way, *parts))
    with pytest.raises(ValueError, match="sample_weight"):
        run(images, labels, sample_weight=np.ones(24))


def test_predictions_check_what_call_takes():
    images, labels = labelled()
    model = compiled(lambda: make_vae(num_classes=3))
    assert model.predict([images, labels], verbose=0).shape == images.shape
    for text, inputs in {
        "from 0 to 2": [images, labels + 1],
        "NaN": [changed(images, 12, np.nan), labels],
        "inputs, labels": images,
    }.items():
        for run in (model.predict, model.predict_on_batch):
            with pytest.raises(ValueError, match=text):
                run(inputs)
    model = compiled(make_vae)
    assert model.predict(batches(images), verbose=0).shape == images.shape
    with pytest.raises(ValueError, match="NaN"):
        model.predict(batches(changed(images, 12, np.nan)), verbose=0)
    latents = np.zeros((4, 4), "float32")
    with pytest.raises(ValueError, match="finite"):
        compiled(make_gan).predict(latents / np.float32(np.nan), verbose=0)


def test_images_and_labels_are_of_one_length():
    model = compiled(lambda: make_vae(num_classes=3))
    images, labels = labelled()
    for x, y in [(images[:20], labels), (images, labels[:20])]:
        with pytest.raises(ValueError, match="one label for each image"):
            model.fit(x, y, verbose=0)
        with pytest.raises(ValueError, match="one label for each image"):
            model.evaluate(x, y, verbose=0)
        with pytest.raises(ValueError, match="one label for each image"):
            model.fit(images, labels, validation_data=(x, y), verbose=0)
        with pytest.raises(ValueError, match="one label for each image"):
            model.elbo(x, labels=y)


def test_a_data_set_is_not_split():
    with pytest.raises(ValueError, match="Batches"):
        compiled(make_vae).fit(batches(labelled()[0]), validation_split=0.5)


def test_what_is_drawn_by_is_checked():
    model, (images, labels) = compiled(lambda: make_vae(num_classes=3)), labelled()
    for seed in (1.5, -1, "a"):
        with pytest.raises(ValueError, match="seed"):
            model.sample(2, seed=seed)
        with pytest.raises(ValueError, match="seed"):
            model.elbo(images, labels=labels, seed=seed)
        with pytest.raises(ValueError, match="seed"):
            model.fit_sampler("normal", images, labels, seed=seed)
    with pytest.raises(ValueError, match="finite"):
        model.generate(np.full((2, 4), np.nan), [0, 1])
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.sample(2, seed=0, labels=3)


def test_labels_in_a_column_train_as_in_a_row():
    images, labels = labelled()
    losses = []
    for y in (labels, labels[:, None]):
        model = compiled(lambda: make_vae(num_classes=3))
        history = model.fit(images, y, validation_data=(images, y), verbose=0).history
        losses.append([history["loss"], history["val_loss"]])
        assert model.encode(images, y).shape == (24, 4)
    np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.parametrize(
    "convert, hint",
    [
        (lambda labels: np.eye(3)[labels], "argmax"),
        (lambda labels: labels.astype(str), "np.unique"),
        (lambda labels: labels.astype(str).astype(object), "np.unique"),
        (lambda labels: labels.astype("float64"), "astype"),
        (lambda labels: labels > 1, "astype"),
    ],
    ids=["one-hot", "text", "object", "float", "bool"],
)
def test_other_labels_are_refused_with_how_to_convert_them(convert, hint):
    model = compiled(lambda: make_vae(num_classes=3))
    images, labels = labelled()
    with pytest.raises(ValueError, match=hint):
        model.fit(images, convert(labels), verbose=0)


@pytest.mark.parametrize("key", ["picture", "weight"])
def test_unknown_keys_of_a_batch_are_named(key):
    model = compiled(make_vae)
    images, _ = labelled()
    data = {key: images} if key == "picture" else {"image": images, key: images}
    with pytest.raises(ValueError, match=key):
        model.fit(data, verbose=0)
    with pytest.raises(ValueError, match=key):
        model.fit((data for _ in range(2)), verbose=0)


def test_rounding_outside_the_range_is_clipped_and_more_is_shown():
    model = compiled(make_vae)
    images, _ = labelled()
    for value in (1.0000001, 1.0000005, -1e-7):
        nearly = changed(images, (0, 0, 0), value)
        model.fit(nearly, verbose=0)
        model.fit(batches(nearly), verbose=0)
        model.reconstruct(nearly)
    for value in (1.00001, -1e-5):
        with pytest.raises(ValueError, match=r"1\.00001|-1e-05|-9\.99"):
            model.fit(changed(images, (0, 0, 0), value), verbose=0)


@pytest.mark.parametrize("verb", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_a_model_that_is_not_compiled_says_so(verb):
    with pytest.raises(ValueError, match=r"compile\(\)"):
        getattr(make_vae(), verb)(labelled()[0])


@pytest.mark.parametrize("wrap", [batches, torch_loader, tf_dataset, grain_dataset])
def test_data_sets_of_images_train(wrap):
    model = compiled(make_vae)
    images, _ = batch(model, 16)
    model.fit(wrap(images), verbose=0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model.fit(wrap(images * 3), verbose=0)
    with pytest.raises(ValueError, match=r"\(batch, 8, 8, 1\)"):
        model.fit(wrap(images[:, :6]), verbose=0)


def test_a_generator_loses_no_batch_to_the_checks():
    model = compiled(make_vae)
    images, _ = batch(model, 16)
    model.fit(once(images), steps_per_epoch=2, verbose=0)
    assert int(model.optimizer.iterations) == 2
    model.fit((image for (image,) in once(images)), steps_per_epoch=2, verbose=0)
    assert int(model.optimizer.iterations) == 4
    with pytest.raises(ValueError, match=r"\(batch, 8, 8, 1\)"):
        model.fit(once(images[:, :6]), steps_per_epoch=2, verbose=0)


def test_bytes_and_floats_train_alike():
    bytes_, floats = compiled(make_vae), compiled(make_vae)
    images = np.uint8(batch(bytes_)[0] * 255)
    first = bytes_.fit(images, shuffle=False, verbose=0).history["loss"]
    second = floats.fit(images / 255, shuffle=False, verbose=0).history["loss"]
    assert first == pytest.approx(second, rel=1e-6)


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = compiled(make_vae)
    path = tmp_path / "vae.keras"
    model.save(path)
    good = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(type(model), "save_own_variables", fail)
    with pytest.raises(OSError):
        model.save(path)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_a_group_is_applied_by_phases_only():
    group = OptimizerGroup(pair())
    with pytest.raises(NotImplementedError, match="minimize"):
        group.apply([])


class Doubled(VAE):
    """Steps without the decorator."""

    def train_step(self, images, labels=None):
        return super().train_step(images, labels)

    def test_step(self, images, labels=None):
        return super().test_step(images, labels)


def small_vae(cls=VAE, **arguments):
    return cls((8, 8, 1), 2, MLPEncoderDecoder((4,)), **arguments)


def test_a_step_without_the_decorator_is_portable_too():
    x = np.uint8(255 * (0.5 + 0.5 * wave((16, 8, 8, 1))))
    losses = []
    for cls in VAE, Doubled:
        keras.utils.set_random_seed(1)
        model = small_vae(cls)
        model.compile()
        history = model.fit(x, batch_size=8, shuffle=False, verbose=0).history
        losses.append(history["loss"] + [model.evaluate(x, verbose=0)[0]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_step_of_raw_data_is_refused_when_its_class_is_made():
    with pytest.raises(TypeError, match="images, labels=None"):
        type("Raw", (VAE,), {"train_step": lambda self, data: {}})
    with pytest.raises(TypeError, match="state, data"):
        type("Raw", (VAE,), {"test_step": lambda self, state, data: {}})


def own_encoder(**dense):
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(images)
    outputs = [keras.layers.Dense(2, **dense)(x) for _ in range(2)]
    return keras.Model(images, outputs)


def test_regularizers_and_constraints_of_own_networks_take_effect():
    x = (0.5 + 0.5 * wave((8, 8, 8, 1))).astype("float32")
    encoder = own_encoder(kernel_regularizer=keras.regularizers.L2(10.0))
    model = small_vae(encoder=encoder)
    squares = sum(
        np.sum(np.square(layer.get_weights()[0])) for layer in encoder.layers[2:]
    )
    model.compile(keras.optimizers.SGD(0.01))
    logs = {k: v[0] for k, v in model.fit(x, verbose=0).history.items()}
    added = logs["loss"] - logs["reconstruction"] - logs["kl"]
    assert added == pytest.approx(10 * squares, rel=1e-3)

    constraint = keras.constraints.MaxNorm(0.1, axis=0)
    model = small_vae(encoder=own_encoder(kernel_constraint=constraint))
    model.compile()
    model.fit(x, verbose=0)
    for layer in model.encoder.layers[2:]:
        norms = np.linalg.norm(layer.get_weights()[0], axis=0)
        assert np.all(norms <= 0.1 + 1e-5)


def test_losses_that_a_network_adds_by_itself_are_refused():
    with pytest.raises(ValueError, match="activity_regularizer"):
        small_vae(encoder=own_encoder(activity_regularizer="l2"))
