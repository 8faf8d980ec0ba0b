"""The hyperspherical VAE: its densities on the sphere, and the model."""

import math

import keras
import numpy as np
import pytest
import scipy.special
from conformance import batch, check_golden, check_model, check_paper, compiled
from conftest import wave
from keras import layers, ops

from kzoo import backend
from kzoo.models import VAE, SphericalVAE
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.parts import KL
from kzoo.parts.posteriors import VonMisesFisher
from kzoo.parts.sphere import PolarDensity, log_area

MAKE = {
    "mlp": lambda: SphericalVAE((4, 4, 1), 3, MLPEncoderDecoder((8,))),
    "conv": lambda: SphericalVAE(
        (8, 8, 1),
        5,
        ConvEncoderDecoder((4,)),
        "gaussian",
        divergence=KL("sampled"),
        num_classes=3,
    ),
}


def numpy(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def column(*numbers):
    return ops.convert_to_tensor(np.float32(numbers)[:, None])


def gradient(function, x):
    return numpy(backend.input_gradient(function, ops.convert_to_tensor(x)))


def resultant_length(dim, kappa):
    """The mean cosine, a ratio of Bessel functions, in double precision."""
    return scipy.special.ive(dim / 2, kappa) / scipy.special.ive(dim / 2 - 1, kappa)


def exact_kl(dim, kappa):
    order = dim / 2 - 1
    log_bessel = np.log(scipy.special.ive(order, kappa)) + kappa
    log_constant = order * np.log(kappa) - dim / 2 * math.log(2 * math.pi) - log_bessel
    return kappa * resultant_length(dim, kappa) + log_constant + log_area(dim)


def parameters(mean, concentration, n):
    """Rows of what an encoder puts out for this mean and concentration above 1."""
    raw = np.log(np.expm1(concentration - 1))
    rows = np.tile(np.float32([*mean, raw]), (n, 1))
    return [ops.convert_to_tensor(part) for part in (rows[:, :-1], rows[:, -1:])]


def normal(shape):
    return ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape), "float32")


def test_spherical_vae_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3}
    check_paper(lambda: SphericalVAE((4, 4, 1)), "SphericalVAE", adam, tmp_path)


def test_the_authors_networks_and_objective():
    model = SphericalVAE((28, 28, 1), 10)
    hidden = 785 * 256 + 257 * 128
    assert model.encoder.count_params() == hidden + 129 * 11
    assert model.decoder.count_params() == 11 * 128 + 129 * 256 + 257 * 784
    assert model.divergence == KL() and model.likelihood.binarize
    assert not SphericalVAE((4, 4, 1), likelihood="gaussian").likelihood.binarize


@pytest.mark.parametrize("dim", [2, 3, 5, 20, 64])
def test_kl_and_its_gradient_are_those_of_bessel_functions(dim):
    kappa = np.geomspace(1e-3, 1e4, 22).astype("float32")
    got = numpy(PolarDensity(column(*kappa), dim).kl())[:, 0]
    np.testing.assert_allclose(got, exact_kl(dim, kappa.astype("f8")), atol=1e-4)
    got = gradient(lambda x: PolarDensity(x, dim).kl(), kappa[:, None])[:, 0]
    ratio = resultant_length(dim, kappa.astype("f8"))
    expected = kappa * (1 - ratio**2) - (dim - 1) * ratio
    np.testing.assert_allclose(got, expected, rtol=3e-3, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 3, 16])
def test_densities_have_the_mass_1(dim):
    angles = (np.arange(10_000) + 0.5) / 10_000 * np.pi
    share = np.float32([(1 - np.cos(angles)) / 2])
    polar = PolarDensity(column(7.0), dim)
    log_ratio = numpy(polar.log_ratio(ops.convert_to_tensor(share)))[0]
    area = np.sin(angles) ** (dim - 2)  # of the sphere at an angle, up to a factor
    mass = np.sum(np.exp(log_ratio) * area) / np.sum(area)
    assert mass == pytest.approx(1, rel=1e-4)
    assert math.exp(log_area(2)) == pytest.approx(2 * math.pi)
    assert math.exp(log_area(3)) == pytest.approx(4 * math.pi)


