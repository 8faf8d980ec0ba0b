"""The hierarchical variational autoencoder."""

import keras
import numpy as np
import pytest
import scipy.stats
from conformance import (
    assert_same_state,
    batch,
    check_golden,
    check_model,
    compiled,
    variants,
)
from conftest import wave
from keras import ops

from kzoo.models import HVAE, IWAE
from kzoo.models.hvae import normal_kl_between
from kzoo.networks import MLPEncoderDecoder
from kzoo.networks.ladder import ChainNetworks, LadderNetworks, product
from kzoo.networks.vdvae import VDVAENetworks
from kzoo.parts.likelihoods import Bernoulli, Gaussian

LADDER = LadderNetworks((3, 2), (8, 4))
CHAIN = ChainNetworks((3, 2), (8, 4))
DEEP = VDVAENetworks((1, 2), (4, 4), blocks=1)
BINARY = Bernoulli(binarize=True)
MAKE = {
    "ladder": lambda: HVAE((4, 4, 1), LADDER, warmup_steps=4, num_classes=3),
    "chain": lambda: HVAE((4, 4, 1), CHAIN, BINARY, samples=3),
    "deep": lambda: HVAE((4, 4, 3), DEEP, "gaussian", free_bits=0.1, num_classes=2),
}


def narrow(architecture, latent_dims):
    """Networks of two layers of these latents and hidden ones of four units."""
    if architecture == "deep":
        return VDVAENetworks(latent_dims, (4, 4), blocks=1)
    kinds = {"chain": ChainNetworks, "ladder": LadderNetworks}
    return kinds[architecture](latent_dims, (4, 4))


def test_hvae_conforms(tmp_path):
    check_model(MAKE["ladder"], tmp_path)


@pytest.mark.parametrize("variant", ["chain", "deep"])
def test_every_weight_is_saved(variant, tmp_path):
    model = compiled(MAKE[variant])
    for variable in model.trainable_variables:
        variable.assign(wave(variable.shape))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert_same_state(model, again)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="ladder"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.one_backend
def test_the_papers_sizes():
    model = HVAE((28, 28, 1), architecture="chain")
    dense = 784 * 200 + 200 + 200 * 201 + 2 * 201 * 100  # 784-200-200-100, twice
    upper = 100 * 100 + 100 + 100 * 101 + 2 * 101 * 50  # 100-100-100-50, twice
    assert model.encoder.count_params() == dense + upper
    between = 50 * 100 + 100 + 100 * 101 + 2 * 101 * 100
    pixels = 100 * 200 + 200 + 200 * 201 + 201 * 784
    assert model.decoder.count_params() == between + pixels
    assert model.default_optimizer().epsilon == 1e-4


def test_deep_maps_of_latents_halve_their_sides():
    model = HVAE((28, 20, 1), VDVAENetworks((1, 2, 3, 5), (4, 4, 6, 4), blocks=1))
    assert model.layer_shapes == [(28, 20, 1), (14, 10, 2), (7, 5, 3), (5,)]
    assert model.latent_dim == 28 * 20 + 2 * 14 * 10 + 3 * 7 * 5 + 5
    assert model.sample(2).shape == (2, 28, 20, 1)


def test_deep_starts_with_a_standard_normal_prior():
    model = HVAE((2, 2, 1), VDVAENetworks((1, 2), (4, 4)))
    noise = model.by_layer(keras.random.normal((3, model.latent_dim), seed=1))
    _, drawn = model.decoder(noise)
    for (latents, _, _), normal in zip(drawn, noise, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (latents, normal)))


def densities():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(1, 3)).astype("float32") for _ in range(4)]


def test_product_of_normal_densities():
    mean, log_var, other_mean, other_log_var = densities()
    precision, other = np.exp(-log_var), np.exp(-other_log_var)
    a, b, c, d = map(ops.convert_to_tensor, densities())
    got = product([a, b], [c, d])
    got_mean, got_log_var = map(ops.convert_to_numpy, got)
    expected = (mean * precision + other_mean * other) / (precision + other)
    np.testing.assert_allclose(got_mean, expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(-got_log_var), precision + other, rtol=1e-5)


def test_kl_between_normal_densities_is_the_mean_of_log_ratios():
    mean, log_var, prior_mean, prior_log_var = densities()
    rng = np.random.default_rng(1)
    posterior = scipy.stats.norm(mean, np.exp(log_var / 2))
    prior = scipy.stats.norm(prior_mean, np.exp(prior_log_var / 2))
    draws = posterior.rvs((100_000, 3), rng)
    ratios = (posterior.logpdf(draws) - prior.logpdf(draws)).sum(axis=1)
    got = normal_kl_between(*map(ops.convert_to_tensor, densities()))
    error = 4 * ratios.std() / len(ratios) ** 0.5
    assert float(got[0]) == pytest.approx(ratios.mean(), abs=error)


