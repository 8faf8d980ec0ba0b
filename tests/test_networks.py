"""Networks of users, and all networks under Keras's other data format."""

import contextlib

import keras
import numpy as np
import pytest
from conftest import wave
from keras import layers, ops

import kzoo
from kzoo import models
from kzoo.metrics.features import Extractor
from kzoo.models import AAE, BEGAN, GAN, VAE, VAEGAN, BiGAN, FactorVAE
from kzoo.networks import BigGANNetworks, R3GANNetworks, StyleGANNetworks
from kzoo.networks.vdvae import VDVAENetworks

SHAPE = (8, 8, 1)


def network(*parts, inputs=(4,)):
    return keras.Sequential([keras.Input(inputs), *parts])


def images(*end, activation=None):
    """Latents to images of an activation."""
    dense = layers.Dense(64, activation=activation)
    return network(dense, layers.Reshape(SHAPE), *end)


def score(*end, activation=None, inputs=SHAPE):
    """Images to a number of an activation."""
    dense = layers.Dense(1, activation=activation)
    return network(layers.Flatten(), dense, *end, inputs=inputs)


def functional(function, inputs=(4,)):
    x = keras.Input(inputs)
    return keras.Model(x, function(layers.Dense(64)(layers.Flatten()(x))))


def posterior(mean=None, log_var=None):
    x = keras.Input(SHAPE)
    hidden = layers.Flatten()(x)
    return keras.Model(x, [layers.Dense(4, a)(hidden) for a in (mean, log_var)])


class Opaque(keras.Model):
    """A network whose end only its outputs show."""

    def __init__(self, units, shape, function):
        super().__init__()
        self.dense, self.reshape = layers.Dense(units), layers.Reshape(shape)
        self.flatten, self.function = layers.Flatten(), function

    def call(self, inputs):
        return self.reshape(self.function(self.dense(self.flatten(inputs))))


def gan(generator=None, discriminator=None, **arguments):
    networks = {"generator": generator, "discriminator": discriminator}
    return GAN(SHAPE, 4, **networks, **arguments)