@pytest.mark.parametrize("dim, kappa", [(2, 1.5), (3, 20.0), (10, 4.0), (40, 300.0)])
def test_draws_are_unit_vectors_around_their_mean_direction(dim, kappa):
    n, mean = 20_000, wave((dim,), 0.3)
    posterior, given = VonMisesFisher().connect(dim), parameters(mean, kappa, n)
    latents, log_density = map(numpy, posterior(given, normal((n, dim))))
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 1, atol=1e-5)
    centre = latents.mean(axis=0)
    length, direction = resultant_length(dim, kappa), mean / np.linalg.norm(mean)
    np.testing.assert_allclose(centre, length * direction, atol=5 / math.sqrt(n))
    cosines = latents @ direction
    spread = math.sqrt(1 - length**2 - (dim - 1) / kappa * length)
    assert cosines.mean() == pytest.approx(length, abs=4 * spread / math.sqrt(n))
    assert cosines.std() == pytest.approx(spread, rel=0.04)
    excess = log_density + log_area(dim)
    error = 4 * float(excess.std()) / math.sqrt(n)
    assert excess.mean() == pytest.approx(exact_kl(dim, kappa), abs=error)
    np.testing.assert_allclose(numpy(posterior.centre(given))[0], direction, atol=1e-6)


@pytest.mark.parametrize(
    "dim, kappa",
    [
        (2, 2.5),
        pytest.param(3, 30.0, marks=pytest.mark.full),
        pytest.param(12, 15.0, marks=pytest.mark.full),
    ],
)
def test_gradients_of_draws_are_those_of_their_expectation(dim, kappa):
    n, mean, weights = 100_000, wave((dim,), 0.3), wave((dim,), 1.1)
    posterior, noise = VonMisesFisher().connect(dim), normal((n, dim))
    given = parameters(mean, kappa, 1)
    row = np.concatenate([numpy(part) for part in given], axis=1)
    length = np.linalg.norm(mean)

    def drawn(function):
        def expectation(row):
            rows = ops.repeat(row, n, axis=0)
            latents, _ = posterior([rows[:, :-1], rows[:, -1:]], noise)
            return ops.mean(function(ops.matmul(latents, weights[:, None])))

        return gradient(expectation, row)[0]

    def exact(power):
        def expectation(row):
            direction = row[:-1] / np.linalg.norm(row[:-1])
            kappa = 1 + np.log1p(np.exp(row[-1]))
            ratio, along = resultant_length(dim, kappa), weights @ direction
            if power == 1:
                return ratio * along
            across = ratio / kappa  # the mean square of each other coordinate
            return across * weights @ weights + (1 - dim * across) * along**2

        steps = 1e-4 * np.eye(dim + 1)
        start = row[0].astype("f8")
        change = [expectation(start + s) - expectation(start - s) for s in steps]
        return np.array(change) / 2e-4

    for power, function in (1, lambda x: x), (2, ops.square):
        got, expected = drawn(function), exact(power)
        scale = np.linalg.norm(weights) ** power / length
        np.testing.assert_allclose(got[:-1], expected[:-1], atol=0.03 * scale)
        assert got[-1] == pytest.approx(expected[-1], rel=0.05, abs=2e-4)


def test_the_prior_is_uniform_on_the_sphere():
    model = MAKE["mlp"]()
    latents = model.draw_latents(20_000, seed=0)
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(latents.T @ latents / 20_000, np.eye(3) / 3, atol=0.01)
    height = np.sort(latents[:, 2])  # uniform in three dimensions: Archimedes
    np.testing.assert_allclose(height, np.linspace(-1, 1, 20_000), atol=0.03)
    density = model.prior.log_density(ops.convert_to_tensor(latents))
    np.testing.assert_allclose(numpy(density), -math.log(4 * math.pi), rtol=1e-6)
    with pytest.raises(ValueError, match="truncation"):
        model.sample(3, truncation=0.5)


