"""Stopping and resuming. `test_recipes.py` does it with SIGKILL."""

import collections
import contextlib
import math

import keras
import numpy as np
import pytest
from conformance import assert_same_state, batch, compiled, eagerly, state
from keras import ops
from keras.optimizers import Adam

from kzoo.backend import keras_internals
from kzoo.callbacks import Checkpoint
from kzoo.models import DCGAN, GAN, LSGAN, SNGAN, VAE
from kzoo.networks import DCGANNetworks, MLPEncoderDecoder, MLPNetworks


def cosine(steps=50):
    return keras.optimizers.schedules.CosineDecay(1e-3, steps)


def group(rate):
    return {"discriminator": Adam(2e-4), "generator": Adam(rate)}


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


# Other callbacks


def make_vae():
    return VAE((8, 8, 1), 4, MLPEncoderDecoder((8,)))


def started():
    return compiled(make_vae, run_eagerly=eagerly())


class Kill(keras.callbacks.Callback):
    """Ends the process, as it were, in the second step of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.last and batch == 1:
            raise KeyboardInterrupt


class Worse(keras.callbacks.Callback):
    """A quantity that is best in the second epoch, in the place of a loss."""

    values = (3.0, 1.0, 2.0, 2.0, 2.0, 0.5, 2.0, 2.0)

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.values[epoch]


class Own(keras.callbacks.Callback):
    """A user's callback with all kinds of state in attributes."""

    seen_by_all = []  # noqa: RUF012

    def __init__(self, every=2):
        super().__init__()
        self.every, self.count, self.name, self.best = every, 0, None, math.inf
        self.recent = collections.deque(maxlen=2)
        self.by_name = collections.defaultdict(list)
        self.shadow = [np.zeros(2, "float32"), {"a": (1, {2})}]
        self.scale = np.float32(1)
        self.variable = keras.Variable([0.0])
        self.mean = keras.metrics.Mean()
        self.tensor = ops.zeros(3)
        self.random = np.random.default_rng(0)
        self.drawn = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen_by_all.append(epoch)
        self.count += 1
        self.name = f"epoch {epoch}"
        self.best = min(self.best, logs["loss"])
        self.recent.append(logs["loss"])
        self.by_name["loss"].append(logs["loss"])
        self.shadow[0] = self.shadow[0] * 0.9 + np.float32(logs["loss"])
        self.shadow[1]["a"] = (epoch, {epoch, 7})
        self.scale *= np.float32(0.3)
        self.variable.assign_add([logs["loss"]])
        self.mean.update_state(logs["loss"])
        self.tensor = self.tensor + logs["loss"]
        self.drawn.append(self.random.random())

    def plain(self):
        arrays = [self.variable, self.mean.total, self.mean.count, self.tensor]
        return [
            *(self.every, self.count, self.name, self.best, [*self.seen_by_all]),
            *([*self.recent], self.recent.maxlen, self.by_name, self.by_name["new"]),
            *(self.shadow[0].tolist(), self.shadow[1], self.scale, self.drawn),
            *(ops.convert_to_numpy(a).tolist() for a in arrays),
        ]


class Protocol(keras.callbacks.Callback):
    """A user's callback that gives its state itself."""

    def __init__(self):
        super().__init__()
        self.inner = lambda: self.total
        self.total = 0.0

    def on_epoch_end(self, epoch, logs=None):
        self.total += logs["loss"]

    def get_state(self):
        return {"total": self.total, "array": np.full(2, self.total)}

    def set_state(self, state):
        self.total = state["array"][1] + 0 * state["total"]

    def plain(self):
        return float(self.total)


class OwnStopping(keras.callbacks.EarlyStopping):
    """A user's subclass of a callback of Keras with a counter of its own."""

    def __init__(self):
        super().__init__("score", mode="min", patience=9, restore_best_weights=True)
        self.asked = 0

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        self.asked += 1


