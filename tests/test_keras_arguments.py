"""The arguments of Keras's methods: each takes effect, or is refused at once.

docs/keras.md says which.
"""

import keras
import numpy as np
import pytest
from conformance import compiled, fit, state
from conftest import wave
from keras import ops
from test_training import make_gan, make_vae

from kzoo import backend, models
from kzoo.models import VAE
from kzoo.models.beta_tcvae import TotalCorrelation
from kzoo.networks import MLPEncoderDecoder

IMAGES = (0.5 + 0.5 * wave((16, 8, 8, 1))).astype("float32")
MODELS = pytest.mark.parametrize("make", [make_vae, make_gan])


def weights_after(model):
    return [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]


@MODELS
@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": "mse"},
        {"metrics": ["mse"]},
        {"weighted_metrics": ["mse"]},
        {"loss_weights": [1.0]},
        {"run_eagerly": "no"},
        {"jit_compile": "yes"},
        {"auto_scale_loss": "no"},
        {"steps_per_execution": 0},
        {"steps_per_execution": 2.5},
    ],
    ids=str,
)
def test_compile_refuses_what_would_have_no_effect(make, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        make().compile(**arguments)


def test_a_second_positional_argument_of_compile_is_the_loss_as_in_keras():
    with pytest.raises(ValueError, match="loss"):
        make_vae().compile("adam", "mse")


@MODELS
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sample_weight", {"sample_weight": np.ones(16)}),
        ("class_weight", {"class_weight": {0: 1.0}}),
        ("weights", {"validation_data": (IMAGES, None, np.ones(16))}),
        ("validation_split", {"validation_split": 0.5, "validation_data": IMAGES}),
        ("validation_split", {"validation_split": 1.5}),
        ("validation_split", {"validation_split": -0.5}),
        ("validation_steps", {"validation_steps": 1}),
        ("validation_batch_size", {"validation_batch_size": 8}),
        ("validation_freq", {"validation_freq": 2}),
        ("steps_per_epoch", {"steps_per_epoch": 0}),
        ("initial_epoch", {"initial_epoch": -1}),
        ("epochs", {"epochs": -1}),
        ("epochs", {"epochs": 1.5}),
        ("batch_size", {"batch_size": 0}),
        ("batch_size", {"batch_size": 2.5}),
        ("shuffle", {"shuffle": "batch"}),
        ("callbacks", {"callbacks": "history"}),
        ("callbacks", {"callbacks": [keras.callbacks.History]}),
    ],
    ids=str,
)
def test_fit_refuses_what_would_have_no_effect(make, name, arguments):
    with pytest.raises(ValueError, match=name):
        compiled(make).fit(IMAGES, verbose=0, **arguments)


@MODELS
def test_evaluation_and_single_batches_refuse_weights_and_empty_counts(make):
    model = compiled(make)
    weights = np.ones(len(IMAGES))
    for method in model.evaluate, model.train_on_batch, model.test_on_batch:
        with pytest.raises(ValueError, match="sample_weight"):
            method(IMAGES, sample_weight=weights)
    with pytest.raises(ValueError, match="sample_weight"):
        model.evaluate(IMAGES, None, 8, 0, weights)
    with pytest.raises(ValueError, match="class_weight"):
        model.train_on_batch(IMAGES, class_weight={0: 1.0})
    for name in "steps", "batch_size":
        with pytest.raises(ValueError, match=name):
            model.evaluate(IMAGES, verbose=0, **{name: 0})


@MODELS
def test_the_arguments_of_fit_take_effect(make):
    model = compiled(make)
    seen = []
    tests = keras.callbacks.LambdaCallback(
        on_test_batch_end=lambda step, logs: seen.append(step)
    )
    history = model.fit(
        IMAGES,
        batch_size=4,
        epochs=5,
        initial_epoch=1,
        steps_per_epoch=2,
        validation_data=(IMAGES,),
        validation_freq=2,
        validation_batch_size=8,
        validation_steps=1,
        callbacks=[tests],
        verbose=0,
    ).history
    names = {metric.name for metric in model.metrics}
    assert {name: len(history[name]) for name in names} == dict.fromkeys(names, 4)
    assert {len(history[f"val_{name}"]) for name in names} == {2}
    assert len(seen) == 2
    assert int(model.optimizer.iterations) == 8
    model.fit(IMAGES, batch_size=4, validation_split=0.5, verbose=0)
    assert int(model.optimizer.iterations) == 10