def set_affine(network, *heads):
    """Makes `offset + matrix @ inputs` of each head, and no change by hidden layers."""
    dense = [x for x in network.layers if isinstance(x, keras.layers.Dense)]
    hidden, outputs = dense[: -len(heads)], dense[-len(heads) :]
    for layer in hidden:
        layer.set_weights([np.eye(*layer.kernel.shape), np.zeros(layer.units)])
    for layer, (matrix, offset) in zip(outputs, heads, strict=True):
        kernel = np.zeros(layer.kernel.shape)
        kernel[: np.shape(matrix)[1]] = np.transpose(matrix)
        layer.set_weights([kernel, np.broadcast_to(offset, (layer.units,))])


def constant(variance):
    """A head of a log variance."""
    return np.zeros((1, 1)), np.log(variance)


def linear_hvae(architecture, scale=0.3):
    """z_2 ~ N(0, 1), z_1 | z_2 ~ N(0.8 z_2 + 0.1, 0.5), pixels ~ N(basis z_1 + 0.5).

    With the exact posterior; returns the density of the pixels too.
    """
    slope, shift, variance = 0.8, 0.1, 0.5
    basis, offset = np.array([[0.4], [0.1], [-0.3], [0.2]]), 0.5
    kind = {"chain": ChainNetworks, "ladder": LadderNetworks}[architecture]
    model = HVAE((2, 2, 1), kind((1, 1), (4, 4), "linear", None), Gaussian(scale))
    set_affine(model.decoder.to_pixels, (basis, offset))
    set_affine(model.decoder.priors[0], ([[slope]], shift), constant(variance))

    noise = scale**2 / np.sum(basis**2)  # of the best guess of z_1 by the pixels
    guess = basis.T / np.sum(basis**2), -offset * np.sum(basis) / np.sum(basis**2)
    if architecture == "ladder":
        share = slope / (slope**2 + variance + noise)
        top = share * guess[0], share * (guess[1] - shift)
        densities = guess, constant(noise), top, constant(1 - share * slope)
        set_affine(model.encoder, *densities)
    else:
        total = slope**2 + variance
        share = total / (total + noise)
        mean = share * guess[0], share * guess[1] + (1 - share) * shift
        set_affine(model.encoder.steps[0], mean, constant(share * noise))
        share = slope / total
        mean = [[share]], -share * shift
        set_affine(model.encoder.steps[1], mean, constant(1 - share * slope))
    covariance = (slope**2 + variance) * basis @ basis.T + scale**2 * np.eye(4)
    mean = offset + shift * basis[:, 0]
    return model, scipy.stats.multivariate_normal(mean, covariance)


@pytest.mark.parametrize("samples", [1, 50])
@pytest.mark.parametrize("architecture", ["chain", "ladder"])
def test_bounds_are_exact_with_the_exact_posterior(architecture, samples):
    model, exact = linear_hvae(architecture)
    images = np.random.default_rng(1).random((20, 2, 2, 1), "float32")
    expected = exact.logpdf(images.reshape(20, -1))
    got = model.log_likelihood(images, samples)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    np.testing.assert_allclose(model.elbo(images, samples)["elbo"], expected, rtol=1e-4)


