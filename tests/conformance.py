"""What every model of the zoo must do, checked once for all of them."""

import conftest
import keras
import numpy as np
import pytest
from conftest import wave
from keras import ops

from kzoo import backend
from kzoo.layers import SpectralNormalization

N = 24  # images
# What JAX compiles by itself, one operation after the other, costs more than the whole.
ON_JAX = keras.backend.backend() == "jax"


def eagerly():
    """The short suite trains eagerly: a few steps cost less than to compile one."""
    return not (ON_JAX or conftest.full)


def variants(names, everywhere):
    """Parameters of a test of a model, one of them marked `every_backend`."""
    mark = pytest.mark.every_backend
    return [pytest.param(n, marks=mark) if n == everywhere else n for n in names]


def check_model(make, tmp_path):
    """Checks the contract of the model that `make()` builds, on small images."""
    model = compiled(make, run_eagerly=eagerly())
    check_config_round_trip(model)
    check_sampling(model)
    check_bad_input(model)
    check_logs_save_and_resume(model, tmp_path)
    check_phases_move_only_their_network(model)
    check_frozen_network_stays(make, tmp_path)


def check_own_networks(make, tmp_path):
    """Checks a model of known contract that was given networks of the user's."""
    if conftest.full:
        check_model(make, tmp_path)
        return
    model = compiled(make, run_eagerly=eagerly())
    check_config_round_trip(model)
    assert model.sample(5, seed=3).shape == (5, *model.image_shape)
    fit(model, n=8)
    model.save(tmp_path / "own.keras")
    assert_same_state(model, keras.saving.load_model(tmp_path / "own.keras"))


def compiled(make, **arguments):
    backend.reseed(7)
    model = make()
    model.compile(**arguments)
    return model


def batch(model, n=N):
    """`(images, labels)` for `fit`; labels are None for a model without classes."""
    images = (0.5 + 0.5 * wave((n, *model.image_shape))).astype("float32")
    labels = None if model.num_classes is None else np.arange(n) % model.num_classes
    return images, labels


def fit(model, epochs=1, n=N, **arguments):
    backend.reseed(1)  # torch's Dropout draws from the global generator
    history = model.fit(
        *batch(model, n),
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        **arguments,
    )
    return history.history