def all_callbacks(folder):
    best = {"monitor": "score", "mode": "min", "save_best_only": True}
    return [
        Worse(),
        keras.callbacks.ReduceLROnPlateau(
            "score", 0.5, patience=1, mode="min", cooldown=1
        ),
        keras.callbacks.ModelCheckpoint(folder / "best.keras", **best),
        keras.callbacks.ModelCheckpoint(
            folder / "best.weights.h5", save_weights_only=True, **best
        ),
        keras.callbacks.ModelCheckpoint(
            folder / "{epoch}_{batch}.weights.h5", save_weights_only=True, save_freq=4
        ),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.History(),
        keras.callbacks.TerminateOnNaN(),
        OwnStopping(),
        Own(),
        Protocol(),
    ]


def plain_state(callback):
    """What a callback has that training changes, as plain values."""
    if hasattr(callback, "plain"):
        return callback.plain()
    names = [*keras_internals.callback_state(callback), "asked"]
    values = [getattr(callback, name, None) for name in names]
    return keras.tree.map_structure(
        lambda value: value.tolist() if hasattr(value, "tolist") else value, values
    )


def saved_weights(folder):
    paths = sorted(folder.glob("*.weights.h5"))
    model = make_vae()
    model.compile()
    loaded = {}
    for path in paths:
        model.load_weights(path)
        loaded[path.name] = state(model)
    best = keras.saving.load_model(folder / "best.keras")
    return loaded | {"best.keras": state(best)}


def run(folder, epochs, kill=None, order=1, resume=True, fit=fit, make=make_vae):
    """A run as in a process of its own. Returns the model and the callbacks."""
    Own.seen_by_all = []
    model = compiled(make, run_eagerly=eagerly())
    callbacks = all_callbacks(folder)
    checkpoint = Checkpoint(folder / "run.keras", resume=resume)
    listed = [checkpoint, *callbacks][::order]
    if order == -1:  # but what `Worse` adds to the logs comes first
        listed = [callbacks[0], *(one for one in listed if one is not callbacks[0])]
    killed = (
        contextlib.nullcontext() if kill is None else pytest.raises(KeyboardInterrupt)
    )
    with killed:
        fit(model, epochs, *listed, Kill(kill))
    return model, [*map(plain_state, callbacks)]