def test_samples_have_the_density_of_the_model():
    model, exact = linear_hvae("ladder")
    means = model.sample(20_000, seed=0).reshape(20_000, -1)
    expected = exact.cov - 0.09 * np.eye(4)  # the pixels' own noise is not drawn
    inside = np.all((means > 0) & (means < 1), axis=1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(np.median(means, axis=0), exact.mean, atol=0.02)
    middle = np.quantile(means, [0.3, 0.7], axis=0)
    widths = np.diff(middle, axis=0)[0] / (2 * scipy.stats.norm.ppf(0.7))
    np.testing.assert_allclose(widths, np.sqrt(np.diag(expected)), rtol=0.05)


@pytest.mark.parametrize("architecture", ["chain", "deep", "ladder"])
def test_likelihoods_of_all_images_sum_to_one(architecture):
    """Of the two images of one pixel, by importance sampling."""
    model = HVAE((1, 1, 1), narrow(architecture, (2, 1)))
    images = np.float32([0, 1]).reshape(2, 1, 1, 1)
    if architecture != "deep":  # which starts near the prior
        widened(model)
    bounds = model.log_likelihood(images, samples=2000)
    assert np.exp(bounds).sum() == pytest.approx(1, abs=0.06)


def widened(model):
    """Posteriors start with exp(-1) for a standard deviation, prone to a poor sum."""
    for variable in model.encoder.weights:
        if variable.name == "bias" and np.all(ops.convert_to_numpy(variable) == -2):
            variable.assign(np.full(variable.shape, 0.5))


@pytest.mark.parametrize("architecture", ["chain", "deep", "ladder"])
def test_codes_are_noise_that_leads_to_the_posterior_means(architecture):
    model = HVAE((4, 4, 1), narrow(architecture, (3, 2)))
    if architecture == "deep":
        for variable in model.decoder.trainable_variables:
            variable.assign(0.3 * wave(variable.shape))
    images, _ = batch(model)
    noise = ops.zeros((len(images), 1, model.latent_dim))
    outputs, drawn = model.inferred(ops.convert_to_tensor(images), noise)
    latents, (mean, _), _ = drawn[0]
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (latents, mean)), rtol=1e-5)
    expected = ops.convert_to_numpy(ops.sigmoid(outputs))
    np.testing.assert_allclose(model.reconstruct(images), expected, atol=1e-4)


@pytest.mark.parametrize("architecture", ["chain", "deep", "ladder"])
def test_kl_in_closed_form_is_the_mean_of_the_sampled_one(architecture):
    model = HVAE((2, 2, 1), narrow(architecture, (2, 1)))
    images = np.repeat(np.float32([[0.2, 0.4, 0.6, 0.8]]), 2000, axis=0)
    images = ops.convert_to_tensor(images.reshape(-1, 2, 2, 1))
    noise = keras.random.normal((2000, 1, model.latent_dim), seed=1)
    parts = [model.parts(images, noise, None, False, exact)[1] for exact in (0, 1)]
    sampled, exact = (
        np.array([ops.convert_to_numpy(kl).mean() for kl in kls]) for kls in parts
    )
    tolerance = {"rtol": 0.1, "atol": 0.05}
    if architecture != "chain":
        np.testing.assert_allclose(sampled, exact, **tolerance)
    _, prior = ops.convert_to_numpy(model.log_weights_batch(images, noise))
    assert sampled.sum() == pytest.approx(-prior.mean(), rel=1e-4)


def test_a_chain_of_one_layer_is_the_iwae():
    chain = HVAE((4, 4, 1), ChainNetworks((2,), (8,)), BINARY, samples=3)
    iwae = IWAE((4, 4, 1), 2, 3, architecture=MLPEncoderDecoder((8, 8), "tanh"))
    iwae.set_weights(chain.get_weights())
    images, _ = batch(iwae)
    for verb in "elbo", "log_likelihood":
        np.testing.assert_equal(*(getattr(m, verb)(images, 5) for m in (chain, iwae)))


def test_every_layer_has_its_free_bits_and_warms_up():
    model = compiled(lambda: HVAE((4, 4, 1), LADDER, warmup_steps=20, free_bits=50.0))
    model.optimizer.iterations.assign(5)
    _, logs = model.negative_bound(ops.convert_to_tensor(batch(model)[0]))
    logs = {name: float(ops.convert_to_numpy(value)) for name, value in logs.items()}
    added = logs["loss"] - logs["reconstruction"]
    assert max(logs["kl_1"], logs["kl_2"]) < 50 and logs["kl"] > 0.1
    assert added == pytest.approx(0.25 * 2 * 50, rel=1e-4)
    assert logs["kl"] == pytest.approx(logs["kl_1"] + logs["kl_2"], rel=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_shape": (28, 28)}, "image_shape"),
        ({"architecture": "mlp"}, "'chain', 'deep', 'ladder'"),
        ({"image_shape": (30, 30, 1), "architecture": "deep"}, "divisible by 4"),
        ({"samples": 0}, "samples"),
        ({"likelihood": "poisson"}, "'bernoulli', 'categorical'"),
        ({"num_classes": 0}, "num_classes"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        HVAE(**{"image_shape": (28, 28, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: LadderNetworks((8, 4)), "as many latent_dims as widths"),
        (lambda: ChainNetworks((8, 0), (8, 8)), "latent_dims"),
        (lambda: VDVAENetworks(4, 8), "one for the top"),
        (lambda: VDVAENetworks(blocks=0), "blocks"),
        (lambda: LadderNetworks(normalization="spectral"), "normalization"),
    ],
)
def test_wrong_settings_of_networks_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)
