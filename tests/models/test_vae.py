"""The variational autoencoder."""

import itertools

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
)
from conftest import wave
from keras import layers, ops
from keras.optimizers import Adam

from kzoo.models import VAE
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.networks.autoencoder import ENCODER_DECODERS
from kzoo.parts import (
    IAF,
    KL,
    AutoregressiveFlow,
    Bernoulli,
    Gaussian,
    Laplace,
    NormalMixture,
    VampPrior,
    densities,
)
from kzoo.parts.divergences import DIVERGENCES
from kzoo.parts.likelihoods import LIKELIHOODS
from kzoo.parts.posteriors import POSTERIORS
from kzoo.parts.priors import PRIORS

MAKE = {
    "mlp": lambda: VAE((8, 8, 1), 3, MLPEncoderDecoder((16,))),
    "conv": lambda: VAE((8, 8, 3), 2, ConvEncoderDecoder((4, 8)), beta=2.0),
    "conditional": lambda: VAE((4, 4, 1), 2, ConvEncoderDecoder((4,)), num_classes=3),
    "binarised": lambda: VAE(
        (6, 4, 1), 2, MLPEncoderDecoder((8,), "tanh"), Bernoulli(binarize=True)
    ),
    "gaussian": lambda: VAE(
        (6, 4, 1), 2, likelihood=Gaussian(0.3), divergence=KL("sampled")
    ),
    "learned_prior": lambda: VAE(
        (4, 4, 3),
        2,
        ConvEncoderDecoder((4,)),
        "logistic_mixture",
        prior=VampPrior(4),
        posterior="iaf",
        num_classes=3,
    ),
    "flow_prior": lambda: VAE(
        (4, 4, 1),
        3,
        MLPEncoderDecoder((8,)),
        Laplace("learned"),
        divergence=KL(warmup_steps=4),
        prior="flow",
        posterior="planar",
    ),
    "mixture_prior": lambda: VAE(
        (4, 4, 1), 2, MLPEncoderDecoder((8,)), "categorical", prior=NormalMixture(3)
    ),
    "capacity": lambda: VAE(
        (4, 4, 1),
        3,
        MLPEncoderDecoder((8,)),
        "continuous_bernoulli",
        beta=5.0,
        divergence=KL(capacity=2.0, capacity_steps=10),
    ),
}


@pytest.mark.parametrize(
    "variant", variants(["mlp", "conditional", "learned_prior"], everywhere="mlp")
)
def test_vae_conforms(variant, tmp_path):
    check_model(MAKE[variant], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, encoder, decoder",
    [
        # 784-400-20, as in the paper's code and PyTorch's example
        ({"latent_dim": 20}, 330_040, 322_784),
        (
            {"latent_dim": 20, "architecture": MLPEncoderDecoder((512, 256, 128))},
            571_304,
            569_488,
        ),
        # 32-64 with a 2-D latent, as in the example of keras.io
        ({"latent_dim": 2, "architecture": "conv"}, 69_076, 65_089),
    ],
)
def test_sizes_of_the_literature(arguments, encoder, decoder):
    model = VAE((28, 28, 1), **arguments)
    assert model.encoder.count_params() == encoder
    assert model.decoder.count_params() == decoder


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (12, 20, 1)])
@pytest.mark.parametrize("networks", [MLPEncoderDecoder, ConvEncoderDecoder])
def test_any_size_that_can_be_halved(shape, networks):
    assert VAE(shape, 2, networks((4, 4))).sample(2).shape == (2, *shape)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_every_posterior_starts_narrow(architecture):
    model = VAE((8, 8, 1), 2, architecture)
    mean, log_var = model.posterior_parameters(ops.convert_to_tensor(batch(model)[0]))
    assert np.all(ops.convert_to_numpy(log_var) == -2)
    assert np.ptp(ops.convert_to_numpy(mean)) > 0


def test_loss_is_the_negative_elbo_of_the_formula():
    model = compiled(MAKE["mlp"])
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    images, _ = batch(model)
    mean, log_var = (ops.convert_to_numpy(x) for x in model.encoder(images))
    p = model.decode(mean).astype("float64")
    cross_entropy = -(images * np.log(p) + (1 - images) * np.log(1 - p))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(axis=1).mean()
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores["reconstruction"] == pytest.approx(
        cross_entropy.sum(axis=(1, 2, 3)).mean(), rel=1e-4
    )
    assert scores["kl"] == pytest.approx(kl, rel=1e-3, abs=1e-6)
    assert scores["loss"] == pytest.approx(scores["reconstruction"] + scores["kl"])


