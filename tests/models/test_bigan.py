"""The bidirectional GAN."""

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
from conftest import wave
from keras import layers, ops

from kzoo.models import DCGAN, BiGAN
from kzoo.networks.bigan import DCGANBiGANNetworks, MLPBiGANNetworks

MAKE = {
    "mlp": lambda: BiGAN((6, 4, 3), 3, MLPBiGANNetworks((8, 16))),
    "dcgan": lambda: BiGAN((8, 8, 1), 3, DCGANBiGANNetworks((8, 4)), num_classes=3),
}


def test_bigan_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_the_papers_networks_for_mnist():
    model = BiGAN((28, 28, 1))
    hidden, averages = 1025 * 1024, 2 * 1024
    sizes = {
        "generator": 51 * 1024 + hidden + 1025 * 784 + averages,
        "encoder": 785 * 1024 + hidden + 1025 * 50 + averages,
        "discriminator": (784 + 50 + 1) * 1024 + hidden + 1025 + averages,
    }
    for name, size in sizes.items():
        assert getattr(model, name).count_params() == size


def test_convolutional_networks_are_a_dcgans_and_a_layer_for_the_pair():
    model, plain = BiGAN((28, 28, 1), 50, "dcgan"), DCGAN((28, 28, 1), 50)
    features = 7 * 7 * 256
    trunk = plain.discriminator.count_params() - (features + 1)
    hidden, averages = (features + 1) * 1024, 2 * 1024
    head = 50 * 1024 + 1025
    assert model.generator.count_params() == plain.generator.count_params()
    assert model.encoder.count_params() == trunk + hidden + averages + 1025 * 50
    assert model.discriminator.count_params() == (trunk + hidden + averages + head)


def test_an_undecided_discriminator_costs_log_4_and_log_2():
    model = compiled(MAKE["mlp"])
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = {"discriminator_loss": np.log(4), "generator_loss": np.log(2)}
    expected["encoder_loss"] = np.log(2)
    assert scores == pytest.approx(expected, rel=1e-5)


def with_latents_seen(model, seen):
    """The score becomes the mean latent, and `seen` gets all pairs."""

    def logits(images, latents, labels, training):
        seen.append([ops.convert_to_numpy(x) for x in (images, latents)])
        return ops.mean(latents, axis=-1, keepdims=True)

    model.logits = logits
    return model


def test_pairs_are_of_images_and_codes_and_of_latents_and_what_is_made_of_them():
    seen = []
    model = with_latents_seen(compiled(MAKE["mlp"]), seen)
    images, _ = batch(model)
    tensor = ops.convert_to_tensor(images)
    losses = [model.discriminator_loss, model.generator_loss, model.encoder_loss]
    values = [
        float(ops.convert_to_numpy(loss(tensor, training=False)[0])) for loss in losses
    ]

    real, fake, fake_again, real_again = seen
    for pictures, codes in (real, real_again):
        np.testing.assert_array_equal(pictures, images)
        np.testing.assert_allclose(codes, model.encode(images), atol=1e-6)
    for pictures, latents in (fake, fake_again):
        np.testing.assert_allclose(pictures, model.generate(latents), atol=1e-6)
    assert not np.array_equal(fake[1], fake_again[1])

    scores = [latents.mean(axis=1) for _, latents in seen]
    signs = (-1, 1, -1, 1)  # real, fake; the generator's fake; the encoder's real
    nats = [
        np.logaddexp(0, sign * x).mean() for sign, x in zip(signs, scores, strict=True)
    ]
    expected = [nats[0] + nats[1], nats[2], nats[3]]
    assert values == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("phase", ["discriminator", "generator", "encoder"])
def test_each_phase_lowers_its_loss(phase):
    model = with_fixed_noise(MAKE["mlp"]())
    rates = dict.fromkeys(model.default_optimizer(), 0.0) | {phase: 0.01}
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model.compile(optimizers, run_eagerly=True)
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(0.3 * wave(variable.shape, phase=i))
    images, _ = batch(model)
    before = loss_of(model, phase, images)
    model.train_on_batch(images)
    assert loss_of(model, phase, images) < before - 1e-5


def loss_of(model, phase, images):
    loss, _ = getattr(model, f"{phase}_loss")(ops.convert_to_tensor(images))
    return float(ops.convert_to_numpy(loss))


def test_generator_and_encoder_are_trained_at_the_same_discriminator():
    """So the encoder's step does not depend on the generator's: section 3.4."""
    codes = []
    for rate in 0.0, 0.1:
        rates = {"discriminator": 0.0, "generator": rate, "encoder": 0.1}
        optimizers = {name: keras.optimizers.SGD(r) for name, r in rates.items()}
        model = compiled(MAKE["mlp"], optimizer=optimizers, run_eagerly=True)
        model = with_fixed_noise(model)
        fit(model)
        codes.append([ops.convert_to_numpy(v) for v in model.encoder.weights])
    for a, b in zip(*codes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_offers_no_likelihood():
    model = BiGAN((4, 4, 1), 2)
    assert hasattr(model, "encode") and not hasattr(model, "log_likelihood")


def own_networks(codes=2, logits=1, latents=2):
    images, given = keras.Input((4, 4, 1)), keras.Input((latents,))
    flat = layers.Flatten()(images)
    pixels = layers.Dense(16, activation="sigmoid")(given)
    pair = layers.Dropout(0.2)(layers.Concatenate()([flat, given]))
    return {
        "generator": keras.Model(given, layers.Reshape((4, 4, 1))(pixels)),
        "encoder": keras.Model(images, layers.Dense(codes)(flat)),
        "discriminator": keras.Model([images, given], layers.Dense(logits)(pair)),
    }


def test_your_own_networks(tmp_path):
    check_own_networks(lambda: BiGAN((4, 4, 1), 2, **own_networks()), tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"architecture": "conv"}, "'dcgan', 'mlp'"),
        ({"image_shape": (31, 31, 1), "architecture": "dcgan"}, "divisible by 2"),
        ({"latent_dim": 2, **own_networks(codes=3)}, "encoder"),
        ({"latent_dim": 2, **own_networks(logits=2)}, "discriminator"),
        ({"latent_dim": 2, "num_classes": 3, **own_networks()}, "labels"),
        (
            {
                "latent_dim": 2,
                "discriminator": own_networks(latents=3)["discriminator"],
            },
            "[(batch, 4, 4, 1), (batch, 2)]",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        BiGAN(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)
