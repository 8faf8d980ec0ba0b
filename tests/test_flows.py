"""Flows, priors and posteriors: Jacobians, densities, and draws that follow them."""

import keras
import numpy as np
import pytest
import scipy.stats
from conftest import wave
from keras import ops

from kzoo.parts.flows import (
    MADE,
    InverseAutoregressiveFlow,
    MaskedAutoregressiveFlow,
    PlanarFlow,
)
from kzoo.parts.posteriors import IAF, DiagonalNormal, Planar
from kzoo.parts.priors import (
    AutoregressiveFlow,
    NormalMixture,
    StandardNormal,
    VampPrior,
)

pytestmark = pytest.mark.one_backend

DIM = 3
CONTEXT = ops.convert_to_tensor(wave((1, 4)))


def set_waves(layer, scale=0.7):
    for i, variable in enumerate(layer.trainable_variables):
        variable.assign(scale * wave(variable.shape, phase=i))
    return layer


def np_of(tensor):
    return np.array(ops.convert_to_numpy(tensor))


def jacobian(function, at, step=1e-3):
    """`d function(x)_i / d x_j` by central differences."""
    moves = step * np.eye(len(at), dtype="float32")
    columns = [(function(at + m) - function(at - m)) / (2 * step) for m in moves]
    return np.stack(columns, axis=1)


def of_one(flow, *context):
    def mapped(x):
        return np_of(flow(ops.convert_to_tensor(x[None]), *context)[0])[0]

    return mapped


FLOWS = {
    "maf": (lambda: MaskedAutoregressiveFlow(DIM, (8,)), ()),
    "iaf": (lambda: InverseAutoregressiveFlow(DIM, 4, (8,)), (CONTEXT,)),
    "planar": (lambda: PlanarFlow(DIM), ()),
}


@pytest.mark.parametrize("name", FLOWS)
def test_log_determinants_are_those_of_the_jacobian(name):
    build, context = FLOWS[name]
    flow, at = set_waves(build()), wave((DIM,))
    log_determinant = np_of(flow(ops.convert_to_tensor(at[None]), *context)[1])
    _, expected = np.linalg.slogdet(jacobian(of_one(flow, *context), at))
    assert log_determinant == pytest.approx(expected, abs=2e-3)
    assert abs(expected) > 0.02


@pytest.mark.parametrize("latent_dim, widths", [(1, (4,)), (2, (5,)), (5, (8, 8))])
def test_made_is_autoregressive(latent_dim, widths):
    network = MADE(latent_dim, widths, outputs=2, activation="tanh")
    network.build((None, latent_dim), (None, 4))
    set_waves(network)

    def numbers(x):
        outputs = network(ops.convert_to_tensor(x[None]), CONTEXT)
        return np.concatenate([np_of(output)[0] for output in outputs])

    slopes = jacobian(numbers, wave((latent_dim,))).reshape(2, latent_dim, latent_dim)
    assert np.all(np.triu(slopes) == 0)
    below = np.tril(np.ones((latent_dim, latent_dim)), -1) == 1
    assert np.all(np.abs(slopes[:, below]).sum(axis=0) > 0)


def test_a_flow_without_a_context_has_no_layer_left_unbuilt():
    """Keras calls a model with such a layer before it is trained, without labels."""
    assert all(
        layer.built for layer in AutoregressiveFlow().connect(DIM)._flatten_layers()
    )


def test_autoregressive_flow_undoes_itself():
    prior = set_waves(AutoregressiveFlow(flows=3, widths=(8,)).connect(DIM))
    latents = prior(ops.convert_to_tensor(wave((6, DIM))))
    for flow in prior.steps:
        latents = ops.flip(flow(latents)[0], axis=-1)
    np.testing.assert_allclose(np_of(latents), wave((6, DIM)), atol=1e-4)


class Pixels:
    """A model whose posterior is made of two pixels."""

    image_shape, num_classes = (2, 2, 1), None

    def posterior_parameters(self, images, labels=None):
        return 4 * images[:, 0, 0] - 2, images[:, 0, 1] - 1


PRIORS = {
    "normal": StandardNormal,
    "mixture": lambda: NormalMixture(3),
    "flow": lambda: AutoregressiveFlow(flows=2, widths=(4,)),
    "vamp": lambda: VampPrior(3),
}


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_density_and_it_integrates_to_one(name):
    prior = set_waves(PRIORS[name]().connect(1, Pixels()))
    x = np.linspace(-10, 10, 4001, dtype="float32")
    density = np.exp(np_of(prior.log_density(ops.convert_to_tensor(x[:, None]))))
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
    normal = np.random.default_rng(0).standard_normal((20_000, prior.size), "float32")
    draws = np_of(prior(ops.convert_to_tensor(normal)))
    cumulative = np.cumsum(density) * (x[1] - x[0])
    test = scipy.stats.kstest(draws[:, 0], lambda v: np.interp(v, x, cumulative))
    assert test.statistic < 0.015


def test_a_new_mixture_and_a_new_flow_are_broad():
    x = ops.convert_to_tensor(wave((4, 5)))
    normal, flow, mixture = (
        np_of(prior().connect(5).log_density(x))
        for prior in (StandardNormal, AutoregressiveFlow, NormalMixture)
    )
    np.testing.assert_allclose(flow, normal, rtol=1e-5)
    assert np.all(np.isfinite(mixture))


@pytest.mark.parametrize("build", [DiagonalNormal, IAF, Planar])
def test_log_density_of_a_draw_is_by_change_of_variables(build):
    posterior = set_waves(build().connect(DIM))
    parameters = [0.5 * wave((1, DIM)), wave((1, DIM), phase=1)]
    if posterior.context_dim:
        parameters.append(wave((1, posterior.context_dim)))
    parameters = [ops.convert_to_tensor(p) for p in parameters]

    def draw(noise):
        return posterior(parameters, ops.convert_to_tensor(noise[None]))

    noise = wave((DIM,), phase=2)
    _, log_volume = np.linalg.slogdet(jacobian(lambda x: np_of(draw(x)[0])[0], noise))
    expected = scipy.stats.norm.logpdf(noise).sum() - log_volume
    assert float(np_of(draw(noise)[1])[0]) == pytest.approx(expected, abs=5e-3)


def test_a_planar_flow_can_be_inverted_whatever_its_weights():
    flow = PlanarFlow(DIM)
    w = wave((DIM,))
    flow.w.assign(3 * w)
    flow.u.assign(-5 * w)  # without the correction, it would fold space over
    line = np.linspace(-1, 1, 401)[:, None] * w / np.linalg.norm(w)
    along = np_of(flow(ops.convert_to_tensor(line.astype("float32")))[0]) @ w
    assert np.all(np.diff(along) > -1e-5)


def test_learned_parts_have_the_precision_of_their_sums():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        latents = AutoregressiveFlow().connect(DIM)(
            ops.convert_to_tensor(wave((2, DIM)))
        )
        assert keras.backend.standardize_dtype(latents.dtype) == "float32"
    finally:
        keras.config.set_dtype_policy("float32")