@MODELS
def test_single_batches_and_evaluation_report_by_name(make):
    model = compiled(make)
    names = [metric.name for metric in model.metrics]
    assert set(model.train_on_batch(IMAGES, return_dict=True)) == set(names)
    assert set(model.test_on_batch(IMAGES, return_dict=True)) == set(names)
    assert len(model.evaluate(IMAGES, verbose=0)) == len(names)
    one = model.evaluate(IMAGES, batch_size=4, steps=1, verbose=0, return_dict=True)
    assert set(one) == set(names) == set(model.get_metrics_result())
    model.reset_metrics()
    assert all(float(v) == 0 for v in model.get_metrics_result().values())


class Counted(VAE):
    """Has a metric of its own, as a subclass of `keras.Model` has."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.counted = keras.metrics.Sum(name="counted")

    @backend.portable_step
    def train_step(self, images, labels=None):
        logs = self.report(self.minimize(self.negative_elbo, images, labels), images)
        self.counted.update_state(ops.ones(ops.shape(images)[0]))
        return {**logs, "counted": self.counted.result()}


def test_a_metric_of_a_subclass_is_carried_and_reset_each_epoch():
    model = compiled(lambda: Counted((8, 8, 1), 4, MLPEncoderDecoder((16,))))
    logs = model.fit(IMAGES, batch_size=4, epochs=2, verbose=0).history
    assert logs["counted"] == [16, 16]
    assert [m.name for m in model.metrics][-1] == "counted"


@MODELS
def test_an_optimizer_belongs_to_one_model(make):
    first, second = compiled(make), make()
    with pytest.raises(ValueError, match="this model alone"):
        second.compile(first.optimizer)
    fit(first)
    steps = int(first.optimizer.iterations)
    first.compile(first.optimizer)  # goes on with its moments
    assert int(first.optimizer.iterations) == steps


def test_the_rate_of_a_group_is_set_at_its_members():
    model = compiled(make_gan)
    with pytest.raises(AttributeError, match="members"):
        model.optimizer.learning_rate = 0.0
    before = weights_after(model)
    for member in model.optimizer.members.values():
        member.learning_rate = 0.0
    fit(model)
    for a, b in zip(before, weights_after(model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("scaled", [True, False])
@MODELS
def test_auto_scale_loss_wraps_each_optimizer_and_stays_in_the_file(
    make, scaled, tmp_path
):
    model = make(dtype="mixed_float16")
    model.compile(auto_scale_loss=scaled)
    model.save(tmp_path / "model.keras")
    for m in model, keras.saving.load_model(tmp_path / "model.keras"):
        members = getattr(m.optimizer, "members", {"": m.optimizer}).values()
        kinds = {isinstance(x, keras.optimizers.LossScaleOptimizer) for x in members}
        assert kinds == {scaled}


@MODELS
def test_saving_refuses_what_would_lose_the_model(make, tmp_path):
    model = compiled(make)
    for path, arguments in (
        ("model.h5", {}),
        ("model.hdf5", {}),
        ("model.keras", {"include_optimizer": False}),
        ("model.keras", {"save_format": "keras"}),
    ):
        with pytest.raises(ValueError, match="keras"):
            model.save(tmp_path / path, **arguments)
    assert not list(tmp_path.iterdir())
    with pytest.raises(NotImplementedError, match="quantized"):
        model.quantize("int8")


@MODELS
def test_a_folder_and_weights_hold_the_model_and_its_optimizer(make, tmp_path):
    model = compiled(make)
    fit(model)
    model.save(tmp_path / "folder", zipped=False)
    model.save_weights(tmp_path / "model.weights.h5")
    weights = compiled(make)
    weights.load_weights(tmp_path / "model.weights.h5")
    for other in keras.saving.load_model(tmp_path / "folder"), weights:
        for a, b in zip(state(model), state(other), strict=True):
            np.testing.assert_array_equal(a, b)


@MODELS
def test_copies_by_keras_have_the_same_networks(make):
    model = compiled(make)
    copies = (
        keras.models.model_from_json(model.to_json()),
        keras.models.clone_model(model),
    )
    for copy in copies:
        assert type(copy) is type(model)
        assert copy.count_params() == model.count_params()
        assert copy.get_config() == model.get_config()
    assert model.get_layer(index=0) in model.layers


def settings():
    """Settings of an optimizer; each is compared with the one network by hand."""
    rate = keras.optimizers.schedules
    adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD
    return {
        "adam": lambda: adam(0.01),
        "amsgrad": lambda: adam(0.01, amsgrad=True),
        "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        "sgd": lambda: sgd(0.1),
        "momentum": lambda: sgd(0.1, momentum=0.9),
        "nesterov": lambda: sgd(0.1, momentum=0.9, nesterov=True),
        "rmsprop": lambda: keras.optimizers.RMSprop(0.01, centered=True),
        "lion": lambda: keras.optimizers.Lion(0.01),
        "clipnorm": lambda: sgd(0.1, clipnorm=0.01),
        "global_clipnorm": lambda: sgd(0.1, global_clipnorm=0.01),
        "clipvalue": lambda: sgd(0.1, clipvalue=0.001),
        "weight_decay": lambda: adam(0.01, weight_decay=0.1),
        "use_ema": lambda: adam(0.01, use_ema=True, ema_momentum=0.5),
        "overwrite": lambda: adam(
            0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
        ),
        "accumulation": lambda: adam(0.01, gradient_accumulation_steps=2),
        "loss_scale_factor": lambda: sgd(0.1, loss_scale_factor=64.0),
        "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(sgd(0.1)),
        "exponential": lambda: sgd(rate.ExponentialDecay(0.1, 1, 0.5)),
        "cosine": lambda: adam(rate.CosineDecay(0.01, 3)),
        "piecewise": lambda: adam(rate.PiecewiseConstantDecay([1], [0.1, 0.01])),
    }


class Mean(keras.Model):
    """Stock Keras: a decoder and the loss that `VAE` has where it draws no noise."""

    def __init__(self, vae):
        super().__init__()
        self.vae_encoder, self.vae_decoder = vae.encoder, vae.decoder

    def call(self, images):
        mean, log_var = self.vae_encoder(images)
        nats = ops.sum(
            keras.losses.binary_crossentropy(
                images, self.vae_decoder(mean), from_logits=True
            ),
            axis=(1, 2),
        )
        kl = 0.5 * ops.sum(ops.exp(log_var) + ops.square(mean) - 1 - log_var, axis=-1)
        return nats + kl


@pytest.mark.parametrize("name", settings())
def test_an_optimizer_takes_the_steps_that_stock_keras_takes(name):
    make = settings()[name]
    ours, theirs = make_vae(), make_vae()
    for model in ours, theirs:
        for i, variable in enumerate(model.trainable_variables):
            variable.assign(0.3 * wave(variable.shape, phase=i))
    ours.noise = lambda shape, draw=None: ops.zeros(shape)
    ours.compile(make())
    stock = Mean(theirs)
    stock(IMAGES[:1])
    stock.compile(make(), loss=lambda zeros, loss: loss)
    for model, data in (ours, (IMAGES,)), (stock, (IMAGES, np.zeros(len(IMAGES)))):
        model.fit(*data, batch_size=4, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(weights_after(ours), weights_after(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", settings())
def test_each_optimizer_of_a_group_takes_the_steps_it_takes_alone(name):
    """The discriminator's steps, with the generator held by a rate of 0."""
    make = settings()[name]
    grouped, alone = make_gan(), make_gan()
    for model in grouped, alone:
        for i, variable in enumerate(model.trainable_variables):
            variable.assign(0.3 * wave(variable.shape, phase=i))
        model.noise = lambda shape, draw=None: ops.convert_to_tensor(
            wave([int(n) for n in shape])
        )
    grouped.compile({"discriminator": make(), "generator": keras.optimizers.SGD(0.0)})
    stock = Judge(alone)
    stock.compile(make(), loss=lambda zeros, loss: loss)
    zeros = np.zeros((len(IMAGES), 1))
    grouped.fit(IMAGES, batch_size=4, shuffle=False, verbose=0)
    stock.fit(IMAGES, zeros, batch_size=4, shuffle=False, verbose=0)
    pairs = zip(
        grouped.discriminator.trainable_variables,
        alone.discriminator.trainable_variables,
        strict=True,
    )
    for a, b in pairs:
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class Judge(keras.Model):
    """Stock Keras: a discriminator and its non-saturating loss, for each image."""

    def __init__(self, gan):
        super().__init__()
        self.judge = gan.discriminator
        latents = ops.convert_to_tensor(wave((4, gan.latent_dim)))
        self.fakes = np.array(ops.convert_to_numpy(gan.generator(latents)))

    def call(self, images):
        real, fake = self.judge(images), self.judge(ops.convert_to_tensor(self.fakes))
        return ops.softplus(-real) + ops.softplus(fake)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (models.SphericalVAE, {"prior": "normal"}),
        (models.SphericalVAE, {"posterior": "normal"}),
        (models.MIWAE, {"bound": "importance"}),
        (models.CIWAE, {"bound": "importance"}),
        (models.VampVAE, {"prior": "normal"}),
        (models.FactorVAE, {"divergence": TotalCorrelation()}),
    ],
)
def test_models_refuse_what_they_set_themselves(make, arguments):
    (name,) = arguments
    with pytest.raises((TypeError, ValueError), match=name):  # Python names it, or kzoo
        make((8, 8, 1), **arguments)