WRONG = {
    "tanh": lambda: gan(images(activation="tanh")),
    "tanh_layer": lambda: gan(images(layers.Activation("tanh"))),
    "tanh_op": lambda: gan(functional(lambda x: layers.Reshape(SHAPE)(ops.tanh(x)))),
    "tanh_nested": lambda: gan(network(images(activation="tanh"))),
    "tanh_subclass": lambda: gan(Opaque(64, SHAPE, ops.tanh)),
    "tanh_half": lambda: gan(
        network(
            layers.Dense(64, dtype="mixed_float16"),
            layers.Reshape(SHAPE),
            layers.Activation("tanh", dtype="mixed_float16"),
        )
    ),
    "of_255": lambda: gan(images(layers.Rescaling(255.0), activation="sigmoid")),
    "nan": lambda: gan(functional(lambda x: layers.Reshape(SHAPE)(x * np.nan))),
    "integers": lambda: gan(
        discriminator=functional(lambda x: ops.argmax(x, axis=-1, keepdims=True), SHAPE)
    ),
    "one_output": lambda: gan(
        functional(lambda x: ops.mean(ops.reshape(x, (-1, *SHAPE)), 0, keepdims=True))
    ),
    "sigmoid": lambda: gan(discriminator=score(activation="sigmoid")),
    "tanh_score": lambda: gan(discriminator=score(activation="tanh")),
    "relu": lambda: gan(discriminator=score(layers.ReLU())),
    "sigmoid_subclass": lambda: gan(discriminator=Opaque(1, (1,), ops.sigmoid)),
    "critic": lambda: gan(
        discriminator=score(activation="sigmoid"), loss="wasserstein"
    ),
    "began": lambda: BEGAN(SHAPE, 4, generator=images(activation="tanh")),
    "bigan": lambda: BiGAN(SHAPE, 4, generator=images(activation="tanh")),
    "vaegan": lambda: VAEGAN(SHAPE, 4, decoder=images(activation="tanh")),
    "aae_decoder": lambda: AAE(SHAPE, 4, decoder=images(activation="sigmoid")),
    "aae": lambda: AAE(
        SHAPE, 4, discriminator=score(activation="sigmoid", inputs=(4,))
    ),
    "factor_vae": lambda: FactorVAE(
        SHAPE, 4, discriminator=score(activation="sigmoid", inputs=(4,))
    ),
    "decoder": lambda: VAE(SHAPE, 4, decoder=images(activation="sigmoid")),
    "means": lambda: VAE(
        SHAPE, 4, likelihood="gaussian", decoder=images(activation="tanh")
    ),
    "mean": lambda: VAE(SHAPE, 4, encoder=posterior("relu")),
    "log_var": lambda: VAE(SHAPE, 4, encoder=posterior(None, "softplus")),
}
RIGHT = {
    "sigmoid": lambda: gan(images(activation="sigmoid")),
    "rescaled": lambda: gan(images(layers.Rescaling(0.5, 0.5), activation="tanh")),
    "rescaled_outside": lambda: gan(
        network(images(activation="tanh"), layers.Rescaling(0.5, 0.5))
    ),
    "arithmetic": lambda: gan(
        functional(lambda x: layers.Reshape(SHAPE)(0.5 * ops.tanh(x) + 0.5))
    ),
    "clipped": lambda: gan(
        functional(lambda x: layers.Reshape(SHAPE)(ops.clip(x, 0, 1)))
    ),
    "linear": lambda: gan(images(), score()),
    "linear_subclass": lambda: gan(
        Opaque(64, SHAPE, lambda x: x), Opaque(1, (1,), lambda x: x)
    ),
    "sigmoid_subclass": lambda: gan(Opaque(64, SHAPE, ops.sigmoid)),
    "zeros": lambda: gan(
        network(layers.Dense(64, kernel_initializer="zeros"), layers.Reshape(SHAPE))
    ),
    "leaky_relu": lambda: gan(discriminator=score(layers.LeakyReLU())),
    "soft_clip": lambda: gan(
        discriminator=score(layers.Lambda(lambda x: 10 * ops.tanh(x / 10)))
    ),
    "least_squares": lambda: gan(
        discriminator=score(activation="sigmoid"), loss="least_squares"
    ),
    "means": lambda: VAE(
        SHAPE, 4, likelihood="gaussian", decoder=images(activation="sigmoid")
    ),
    "bounded_log_var": lambda: VAE(SHAPE, 4, encoder=posterior(None, "tanh")),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_network_with_another_range_is_refused(case):
    with pytest.raises(ValueError, match="Expected"):
        WRONG[case]()


@pytest.mark.parametrize("case", RIGHT)
def test_a_network_with_the_range_is_taken(case):
    model = RIGHT[case]()
    samples = model.sample(4, seed=0)
    assert samples.min() >= 0 and samples.max() <= 1


@pytest.mark.one_backend
def test_a_file_from_before_the_check_loads(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("kzoo.base.endings.check", lambda *arguments: None)
        model = gan(images(activation="tanh"))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.sample(2, seed=0), model.sample(2, seed=0))
    with pytest.raises(ValueError, match="Expected"):  # the check is back
        WRONG["tanh"]()


@contextlib.contextmanager
def data_format(name):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(name)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


EVERY = {name: {} for name in models.__all__} | {
    "ACGAN": {"num_classes": 3},
    "BigGAN": {
        "num_classes": 3,
        "architecture": BigGANNetworks((8, 8)),
    },
    "CGAN": {"num_classes": 3},
    "CVAE": {"num_classes": 3},
    "R3GAN": {"architecture": R3GANNetworks((16, 8))},
    "StyleGAN2": {"architecture": StyleGANNetworks((8, 8), noisy=True)},
    "HVAE": {"architecture": VDVAENetworks((4, 4), (2, 2), blocks=1)},
}
# And architectures that are no model's default.
EVERY |= {
    "GAN resnet": {"architecture": "resnet"},
    "VAE conv": {"architecture": "conv"},
}
EVERY |= {"GAN stylegan": {"architecture": "stylegan"}}
EVERY |= {"BiGAN dcgan": {"architecture": "dcgan"}}
EVERY |= {"BEGAN infogan": {"architecture": "infogan"}}
EVERY |= {"VQVAE residual": {"architecture": "residual"}}


def build(name):
    return getattr(models, name.split()[0])(SHAPE, **EVERY[name])


def outputs(model):
    """What the model draws and, where it can, makes of images."""
    labels = None if model.num_classes is None else np.arange(3) % model.num_classes
    got = [model.sample(3, seed=0, labels=labels)]
    x = (0.5 + 0.5 * wave((3, *SHAPE))).astype("float32")
    if hasattr(model, "encode"):
        got.append(model.reconstruct(x, labels))
    if isinstance(model, GAN):
        given = None if labels is None else ops.convert_to_tensor(labels)
        logits = model.logits(ops.convert_to_tensor(x), given, training=False)
        got.append(ops.convert_to_numpy(ops.stop_gradient(logits)))
    return got


@pytest.mark.one_backend
@pytest.mark.parametrize("name", EVERY)
def test_channels_come_last_whatever_the_setting(name):
    with data_format("channels_first"):
        first = build(name)
        formats = {getattr(x, "data_format", None) for x in first._flatten_layers()}
        assert "channels_first" not in formats
        got = outputs(first)
    last = build(name)
    last.set_weights(first.get_weights())
    for a, b in zip(outputs(last), got, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_training_and_files_do_not_depend_on_the_setting(tmp_path):
    x = (0.5 + 0.5 * wave((8, *SHAPE))).astype("float32")
    with data_format("channels_first"):
        model = VAE(SHAPE, 4, architecture="conv")
        model.compile()
        model.fit(x, batch_size=8, verbose=0)
        grid = kzoo.callbacks.SampleGrid(tmp_path)
        model.fit(x, batch_size=8, verbose=0, callbacks=[grid])
        model.save(tmp_path / "model.keras")
        expected = model.reconstruct(x)
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.reconstruct(x), expected, atol=1e-5)


def test_features_do_not_depend_on_the_setting():
    x = (0.5 + 0.5 * wave((3, 28, 28, 1))).astype("float32")
    for name in "pixels", "mnist-v1":
        with data_format("channels_first"):
            first = Extractor(name, (28, 28, 1))(x)[0]
        np.testing.assert_allclose(Extractor(name, (28, 28, 1))(x)[0], first, atol=1e-4)


def test_a_network_made_channels_first_is_refused():
    convolution = layers.Conv2DTranspose(1, 3, 2, "same", data_format="channels_first")
    own = network(layers.Dense(32), layers.Reshape((4, 4, 2)), convolution)
    with pytest.raises(ValueError, match="channels_last"):
        gan(own)