@pytest.mark.filterwarnings("error::UserWarning:kzoo")
@pytest.mark.parametrize("order, kills", [(1, (3,)), (-1, (1, 2, 5))])
def test_resumed_callbacks_are_those_of_the_uninterrupted_run(tmp_path, order, kills):
    whole, first = run(folder(tmp_path, "whole"), 7, order=order)
    for kill in kills:
        run(folder(tmp_path, "run"), 7, kill, order=order)
    resumed, second = run(folder(tmp_path, "run"), 7, order=order)
    assert_same_state(whole, resumed)
    assert first == second
    assert whole.history.epoch == resumed.history.epoch
    assert whole.history.history == resumed.history.history
    logs = [(tmp_path / name / "log.csv").read_bytes() for name in ("whole", "run")]
    assert logs[0] == logs[1]
    best = [saved_weights(tmp_path / name) for name in ("whole", "run")]
    assert best[0].keys() == best[1].keys()
    for name, weights in best[0].items():
        for a, b in zip(weights, best[1][name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def folder(path, name):
    (path / name).mkdir(exist_ok=True)
    return path / name


@pytest.mark.parametrize(
    "make, compiled_then, compiled_now, named",
    [
        (make_vae, lambda: "adam", keras.optimizers.SGD, "Adam"),
        (make_vae, Adam, lambda: Adam(1e-5), "learning_rate=0.001 .* 1e-05"),
        (make_vae, Adam, lambda: Adam(1e-3, beta_1=0.5), "beta_1=0.9 .* 0.5"),
        (make_vae, Adam, lambda: Adam(cosine()), "0.001 .* CosineDecay"),
        (
            make_vae,
            lambda: Adam(cosine()),
            lambda: Adam(cosine(9)),
            "decay_steps=50 .* 9",
        ),
        (make, lambda: group(2e-4), lambda: group(1e-4), "0.0002 .* 0.0001"),
    ],
)
def test_other_settings_of_the_optimizer_are_refused(
    make, compiled_then, compiled_now, named, tmp_path
):
    path = tmp_path / "run.keras"
    model = make()
    model.compile(compiled_then(), run_eagerly=eagerly())
    fit(model, 1, Checkpoint(path))
    content = path.read_bytes()
    log = tmp_path / "log.csv"
    log.write_text("mine")
    again = make()
    again.compile(compiled_now(), run_eagerly=eagerly())
    callbacks = [keras.callbacks.CSVLogger(log), Checkpoint(path, resume=True)]
    with pytest.raises(ValueError, match=named) as error:
        fit(again, 2, *callbacks)
    assert str(path) in str(error.value)
    assert path.read_bytes() == content and log.read_text() == "mine"


def test_what_callbacks_do_to_the_learning_rate_is_no_other_setting(tmp_path):
    path = tmp_path / "run.keras"
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    model = started()
    with pytest.raises(KeyboardInterrupt):
        fit(model, 4, schedule, Checkpoint(path), Kill(2))
    # In the same process, as in a notebook, and in another one.
    for again in model, started():
        fit(again, 4, schedule, Checkpoint(path, resume=True))
        rate = ops.convert_to_numpy(again.optimizer.learning_rate)
        assert float(rate) == pytest.approx(1e-3 / 16)
    model.optimizer.learning_rate = 1e-5
    with pytest.raises(ValueError, match="1e-05"):
        fit(model, 5, schedule, Checkpoint(path, resume=True))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"a text",
        lambda content: content[: len(content) // 2],
        lambda content: content[:5000] + b"damaged" + content[5007:],
    ],
    ids=["empty", "foreign", "truncated", "overwritten"],
)
def test_a_damaged_file_is_named_and_left_alone(damage, tmp_path):
    path = tmp_path / "run.keras"
    fit(started(), 1, Checkpoint(path))
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    model = started()
    before = state(model)
    with pytest.raises(ValueError, match="move it away") as error:
        fit(model, 2, Checkpoint(path, resume=True))
    assert str(path) in str(error.value)
    assert path.read_bytes() == damaged
    for a, b in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_without_its_run_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.keras"
    started().save(path)
    with pytest.raises(ValueError, match=r"model.keras.* without its run"):
        fit(started(), 2, Checkpoint(path, resume=True))


class Stop(keras.callbacks.Callback):
    """Stops training in the first step of an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = self.epoch == 2 and batch == 0


def test_an_epoch_that_was_cut_short_is_repeated(tmp_path):
    path = tmp_path / "run.keras"
    whole = started()
    fit(whole, 4, Checkpoint(tmp_path / "whole.keras"))
    fit(started(), 4, Checkpoint(path), Stop())
    resumed = started()
    fit(resumed, 4, Checkpoint(path, resume=True))
    assert_same_state(whole, resumed)
    assert resumed.history.history == whole.history.history


def test_a_run_that_was_stopped_early_stays_so(tmp_path):
    def stopping(patience):
        return keras.callbacks.EarlyStopping(
            "score", patience=patience, mode="min", restore_best_weights=True
        )

    path, whole = tmp_path / "run.keras", started()
    history = fit(whole, 8, Worse(), stopping(2), Checkpoint(path))
    assert len(history["loss"]) == 4
    again = started()
    assert fit(again, 8, Worse(), stopping(2), Checkpoint(path, resume=True)) == history
    assert again.history.epoch == [0, 1, 2, 3]
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    longer = started()
    history = fit(longer, 6, Worse(), stopping(9), Checkpoint(path, resume=True))
    assert len(history["loss"]) == 6


def test_members_of_a_group_and_their_averages_are_restored(tmp_path):
    def averaged():
        names = "discriminator", "generator"
        return {name: Adam(1e-3, use_ema=True) for name in names}

    def train(path, *more, epochs=5):
        model = make()
        model.compile(averaged(), run_eagerly=eagerly())
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        plateau = keras.callbacks.ReduceLROnPlateau(
            "score", 0.5, patience=1, mode="min"
        )
        fit(model, epochs, Checkpoint(path, True), Worse(), plateau, swap, *more)
        return model

    keras.utils.set_random_seed(3)
    whole = train(tmp_path / "whole.keras")
    keras.utils.set_random_seed(3)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run.keras", Kill(3))
    resumed = train(tmp_path / "run.keras")
    assert_same_state(whole, resumed)
    rates = [
        float(ops.convert_to_numpy(member.learning_rate))
        for member in resumed.optimizer.optimizers
    ]
    assert rates == [pytest.approx(1e-3 / 8)] * 2
    assert whole.history.history == resumed.history.history


@pytest.mark.parametrize("as_list", [list, keras.callbacks.CallbackList])
def test_two_callbacks_of_a_class_are_told_apart(as_list, tmp_path):
    def best(name, mode):
        return keras.callbacks.ModelCheckpoint(
            tmp_path / f"{name}.keras", "score", save_best_only=True, mode=mode
        )

    def train(epochs, *callbacks):
        model = started()
        callbacks = [Worse(), Checkpoint(tmp_path / "run.keras", True), *callbacks]
        model.fit(
            batch(model)[0], epochs=epochs, verbose=0, callbacks=as_list(callbacks)
        )

    train(3, best("low", "min"), best("high", "max"))
    swapped = best("high", "max"), best("low", "min")
    train(4, *swapped)
    assert [one.best for one in swapped] == [3, 1]
    with pytest.warns(UserWarning, match="ModelCheckpoint is not among"):
        left = best("low", "min")
        train(5, left)
    assert left.best == 1
    with pytest.warns(UserWarning, match="ModelCheckpoint was not among"):
        train(6, best("low", "min"), best("new", "max"))


class Opaque(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.writer, self.later = object(), None

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.later = object()


def test_state_that_cannot_be_saved_is_named(tmp_path):
    losses = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: losses.append(logs["loss"])
    )
    with pytest.warns(UserWarning, match="restore") as caught:
        fit(started(), 2, note, Opaque(), Checkpoint(tmp_path / "run.keras"))
    texts = [str(one.message) for one in caught if "restore" in str(one.message)]
    assert len(texts) == 2
    assert "writer" in texts[0] and "losses" in texts[0] and "later" in texts[1]
    with pytest.warns(UserWarning, match="later"):
        fit(
            started(),
            3,
            *(note, Opaque()),
            Checkpoint(tmp_path / "run.keras", resume=True),
        )


def test_other_arguments_of_fit_are_named(tmp_path):
    path, (images, _) = tmp_path / "run.keras", batch(make_vae(), 20)
    started().fit(images, batch_size=8, verbose=0, callbacks=[Checkpoint(path)])
    with pytest.warns(UserWarning, match=r"batch_size=8 .* 10, seed=0 .* 3"):
        started().fit(
            *(images, None, 10, 2),
            verbose=0,
            callbacks=[Checkpoint(path, resume=True, seed=3)],
        )


class Deep(keras.Model):
    """An encoder of a user's own, with layers in a block in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        norm, layers = keras.layers.BatchNormalization, keras.layers
        self.blocks = [
            keras.Sequential([layers.Flatten(), layers.Dense(6), norm()]),
            keras.Sequential([layers.Dense(6), norm(), layers.Activation("relu")]),
        ]
        self.heads = [layers.Dense(2), layers.Dense(2)]
        self(np.zeros((1, 4, 4, 1)))

    def call(self, images, training=False):
        for block in self.blocks:
            images = block(images, training=training)
        return [head(images) for head in self.heads]

    def get_config(self):
        return {"name": self.name}


def make_deep():
    encoder = Deep()
    return VAE((4, 4, 1), 2, MLPEncoderDecoder((4,)), encoder=encoder)


def make_gan():
    return GAN((8, 8, 1), 4, DCGANNetworks((8, 4)), ema=0.9, penalty="lecam")


def make_small_gan():
    return GAN((8, 8, 1), 4, MLPNetworks((4,), dropout=0.0))


def set_trainable(value, *find):
    def set_(model):
        for one in find:
            one(model).trainable = value

    return set_


def freeze_around(model):
    """All of the encoder but one layer."""
    model.encoder.trainable = False
    model.encoder.blocks[1].layers[0].trainable = True


FROZEN = {
    "network": (make_vae, set_trainable(False, lambda m: m.encoder)),
    "layer": (make_vae, set_trainable(False, lambda m: m.decoder.layers[1])),
    "whole": (make_vae, set_trainable(False, lambda m: m)),
    "variable": (make_vae, set_trainable(False, lambda m: m.encoder.layers[2].kernel)),
    "own": (make_deep, set_trainable(False, lambda m: m.encoder)),
    "deep": (make_deep, set_trainable(False, lambda m: m.encoder.blocks[0].layers[2])),
    "around": (make_deep, freeze_around),
    "phases": (make_gan, set_trainable(False, lambda m: m.generator.layers[1])),
    "every phase": (make_gan, set_trainable(False, lambda m: m)),
}


def load(model, path):
    """The model as it is read from a file."""
    model.save(path)
    custom_objects = {"Deep": Deep}
    return keras.saving.load_model(path, custom_objects=custom_objects)


def flags(model):
    """Of every layer and variable, whether it is trained."""
    layers = [one.trainable for one in model._flatten_layers()]
    return layers, [one.trainable for one in model.variables]


def values(variables):
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


@pytest.mark.parametrize("case", FROZEN)
def test_what_is_frozen_stays_so_in_a_file(case, tmp_path):
    make, freeze = FROZEN[case]
    model = make()
    freeze(model)
    model.compile(run_eagerly=eagerly())
    trained = len(model.trainable_variables)
    fit(model, 1)
    again = load(model, tmp_path / "model.keras")
    again.run_eagerly = model.run_eagerly
    assert flags(again) == flags(model)
    assert len(again.trainable_variables) == trained < len(make().trainable_variables)
    assert_same_state(model, again)
    if case in ("network", "own"):  # batch statistics are frozen, too
        before = values(again.encoder.weights)
        fit(again, 1)
        assert all(map(np.array_equal, before, values(again.encoder.weights)))


def test_a_copy_of_a_model_is_frozen_as_it_is():
    model = make_gan()
    model.discriminator.layers[1].trainable = False
    copy = keras.models.clone_model(model)
    assert flags(copy) == flags(model)
    assert len(copy.trainable_variables) == len(model.trainable_variables)
    assert make_gan().get_config()["trainable"] is True  # as in earlier files


@pytest.mark.parametrize("make", [make_vae, make_small_gan])
def test_what_is_frozen_after_compile_is_saved_but_not_trained(make, tmp_path):
    model = make()
    model.compile(run_eagerly=eagerly())
    fit(model, 1)
    model.layers[-1].trainable = False
    before = state(model)
    with pytest.raises(ValueError, match=r"compile\(\)"):
        fit(model, 1)
    again = load(model, tmp_path / "model.keras")
    for one in model, again:
        for a, b in zip(before, state(one), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not one.layers[-1].trainable
        with pytest.raises(ValueError, match=r"compile\(\)"):
            one.train_on_batch(*batch(one, 8)[:1])
        one.compile(run_eagerly=eagerly())
        fit(one, 1)


def test_a_checkpoint_of_other_trainable_layers_is_refused(tmp_path):
    model = make_vae()
    model.encoder.trainable = False
    model.compile(run_eagerly=eagerly())
    path = tmp_path / "run.keras"
    fit(model, 1, Checkpoint(path))
    with pytest.raises(ValueError, match=r"trainable=.*encoder"):
        fit(compiled(make_vae), 2, Checkpoint(path, resume=True))
    again = make_vae()
    again.encoder.trainable = False
    again.compile(run_eagerly=eagerly())
    assert len(fit(again, 2, Checkpoint(path, resume=True))["loss"]) == 2


class Anneal(keras.callbacks.Callback):
    """Changes settings by what they are, and by the epoch."""

    def __init__(self, model):
        super().__init__()
        self.trained = model

    def on_epoch_begin(self, epoch, logs=None):
        self.trained.beta = self.trained.beta / 2
        self.trained.divergence.free_bits = 0.1 * epoch


def test_settings_that_callbacks_change_are_resumed(tmp_path):
    def run(path, epochs, *others):
        model = compiled(make_vae, run_eagerly=eagerly())
        checkpoint = Checkpoint(path, resume=True)
        return model, fit(model, epochs, checkpoint, Anneal(model), *others)

    whole, history = run(tmp_path / "whole.keras", 3)
    run(tmp_path / "run.keras", 2)
    resumed, again = run(tmp_path / "run.keras", 3)
    assert again == history
    assert resumed.beta == whole.beta == 1 / 8
    assert_same_state(whole, resumed)
    assert keras.saving.load_model(tmp_path / "run.keras").beta == 1 / 8