def state(model):
    """All that training changes, as numpy arrays."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


def assert_same_state(model, other):
    for a, b in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def with_fixed_noise(model):
    """Replaces the random numbers, which differ from backend to backend."""
    model.noise = lambda shape, draw=None: ops.convert_to_tensor(
        wave([int(n) for n in shape])
    )
    return model


def with_fixed_vectors(model):
    """Sets the vectors of spectral normalisation, which as drawn differ by backend."""
    for network in model.generator, model.discriminator:
        for layer in network._flatten_layers():
            if isinstance(layer, SpectralNormalization):
                layer.u.assign(wave(layer.u.shape))
    return model


def networks(model):
    optimizers = model.default_optimizer()
    return list(optimizers) if isinstance(optimizers, dict) else []


def check_paper(make, name, optimizers, tmp_path):
    """Checks what a function that returns a family's model, as a paper has it, adds.

    Its name, and the optimizers of `compile()`, also of a model from a file that was
    saved before it was compiled, or with other optimizers and loaded without them.

    Args:
        make: builds the model.
        name: the paper's.
        optimizers: `{network: (class, {setting: value})}`, or the pair alone for a
            model without phases.
    """
    phases = isinstance(optimizers, dict)
    expected = optimizers if phases else {"": optimizers}
    others = {network: keras.optimizers.SGD() for network in expected}
    model = make()
    model.save(tmp_path / "plain.keras")
    model.compile(others if phases else others[""])
    model.save(tmp_path / "other.keras")
    plain, other = (
        keras.saving.load_model(tmp_path / f"{file}.keras", compile=file == "plain")
        for file in ("plain", "other")
    )
    for model in make(), plain, other:
        assert model.name == name
        assert not model.compiled
        model.compile()
        members = model.optimizer.members if phases else {"": model.optimizer}
        assert set(members) == set(expected)
        for network, (kind, settings) in expected.items():
            member = members[network]
            assert isinstance(member, kind)
            got = {key: float(getattr(member, key)) for key in settings}
            assert got == pytest.approx(settings)


def check_config_round_trip(model):
    config = model.get_config()
    again = type(model).from_config(config)
    assert again.get_config() == config
    assert [v.shape for v in again.variables] == [v.shape for v in model.variables]


def check_sampling(model):
    shape = (5, *model.image_shape)
    images = model.sample(5, seed=3)
    assert images.shape == shape and images.dtype == np.float32
    assert images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(images, model.sample(5, seed=3))
    assert not np.array_equal(images, model.sample(5, seed=4))
    if conftest.full:  # more than are run at a time
        assert model.sample(300, seed=3).shape == (300, *model.image_shape)
    if hasattr(model, "encode"):
        images, labels = batch(model, 5)
        assert model.encode(images, labels).shape == (5, model.latent_dim)
        again = model.reconstruct(np.uint8(images * 255), labels)
        assert again.shape == shape
        np.testing.assert_allclose(again, model.reconstruct(images, labels), atol=0.05)


def check_bad_input(model):
    images, labels = batch(model)
    bad = {
        "shape": images[:, :-2],
        "rank": images[..., 0],
        "dtype": images.astype("int64"),
        "range": images * 2 - 1,
        "NaN": np.where(images == images.max(), np.nan, images),
        "empty": images[:0],
    }
    for case, wrong in bad.items():
        y = None if labels is None else labels[: len(wrong)]
        with pytest.raises(ValueError, match="Expected") as error:
            model.fit(wrong, y, verbose=0)
        assert "image" in str(error.value), case
    with pytest.raises(ValueError, match="num_classes"):
        model.fit(images, np.zeros(N, int) if labels is None else None, verbose=0)
    with pytest.raises(ValueError, match="latents"):
        model.generate(np.zeros((2, model.latent_dim + 1)))


def check_logs_save_and_resume(model, tmp_path):
    names = {metric.name for metric in model.metrics}
    few = N if conftest.full else 16
    assert set(fit(model, n=few)) == names
    assert all(np.isfinite(v).all() for v in model.history.history.values())
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    assert set(scores) == names

    path = tmp_path / f"{model.name}.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    again.run_eagerly = model.run_eagerly
    assert type(again) is type(model)
    assert_same_state(model, again)
    epochs = 2 if conftest.full else 1
    assert fit(model, epochs, few) == fit(again, epochs, few)
    assert_same_state(model, again)


def check_phases_move_only_their_network(model):
    for moving in networks(model):
        for variable in model.optimizer.variables:  # momentum would move the others
            variable.assign(np.zeros(variable.shape))
        for name, member in model.optimizer.members.items():
            member.learning_rate = 0.01 if name == moving else 0.0
        own = {id(v) for v in getattr(model, moving).trainable_variables}
        before = weights(model)
        fit(model, n=8)  # one step
        pairs = zip(model.trainable_variables, before, weights(model), strict=True)
        moved = [v for v, a, b in pairs if not np.array_equal(a, b)]
        assert moved, f"{moving}'s optimizer moves nothing"
        for variable in moved:
            assert id(variable) in own, f"{moving}'s optimizer moves {variable.path}"


def weights(model):
    return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]


def check_frozen_network_stays(make, tmp_path):
    model = make()
    frozen = (networks(model) or ["decoder"])[0]
    getattr(model, frozen).trainable = False
    model.compile(run_eagerly=not ON_JAX)
    kernels = [v for v in getattr(model, frozen).weights if v.name == "kernel"]
    before = [np.array(ops.convert_to_numpy(v)) for v in kernels]
    fit(model, n=8)
    for a, b in zip(before, kernels, strict=True):
        np.testing.assert_array_equal(a, ops.convert_to_numpy(b))
    model.save(tmp_path / "frozen.keras")
    again = keras.saving.load_model(tmp_path / "frozen.keras")
    assert not getattr(again, frozen).trainable
    assert again.get_config()["trainable"] == model.get_config()["trainable"]
    assert_same_state(model, again)


def check_golden(make, golden, name, scale=0.3):
    """Checks what two epochs on fixed weights, noise and images lead to.

    Logs, and the mean and deviation of images generated then, are those that the
    fixture `golden` keeps under `name`: the same numbers on every backend.
    """
    model = with_fixed_noise(compiled(make, run_eagerly=eagerly()))
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(scale * wave(variable.shape, phase=i))
    if getattr(model, "ema", None) is not None:  # starts as the generator does
        model.ema_generator.set_weights(model.generator.get_weights())
    got = {k: values[-1] for k, values in fit(model, 2).items()}
    labels = None if model.num_classes is None else np.arange(6) % model.num_classes
    images = model.generate(wave((6, model.latent_dim)), labels)
    got |= {"sample_mean": float(images.mean()), "sample_std": float(images.std())}
    golden.check(name, got)