def test_verbs_stay_on_the_sphere():
    model = compiled(MAKE["mlp"])
    images, _ = batch(model)
    model.fit(images, epochs=2, verbose=0)
    codes = model.encode(images)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(
        model.generate(3 * codes), model.reconstruct(images), atol=1e-6
    )
    model.fit_sampler("mixture", images, components=2)
    assert model.sample(5, seed=0, truncation=0.5).shape == (5, 4, 4, 1)
    parts = model.elbo(images[:4], samples=2000)
    raw = numpy(model.posterior_parameters(ops.convert_to_tensor(images[:4]))[1])[:, 0]
    expected = exact_kl(3, 1 + np.logaddexp(0, raw.astype("f8")))
    np.testing.assert_allclose(parts["kl"], expected, atol=0.1)


def test_a_prior_of_the_vae_and_free_nats():
    model = VAE((4, 4, 1), 4, prior="sphere", posterior="von_mises_fisher")
    given = parameters(wave((4,)), 3.0, 5)
    kl, floored = KL().measured(model, given, None, None)
    assert float(kl) == float(floored) == pytest.approx(exact_kl(4, 3.0), abs=1e-4)
    assert float(KL(free_bits=2.0).measured(model, given, None, None)[1]) == 2.0


@pytest.mark.full
def test_the_exported_model_draws_on_the_sphere(tmp_path, python):
    model = MAKE["mlp"]()
    model.export(tmp_path / "served", verbose=False)
    images, _ = batch(model, 3)
    np.save(tmp_path / "images.npy", images)
    python("-c", SERVE, tmp_path)
    codes, drawn = (np.load(tmp_path / f"{n}.npy") for n in ("codes", "drawn"))
    np.testing.assert_allclose(codes, model.encode(images), atol=1e-5)
    assert drawn.shape == (7, 4, 4, 1) and np.ptp(drawn, axis=0).max() > 0


SERVE = """
import sys
sys.modules["keras"] = sys.modules["kzoo"] = None  # cannot be imported
import numpy as np, tensorflow as tf
path = sys.argv[1]
served = tf.saved_model.load(path + "/served").signatures
images = tf.constant(np.load(path + "/images.npy"))
np.save(path + "/codes.npy", list(served["encode"](images=images).values())[0])
drawn = served["sample"](num=tf.constant(7), seed=tf.constant(1, tf.int64))
np.save(path + "/drawn.npy", drawn["images"])
"""


def own_encoder(spread):
    images = keras.Input((4, 4, 1))
    x = layers.Flatten()(images)
    return keras.Model(images, [layers.Dense(3)(x), layers.Dense(spread)(x)])


def test_your_own_encoder_has_one_concentration():
    assert SphericalVAE((4, 4, 1), 3, encoder=own_encoder(1)).encoder.built
    with pytest.raises(ValueError, match="encoder"):
        SphericalVAE((4, 4, 1), 3, encoder=own_encoder(3))


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"prior": "sphere"}, "von_mises_fisher"),
        ({"posterior": "von_mises_fisher"}, "sphere"),
        ({"posterior": "von_mises_fisher", "prior": "mixture"}, "sphere"),
        ({"posterior": "iaf", "prior": "sphere"}, "von_mises_fisher"),
    ],
)
def test_both_densities_are_on_the_sphere(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        VAE((4, 4, 1), **arguments)
    assert named in str(error.value)


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="latent_dim"):
        SphericalVAE((4, 4, 1), 1)
    with pytest.raises(TypeError, match="posterior"):
        SphericalVAE((4, 4, 1), posterior="iaf")
