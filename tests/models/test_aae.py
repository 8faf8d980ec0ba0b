"""The adversarial autoencoder."""

import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_golden,
    check_model,
    check_own_networks,
    compiled,
    fit,
    variants,
    with_fixed_noise,
)
from keras import layers, ops

from kzoo.models import AAE
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.parts import Prior

MAKE = {
    "mlp": lambda: AAE((6, 4, 3), 3, MLPEncoderDecoder((8, 16)), (8,)),
    "conv": lambda: AAE((8, 8, 1), 2, ConvEncoderDecoder((4, 8)), (8, 4)),
    "conditional": lambda: AAE(
        (4, 4, 1), 2, MLPEncoderDecoder((8,)), (8,), num_classes=3
    ),
}


def test_aae_conforms(tmp_path):
    check_model(MAKE["conditional"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, encoder, decoder, discriminator",
    [
        # 784-1000-1000-8, as in the paper's appendix
        ({}, 1_794_008, 1_794_784, 1_011_001),
        ({"architecture": "conv"}, 18_816 + 50_192 + 136, 83_905, 1_011_001),
    ],
)
def test_sizes(arguments, encoder, decoder, discriminator):
    model = AAE((28, 28, 1), **arguments)
    assert model.encoder.count_params() == encoder
    assert model.decoder.count_params() == decoder
    assert model.discriminator.count_params() == discriminator
    assert model.count_params() == encoder + decoder + discriminator


def test_an_undecided_discriminator_costs_log_4_and_log_2():
    model = compiled(MAKE["mlp"])
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    assert scores["discriminator_loss"] == pytest.approx(np.log(4), rel=1e-5)
    assert scores["encoder_loss"] == pytest.approx(np.log(2), rel=1e-5)


def test_reconstruction_costs_its_squared_error():
    model = compiled(MAKE["conv"])
    images, _ = batch(model)
    error = images - model.decode(model.encode(images))
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores["autoencoder_loss"] == pytest.approx(
        np.square(error).sum(axis=(1, 2, 3)).mean(), rel=1e-5
    )


def prior_lead(model):
    """How much likelier than codes the discriminator takes draws of the prior to be."""
    images, _ = batch(model)
    codes = ops.convert_to_tensor(model.encode(images))
    real = model.logits(model.noise(codes.shape), None, False)
    fake = model.logits(codes, None, False)
    return float(np.mean(ops.convert_to_numpy(real - fake)))


def squared_error(model):
    images, _ = batch(model)
    return float(np.square(images - model.reconstruct(images)).mean())


@pytest.mark.parametrize(
    "phase, measure, sign",
    [
        ("autoencoder", squared_error, -1),
        ("discriminator", prior_lead, 1),
        ("encoder", prior_lead, -1),
    ],
)
def test_each_phase_moves_what_it_plays_for(phase, measure, sign):
    model = with_fixed_noise(MAKE["mlp"]())
    rates = dict.fromkeys(model.default_optimizer(), 0.0) | {phase: 0.05}
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model.compile(optimizers, run_eagerly=True)
    before = measure(model)
    fit(model)
    assert sign * (measure(model) - before) > 1e-6


def test_the_encoder_has_an_optimizer_in_either_of_its_phases():
    names = ("autoencoder", "discriminator", "encoder")
    optimizers = {name: keras.optimizers.Adam() for name in names}
    model = compiled(MAKE["mlp"], optimizer=optimizers)
    model.fit(*batch(model), batch_size=8, verbose=0)
    weights = {n: len(getattr(model, n).trainable_variables) for n in names}
    assert weights["autoencoder"] > weights["encoder"] > 0
    for name, member in model.optimizer.members.items():
        assert int(member.iterations) == 3
        assert len(member.variables) == 2 + 2 * weights[name]  # with both moments


@keras.saving.register_keras_serializable("tests")
class Ring(Prior):
    def __init__(self, radius=1.0):
        super().__init__()
        self.radius = radius

    def call(self, normal, labels=None):
        return self.radius * normal / ops.norm(normal, axis=-1, keepdims=True)


def test_a_prior_of_your_own_is_drawn_from_in_every_place(tmp_path):
    small = {"discriminator_widths": (4,)}
    model = compiled(lambda: AAE((4, 4, 1), 2, prior=Ring(3.0), **small))
    seen, logits = [], model.logits
    model.logits = lambda latents, *rest: seen.append(latents) or logits(latents, *rest)
    images, _ = batch(model)
    model.discriminator_loss(ops.convert_to_tensor(images))
    model.save(tmp_path / "ring.keras")
    again = keras.saving.load_model(tmp_path / "ring.keras")
    for drawn in seen[0], model.draw_latents(9), again.draw_latents(9):
        radius = np.linalg.norm(ops.convert_to_numpy(drawn), axis=1)
        np.testing.assert_allclose(radius, 3, rtol=1e-5)


def test_it_offers_no_likelihood():
    model = AAE((4, 4, 1), 2)
    assert hasattr(model, "encode") and not hasattr(model, "log_likelihood")
    assert not hasattr(model, "elbo")


def own_networks(codes=2, logits=1):
    images, latents = keras.Input((4, 4, 1)), keras.Input((2,))
    x = layers.Dropout(0.2)(layers.Flatten()(images))
    pixels = layers.Reshape((4, 4, 1))(layers.Dense(16)(latents))
    return {
        "encoder": keras.Model(images, layers.Dense(codes)(x)),
        "decoder": keras.Model(latents, pixels),
        "discriminator": keras.Model(latents, layers.Dense(logits)(latents)),
    }


def test_your_own_networks(tmp_path):
    check_own_networks(lambda: AAE((4, 4, 1), 2, **own_networks()), tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"architecture": "dcgan"}, "'conv', 'mlp'"),
        ({"image_shape": (30, 30, 1), "architecture": "conv"}, "divisible by 4"),
        ({"prior": "ring"}, "'normal'"),
        ({"discriminator_widths": (0,)}, "widths"),
        ({"latent_dim": 2, **own_networks(codes=3)}, "encoder"),
        ({"latent_dim": 2, **own_networks(logits=2)}, "discriminator"),
        ({"latent_dim": 2, "num_classes": 3, **own_networks()}, "labels"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        AAE(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)


def test_an_optimizer_for_each_phase_is_asked_for():
    with pytest.raises(ValueError, match="'autoencoder': "):
        AAE((4, 4, 1), 2).compile("adam")
