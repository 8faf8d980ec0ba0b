"""The beta-TCVAE."""

import keras
import numpy as np
import pytest
import scipy.stats
from conformance import batch, check_golden, check_model, check_paper, compiled
from conftest import wave
from keras import ops

from kzoo.models import VAE, BetaTCVAE
from kzoo.models.beta_tcvae import TotalCorrelation
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.parts import KL

MAKE = {
    "conv": lambda: BetaTCVAE((8, 8, 1), 3, ConvEncoderDecoder((4,)), num_classes=3)
}


def test_beta_tcvae_conforms(tmp_path):
    check_model(MAKE["conv"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["conv"], golden, "conv")


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3}
    check_paper(lambda: BetaTCVAE((4, 4, 1), 2, "mlp"), "BetaTCVAE", adam, tmp_path)


def parts(mean, log_var, latents, **settings):
    divergence = TotalCorrelation(**settings)
    model = BetaTCVAE((4, 4, 1), mean.shape[1], "mlp", divergence=divergence)
    tensors = [ops.convert_to_tensor(np.float32(x)) for x in (mean, log_var, latents)]
    density = scipy.stats.norm.logpdf(latents, mean, np.exp(log_var / 2)).sum(axis=1)
    density = ops.convert_to_tensor(np.float32(density))
    loss, logs = model.regularization(tensors[:2], tensors[2], density, None, True)
    return float(loss), {name: float(value) for name, value in logs.items()}


def test_the_parts_are_those_of_the_mixture_of_posteriors():
    mean, log_var, latents = (wave((5, 2), phase=i) for i in range(3))
    loss, logs = parts(mean, log_var, latents)
    pairs = scipy.stats.norm.pdf(latents[:, None], mean, np.exp(log_var / 2))
    joint = np.log(pairs.prod(axis=2).mean(axis=1))
    product = np.log(pairs.mean(axis=1)).sum(axis=1)
    own = scipy.stats.norm.logpdf(latents, mean, np.exp(log_var / 2)).sum(axis=1)
    prior = scipy.stats.norm.logpdf(latents).sum(axis=1)
    assert logs["mutual_information"] == pytest.approx(np.mean(own - joint), rel=1e-4)
    assert logs["total_correlation"] == pytest.approx(
        np.mean(joint - product), rel=1e-4
    )
    assert logs["marginal_kl"] == pytest.approx(np.mean(product - prior), rel=1e-4)
    assert logs["kl"] == pytest.approx(np.mean(own - prior), rel=1e-4)
    expected = logs["kl"] + 5 * logs["total_correlation"]
    assert loss == pytest.approx(expected, rel=1e-4)
    loss, again = parts(mean, log_var, latents, alpha=2.0, gamma=3.0)
    expected += logs["mutual_information"] + 2 * logs["marginal_kl"]
    assert loss == pytest.approx(expected, rel=1e-4) and again == logs


def test_latents_that_are_copies_are_dependent_and_others_are_not():
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(600, 1))
    narrow = np.full((600, 2), -4.0)
    noise = 0.1 * rng.normal(size=(600, 2))
    copies = np.repeat(spread, 2, axis=1)
    _, alike = parts(copies, narrow, copies + noise)
    others = rng.normal(size=(600, 2))
    _, apart = parts(others, narrow, others + noise)
    assert alike["total_correlation"] > 1.0
    assert abs(apart["total_correlation"]) < 0.4


def test_all_weights_at_one_is_the_vae():
    make = {"latent_dim": 2, "architecture": MLPEncoderDecoder((4,))}
    ours = compiled(lambda: BetaTCVAE((4, 4, 1), beta=1.0, **make), run_eagerly=True)
    make["divergence"] = KL("sampled")
    vae = compiled(lambda: VAE((4, 4, 1), **make), run_eagerly=True)
    vae.set_weights(ours.get_weights())
    for model in ours, vae:
        model.noise = lambda shape: ops.convert_to_tensor(wave([int(n) for n in shape]))
    ours, vae = (
        m.evaluate(*batch(m), verbose=0, return_dict=True) for m in (ours, vae)
    )
    assert ours["loss"] == pytest.approx(vae["loss"], rel=1e-5)
    assert ours["kl"] == pytest.approx(vae["kl"], rel=1e-3)


@pytest.mark.parametrize("density", [{"prior": "mixture"}, {"posterior": "iaf"}])
def test_densities_that_are_not_normal_are_refused(density):
    with pytest.raises(ValueError, match=f"Expected {next(iter(density))}='normal'"):
        BetaTCVAE((4, 4, 1), **density)