@pytest.mark.parametrize("posterior", ["normal", "planar"])
def test_sampled_kl_agrees_with_the_closed_form(posterior):
    """Also bent by flows, if they bend nothing."""
    model = VAE((4, 4, 1), 2, divergence=KL("sampled"), posterior=posterior)
    for variable in model.posterior.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    mean = ops.convert_to_tensor([[0.5, -1.0]])
    log_var = ops.convert_to_tensor([[-1.0, 0.3]])
    mean, log_var = (ops.repeat(x, 100_000, axis=0) for x in (mean, log_var))
    noise = keras.random.normal((100_000, 2), seed=1)
    latents, log_density = model.posterior([mean, log_var], noise)
    drawn = [mean, log_var], latents, log_density
    sampled, _ = model.divergence.measured(model, *drawn)
    exact = densities.normal_kl(mean, log_var)[0]
    assert float(sampled) == pytest.approx(float(exact), abs=0.02)


def own_networks(outputs=2, size=(4, 4, 1)):
    images = keras.Input((4, 4, 1))
    x = layers.Dropout(0.2)(layers.Flatten()(images))
    heads = [layers.Dense(2)(x) for _ in range(outputs)]
    latents = keras.Input((2,))
    pixels = layers.Reshape(size)(layers.Dense(int(np.prod(size)))(latents))
    return {
        "encoder": keras.Model(images, heads),
        "decoder": keras.Model(latents, pixels),
    }


def test_your_own_networks(tmp_path):
    check_own_networks(lambda: VAE((4, 4, 1), 2, **own_networks()), tmp_path)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_shape": (28, 28)}, "image_shape"),
        ({"image_shape": (30, 30, 1), "architecture": "conv"}, "divisible by 4"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"divergence": KL("analytic"), "prior": "flow"}, "AutoregressiveFlow"),
        ({"num_classes": 0}, "num_classes"),
        ({"image_shape": (4, 4, 1), "latent_dim": 2, **own_networks(3)}, "encoder"),
        ({"image_shape": (4, 4, 1), "latent_dim": 5, **own_networks()}, "encoder"),
        (
            {"image_shape": (4, 4, 1), "latent_dim": 2, **own_networks(2, (4, 8, 1))},
            "decoder",
        ),
        ({"image_shape": (8, 8, 1), "latent_dim": 2, **own_networks()}, "encoder"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        VAE(**{"image_shape": (28, 28, 1), **arguments})
    assert named in str(error.value)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: MLPEncoderDecoder(()), "widths"),
        (lambda: Gaussian(0.0), "scale"),
        (lambda: Laplace("wide"), "'learned'"),
        (lambda: KL("exact"), "'analytic', 'sampled'"),
        (lambda: VampPrior(0), "components"),
        (lambda: IAF(0), "flows"),
    ],
)
def test_wrong_settings_of_parts_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)


PARTS = {
    "architecture": ENCODER_DECODERS,
    "likelihood": LIKELIHOODS,
    "divergence": DIVERGENCES,
    "prior": PRIORS,
    "posterior": POSTERIORS,
}


@pytest.mark.one_backend
@pytest.mark.parametrize("argument, name", [(a, n) for a in PARTS for n in PARTS[a]])
def test_a_part_by_name_and_as_object_is_the_same(argument, name):
    other = {"sphere": "von_mises_fisher", "von_mises_fisher": "sphere"}.get(name)
    pair = {"prior": "posterior", "posterior": "prior"}.get(argument)
    rest = {pair: other} if other else {}
    by_name, as_object = (
        VAE((8, 8, 1), 2, name="vae", **{argument: part}, **rest)
        for part in (name, PARTS[argument][name]())
    )
    assert by_name.get_config() == as_object.get_config()
    assert type(getattr(by_name, argument)) is PARTS[argument][name]


@pytest.mark.one_backend
@pytest.mark.parametrize("wrong", ["other", None, 3, wave, Adam, Adam()])
@pytest.mark.parametrize("argument", PARTS)
def test_a_part_of_another_kind_is_refused_by_the_names_there_are(argument, wrong):
    with pytest.raises(ValueError, match=f"Unknown {argument}. Expected one of") as e:
        VAE((8, 8, 1), 2, **{argument: wrong})
    assert all(repr(name) in str(e.value) for name in PARTS[argument])
    assert f"{argument}={wrong!r}" in str(e.value)


