"""The importance weighted autoencoder."""

import keras
import numpy as np
import pytest
import scipy.special
from conformance import batch, check_golden, check_model, compiled
from conftest import wave
from keras import ops

from kzoo.models import IWAE, VAE
from kzoo.models.beta_tcvae import TotalCorrelation
from kzoo.models.piwae import GroupedBound, MixedBound
from kzoo.networks import MLPEncoderDecoder
from kzoo.parts import KL, Bernoulli

NETWORKS = MLPEncoderDecoder((8,), "tanh")
SMALL = {"latent_dim": 2, "samples": 3, "architecture": NETWORKS}
MAKE = {
    "reparameterized": lambda: IWAE((4, 4, 1), **SMALL, num_classes=3),
    "stl": lambda: IWAE((4, 4, 1), **SMALL, gradient="stl", prior="mixture"),
    "dreg": lambda: IWAE((4, 4, 1), **SMALL, gradient="dreg"),
}


def test_iwae_conforms(tmp_path):
    check_model(MAKE["reparameterized"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_the_papers_networks_and_optimizer():
    model = IWAE((28, 28, 1))
    dense = 784 * 200 + 200 + 200 * 200 + 200
    assert model.encoder.count_params() == dense + 2 * (200 * 50 + 50)
    assert model.decoder.count_params() == 50 * 200 + 200 + 200 * 201 + 784 * 201
    assert model.default_optimizer().epsilon == 1e-4


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_one_sample_is_the_elbo(beta):
    arguments = {"latent_dim": 2, "architecture": NETWORKS, "beta": beta}
    ours = compiled(lambda: IWAE((4, 4, 1), samples=1, **arguments), run_eagerly=True)
    arguments |= {"likelihood": Bernoulli(binarize=True), "divergence": KL("sampled")}
    vae = compiled(lambda: VAE((4, 4, 1), **arguments), run_eagerly=True)
    for model in ours, vae:
        model.noise = lambda shape, draw=None: ops.convert_to_tensor(
            wave([int(n) for n in shape])
        )
    vae.set_weights(ours.get_weights())
    scores = [m.evaluate(*batch(m), verbose=0, return_dict=True) for m in (ours, vae)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


@pytest.mark.parametrize("steps, share", [(0, 0.0), (5, 0.25), (20, 1.0)])
@pytest.mark.parametrize("samples", [1, 3])
def test_beta_and_its_warmup_weigh_the_log_ratio(samples, steps, share):
    model = IWAE(
        (4, 4, 1),
        2,
        samples,
        likelihood="bernoulli",
        beta=2.0,
        divergence=KL(warmup_steps=20),
    )
    model.compile()
    model.optimizer.iterations.assign(steps)
    images, noise = batch(model)[0], wave((24, samples, 2))
    tensors = [ops.convert_to_tensor(x) for x in (images, noise)]
    evidence, ratio = map(ops.convert_to_numpy, model.log_weights(*tensors))
    model.noise = lambda shape: tensors[1]
    for weight, training in (2 * share, True), (2.0, False):
        _, logs = model.negative_elbo(tensors[0], training=training)
        log_weights = evidence + weight * ratio
        bound = scipy.special.logsumexp(log_weights, axis=1) - np.log(samples)
        assert float(logs["loss"]) == pytest.approx(-bound.mean(), rel=1e-5)
        assert float(logs["kl"]) == pytest.approx(-ratio.mean(), rel=1e-4)
        if samples == 1:  # the sampled KL divergence times beta
            expected = float(logs["reconstruction"]) + weight * float(logs["kl"])
            assert float(logs["loss"]) == pytest.approx(expected, rel=1e-5)


def test_the_bound_grows_with_its_samples():
    model = compiled(
        lambda: IWAE((4, 4, 1), 2, architecture=NETWORKS, likelihood="bernoulli")
    )
    model.fit(*batch(model), epochs=3, verbose=0)
    images = np.repeat(batch(model)[0], 40, axis=0)
    losses = []
    for samples in 1, 5, 25:
        model.samples = samples
        model.compile(run_eagerly=True)
        losses.append(model.evaluate(images, verbose=0, return_dict=True)["loss"])
    assert np.all(np.diff(losses) < 0)


def gradients(gradient, samples, noise, bound="importance", beta=1.0):
    """By network, of the mean loss over the draws `noise`, `(draws, ...)`."""
    model = compiled(
        lambda: IWAE(
            (2, 2, 1),
            2,
            samples,
            gradient,
            bound,
            architecture=MLPEncoderDecoder((4,), "tanh"),
            likelihood="bernoulli",
            beta=beta,
        ),
        optimizer=keras.optimizers.SGD(1.0),
        run_eagerly=True,
    )
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(0.5 * wave(variable.shape, phase=i))
    model.noise = lambda shape, draw=None: ops.convert_to_tensor(noise)
    images = np.repeat(0.5 + 0.5 * wave((1, 2, 2, 1)), len(noise), axis=0)
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    model.fit(images, batch_size=len(images), epochs=1, verbose=0)
    moved = [
        a - ops.convert_to_numpy(v)
        for a, v in zip(before, model.trainable_variables, strict=True)
    ]
    count = len(model.encoder.trainable_variables)
    return [
        np.concatenate([g.ravel() for g in x]) for x in (moved[:count], moved[count:])
    ]


@pytest.mark.parametrize(
    "gradient, samples, bound, beta",
    [
        ("stl", 1, "importance", 1.0),
        ("stl", 1, GroupedBound(2), 0.5),
        ("dreg", 1, "importance", 1.0),
        ("dreg", 4, "importance", 1.0),
        ("dreg", 4, "importance", 0.5),
        ("dreg", 4, GroupedBound(2), 1.0),
        ("dreg", 3, GroupedBound(2), 2.0),
        ("dreg", 4, MixedBound(0.5), 1.0),
        ("dreg", 4, MixedBound(0.3), 2.0),
    ],
)
def test_estimators_agree_in_the_mean_and_the_decoders_always(
    gradient, samples, bound, beta
):
    """STL for one sample only (arXiv:1810.04152, section 3)."""
    shape = (40_000, samples * getattr(bound, "groups", 1), 2)
    noise = np.random.default_rng(0).standard_normal(shape, "float32")
    encoder, decoder = gradients("reparameterized", samples, noise, bound, beta)
    other_encoder, other_decoder = gradients(gradient, samples, noise, bound, beta)
    np.testing.assert_allclose(other_decoder, decoder, rtol=1e-3, atol=1e-5)
    assert not np.allclose(other_encoder, encoder, rtol=1e-4)
    error = np.linalg.norm(other_encoder - encoder) / np.linalg.norm(encoder)
    assert error < 0.05


def test_stl_of_many_samples_is_another_gradient():
    noise = np.random.default_rng(0).standard_normal((40_000, 4, 2), "float32")
    encoder, _ = gradients("reparameterized", 4, noise)
    stl, _ = gradients("stl", 4, noise)
    assert np.linalg.norm(stl - encoder) / np.linalg.norm(encoder) > 0.1


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"samples": 0}, "samples"),
        ({"gradient": "score"}, "'dreg'"),
        ({"bound": "elbo"}, "'importance'"),
        ({"divergence": KL("analytic")}, "divergence"),
        ({"divergence": KL(free_bits=0.1)}, "divergence"),
        ({"divergence": KL(capacity=2.0)}, "divergence"),
        ({"divergence": TotalCorrelation()}, "divergence"),
        ({"gradient": "stl", "posterior": "iaf"}, "posterior"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        IWAE((4, 4, 1), **arguments)
    assert named in str(error.value)
