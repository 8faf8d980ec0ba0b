"""The VAE/GAN."""

import keras
import numpy as np
import pytest
import scipy.stats
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

from kzoo.models import VAEGAN
from kzoo.networks import DCGANNetworks, MLPNetworks

DENSE = MLPNetworks((8, 16), dropout=0.0)
MAKE = {
    "mlp": lambda: VAEGAN((6, 4, 3), 3, DENSE),
    "dcgan": lambda: VAEGAN((8, 8, 1), 3, DCGANNetworks((8, 4)), 0.1, num_classes=3),
}


def test_vaegan_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_it_is_the_networks_of_the_gan_and_a_posterior():
    model = VAEGAN((28, 28, 1), latent_dim=100)
    stem, up = 100 * 7 * 7 * 256, 4 * 4 * 256 * 128 + 4 * 4 * 128 + 1
    trunk = 4 * 4 * 128 + 128 + 4 * 4 * 128 * 256 + 4 * 256
    assert model.decoder.count_params() == stem + up + 4 * (256 + 128)
    assert model.discriminator.count_params() == trunk + 7 * 7 * 256 + 1
    assert model.encoder.count_params() == trunk + 2 * 100 * (7 * 7 * 256 + 1)


def evaluated(model):
    # Batches of one size, for which noise can be fixed on TensorFlow too.
    arguments = {"batch_size": 8, "verbose": 0, "return_dict": True}
    return model.evaluate(*batch(model), **arguments)


def test_an_undecided_discriminator_costs_3_log_2():
    model = compiled(MAKE["mlp"])
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = evaluated(model)
    assert scores["discriminator_loss"] == pytest.approx(3 * np.log(2), rel=1e-5)
    # All features are 0: what is left of their likelihood is its constant.
    constant = 0.5 * 8 * np.log(2 * np.pi)
    assert scores["reconstruction"] == pytest.approx(constant, rel=1e-5)


def test_reconstruction_is_the_likelihood_of_features():
    model = compiled(MAKE["mlp"])
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    images, _ = batch(model)
    reconstructed = model.reconstruct(images)
    (real, expected), (fake, received) = (
        map(ops.convert_to_numpy, model.discriminator(x))
        for x in (images, reconstructed)
    )
    drawn, _ = model.discriminator(model.generate(np.zeros((1, 3))))
    mean, log_var = map(ops.convert_to_numpy, model.encoder(images))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1).mean()
    nats = -scipy.stats.norm.logpdf(expected, received).sum(axis=1).mean()
    logits = [-real, fake, ops.convert_to_numpy(drawn)]
    cross_entropy = sum(np.logaddexp(0, x).mean() for x in logits)

    scores = evaluated(model)
    assert scores["kl"] == pytest.approx(kl, rel=1e-4)
    assert scores["reconstruction"] == pytest.approx(nats, rel=1e-4)
    assert scores["encoder_loss"] == pytest.approx(kl + nats, rel=1e-4)
    assert scores["discriminator_loss"] == pytest.approx(cross_entropy, rel=1e-4)
    assert scores["decoder_loss"] == pytest.approx(
        model.gamma * nats - cross_entropy, rel=1e-4
    )


def realism(model):
    """The discriminator's mean logit of samples and reconstructions."""
    images, _ = batch(model)
    fakes = model.sample(24, seed=0), model.reconstruct(images)
    return np.mean([ops.convert_to_numpy(model.discriminator(x)[0]) for x in fakes])


def distance(model):
    """Squared distance of reconstructions in the space of the features."""
    images, _ = batch(model)
    pair = images, model.reconstruct(images)
    real, fake = (ops.convert_to_numpy(model.discriminator(x)[1]) for x in pair)
    return np.square(real - fake).sum(axis=1).mean()


def encoder_loss(model):
    return evaluated(model)["encoder_loss"]


@pytest.mark.parametrize(
    "phase, gamma, measure, sign",
    [
        ("encoder", 1.0, encoder_loss, -1),
        ("decoder", 0.0, realism, 1),
        ("decoder", 1e3, distance, -1),
        ("discriminator", 1.0, realism, -1),
    ],
)
def test_each_phase_moves_what_its_loss_measures(phase, gamma, measure, sign):
    model = VAEGAN((6, 4, 3), 3, DENSE, gamma)
    model = with_fixed_noise(model)
    rates = dict.fromkeys(model.default_optimizer(), 0.0)
    rates[phase] = 0.01 / max(1, gamma)
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    model.compile(optimizers, run_eagerly=True)
    before = measure(model)
    fit(model)
    assert sign * (measure(model) - before) > 1e-5


def test_it_offers_no_likelihood_of_pixels():
    assert not hasattr(VAEGAN((4, 4, 1), 2), "log_likelihood")


def own_networks(posterior=2, judged=2):
    images, latents = keras.Input((4, 4, 1)), keras.Input((2,))
    flat = layers.Flatten()(images)
    x = layers.Dropout(0.2)(flat)
    pixels = layers.Dense(16, activation="sigmoid")(latents)
    maps = layers.Conv2D(3, 2, activation="tanh")(images)  # features of any rank
    logits = layers.Dense(1)(layers.Flatten()(maps))
    return {
        "encoder": keras.Model(images, [layers.Dense(2)(x) for _ in range(posterior)]),
        "decoder": keras.Model(latents, layers.Reshape((4, 4, 1))(pixels)),
        "discriminator": keras.Model(images, [logits, maps, flat][:judged]),
    }


def test_your_own_networks(tmp_path):
    check_own_networks(lambda: VAEGAN((4, 4, 1), 2, **own_networks()), tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"architecture": "conv"}, "'dcgan', 'mlp'"),
        ({"image_shape": (31, 31, 1)}, "divisible by 2"),
        ({"latent_dim": 2, **own_networks(posterior=3)}, "encoder"),
        ({"latent_dim": 2, **own_networks(judged=1)}, "discriminator"),
        ({"latent_dim": 2, **own_networks(judged=3)}, "discriminator"),
        ({"latent_dim": 3, **own_networks()}, "encoder"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        VAEGAN(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)