@pytest.mark.one_backend
def test_a_part_in_the_place_of_another_is_refused():
    for argument, wrong in {"prior": IAF(), "posterior": VampPrior()}.items():
        with pytest.raises(ValueError, match=f"Unknown {argument}"):
            VAE((8, 8, 1), 2, **{argument: wrong})


@pytest.mark.parametrize(
    "argument, part",
    [
        ("architecture", MLPEncoderDecoder((8,), "tanh")),
        ("likelihood", Gaussian("learned")),
        ("likelihood", Bernoulli(binarize=True)),
        ("divergence", KL(warmup_steps=5, free_bits=0.1)),
        ("prior", VampPrior(7)),
        ("prior", AutoregressiveFlow(3, (8,))),
        ("posterior", IAF(3)),
    ],
)
def test_a_file_keeps_the_parts(argument, part, tmp_path):
    model = VAE((4, 4, 1), 2, **{argument: part})
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    kept = getattr(again, argument)
    assert type(kept) is type(part) and kept.get_config() == part.get_config()
    assert again.get_config() == model.get_config()
    bounds = [m.elbo(batch(model)[0], samples=2)["elbo"] for m in (model, again)]
    np.testing.assert_allclose(*bounds, rtol=1e-6)


@pytest.mark.parametrize(
    "argument, part", [("prior", VampPrior(3)), ("posterior", IAF())]
)
def test_two_models_do_not_share_the_weights_of_a_part(argument, part):
    one, two = (
        compiled(lambda: VAE((4, 4, 1), 2, **{argument: part}), run_eagerly=True)
        for _ in range(2)
    )
    images, _ = batch(one)
    before = two.elbo(images, samples=2)["elbo"]
    one.fit(images[:8], verbose=0)
    np.testing.assert_array_equal(two.elbo(images, samples=2)["elbo"], before)
    assert getattr(one, argument).weights and not part.weights


def linear_vae(scale=0.3):
    """A linear Gaussian model with its exact posterior: p(x) is known."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(16, 2)))[0] * [0.2, 0.5]  # orthogonal columns
    offset = np.full(16, 0.5)
    gain = np.sum(basis**2, axis=0) / scale**2
    log_var = -np.log1p(gain)
    images, latents = keras.Input((4, 4, 1)), keras.Input((2,))
    mean_layer, pixel_layer = layers.Dense(2), layers.Dense(16)
    mean = mean_layer(layers.Flatten()(images))
    encoder = keras.Model(images, [mean, ops.zeros_like(mean) + log_var])
    decoder = keras.Model(latents, layers.Reshape((4, 4, 1))(pixel_layer(latents)))
    pixel_layer.set_weights([basis.T, offset])
    projection = basis / scale**2 * np.exp(log_var)
    mean_layer.set_weights([projection, -offset @ projection])
    networks = {"encoder": encoder, "decoder": decoder}
    model = VAE((4, 4, 1), 2, likelihood=Gaussian(scale), **networks)
    exact = scipy.stats.multivariate_normal(
        offset, basis @ basis.T + scale**2 * np.eye(16)
    )
    return model, exact


@pytest.mark.parametrize("samples", [1, 300])
def test_bounds_are_exact_with_the_exact_posterior(samples):
    model, exact = linear_vae()
    images = np.random.default_rng(1).random((40, 4, 4, 1), "float32")
    expected = exact.logpdf(images.reshape(40, -1))
    got = model.log_likelihood(images, samples)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    np.testing.assert_allclose(model.elbo(images, samples)["elbo"], expected, rtol=1e-4)


def test_more_samples_tighten_the_bound():
    model = VAE((4, 4, 1), 2, MLPEncoderDecoder((8,)))
    images, _ = batch(model)
    elbo = model.elbo(images, 100)["elbo"].mean()
    few, some, many = (model.log_likelihood(images, k).mean() for k in (1, 10, 3000))
    assert elbo < some < many
    again = model.log_likelihood(images, 3000, seed=1).mean()
    assert many == pytest.approx(again, rel=0.02) and few < many
    parts = model.elbo(images, 2000)
    mean, log_var = model.posterior_parameters(ops.convert_to_tensor(images))
    kl = ops.convert_to_numpy(densities.normal_kl(mean, log_var))
    np.testing.assert_allclose(parts["kl"], kl, atol=0.15)


def test_binarised_pixels_are_drawn_anew_and_scored_as_such():
    networks, likelihood = MLPEncoderDecoder((8,)), Bernoulli(binarize=True)
    model = compiled(lambda: VAE((4, 4, 1), 2, networks, likelihood))
    seen = []
    original = model.likelihood.negative_log_likelihood
    model.likelihood.negative_log_likelihood = lambda images, outputs: (
        seen.append(ops.convert_to_numpy(images)) or original(images, outputs)
    )
    grey = ops.convert_to_tensor(np.full((500, 4, 4, 1), 0.3, "float32"))
    for _ in range(2):
        model.negative_elbo(grey)
    assert set(np.unique(seen)) == {0.0, 1.0}
    assert np.mean(seen) == pytest.approx(0.3, abs=0.02)
    assert not np.array_equal(*seen)


def regularized(training, steps=None, beta=1.0, **settings):
    """The loss beside the reconstruction, and the KL, of a model that has seen steps"""
    networks, divergence = MLPEncoderDecoder((4,)), KL(**settings)
    model = compiled(lambda: VAE((4, 4, 1), 3, networks, "bernoulli", beta, divergence))
    if steps:
        model.optimizer.iterations.assign(steps)
    _, logs = model.negative_elbo(
        ops.convert_to_tensor(batch(model)[0]), training=training
    )
    logs = {name: float(value) for name, value in logs.items()}
    return logs["loss"] - logs["reconstruction"], logs["kl"]


@pytest.mark.parametrize("steps, share", [(0, 0.0), (5, 0.25), (20, 1.0), (40, 1.0)])
def test_beta_grows_while_it_warms_up(steps, share):
    settings = {"beta": 2.0, "warmup_steps": 20}
    added, kl = regularized(True, steps, **settings)
    assert added == pytest.approx(2 * share * kl, abs=1e-5) and kl > 0.1
    added, kl = regularized(False, steps, **settings)
    assert added == pytest.approx(2 * kl, abs=1e-5)


@pytest.mark.parametrize("steps, capacity", [(0, 0.0), (5, 5.0), (10, 10.0)])
def test_capacity_grows_and_holds_the_divergence(steps, capacity):
    settings = {"beta": 3.0, "capacity": 10.0, "capacity_steps": 10}
    added, kl = regularized(True, steps, **settings)
    assert added == pytest.approx(3 * abs(kl - capacity), abs=1e-4)


def test_free_bits_of_a_sampled_divergence_are_of_all_latents_together():
    model = compiled(
        lambda: VAE(
            (4, 4, 1), 2, beta=2.0, prior="mixture", divergence=KL(free_bits=100.0)
        )
    )
    logs = fit(model)
    floor = 2.0 * 100.0
    np.testing.assert_allclose(
        np.array(logs["loss"]), np.array(logs["reconstruction"]) + floor, rtol=1e-5
    )


def test_free_bits_are_a_floor_for_each_latent():
    added, kl = regularized(True, free_bits=7.0)
    assert kl < 7 and added == pytest.approx(3 * 7.0, abs=1e-4)
    added, kl = regularized(True, free_bits=1e-6)
    assert added == pytest.approx(kl, abs=1e-4)


LEARNED = {"flow": AutoregressiveFlow, "mixture": NormalMixture, "vamp": VampPrior}
TRIED = [("flow", "iaf"), ("mixture", "normal"), ("vamp", "planar")]
PAIRS = list(itertools.product(LEARNED, ["iaf", "normal", "planar"]))


@pytest.mark.parametrize(
    "prior, posterior",
    [
        *TRIED,
        *(pytest.param(*p, marks=pytest.mark.full) for p in PAIRS if p not in TRIED),
    ],
)
def test_likelihoods_of_all_images_sum_to_one(prior, posterior):
    """Of the two images of one pixel, by importance sampling from a wide posterior."""
    model = VAE(
        (1, 1, 1),
        2,
        MLPEncoderDecoder((4,)),
        Bernoulli(binarize=True),
        prior=LEARNED[prior]() if prior == "flow" else LEARNED[prior](3),
        posterior=posterior,
    )
    model.encoder.get_layer("log_var").bias.assign([1.5, 1.5])
    values = np.float32([0, 1]).reshape(2, 1, 1, 1)
    bounds = model.log_likelihood(values, samples=4000)
    assert np.exp(bounds).sum() == pytest.approx(1, abs=0.06)
