"""The VAE with a VampPrior."""

import keras
import numpy as np
import pytest
import scipy.stats
from conformance import batch, check_golden, check_model, check_paper, compiled
from keras import ops

from kzoo.models import VampVAE
from kzoo.networks import MLPEncoderDecoder
from kzoo.parts import VampPrior

MAKE = {
    "mlp": lambda: VampVAE((4, 4, 1), 2, MLPEncoderDecoder((8,)), prior=VampPrior(3))
}


def test_vampvae_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["mlp"], golden, "mlp")


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 5e-4}
    check_paper(
        lambda: VampVAE((4, 4, 1), 2, prior=VampPrior(3)), "VampVAE", adam, tmp_path
    )


def test_the_prior_is_the_mean_posterior_of_its_images():
    model = compiled(MAKE["mlp"])
    model.fit(*batch(model), epochs=2, verbose=0)
    pseudo = np.array(ops.convert_to_numpy(model.prior.pseudo_inputs))
    mean, log_var = (
        ops.convert_to_numpy(p)
        for p in model.posterior_parameters(
            ops.convert_to_tensor(np.clip(pseudo, 0, 1))
        )
    )
    latents = np.float32([[0.3, -0.8], [1.0, 2.0]])
    density = scipy.stats.norm.pdf(latents[:, None], mean, np.exp(log_var / 2))
    got = model.prior.log_density(ops.convert_to_tensor(latents))
    expected = np.log(density.prod(axis=2).mean(axis=1))
    np.testing.assert_allclose(ops.convert_to_numpy(got), expected, rtol=1e-4)


def test_pseudo_inputs_start_as_in_the_authors_code():
    for prior, mean, stddev in (
        (VampPrior(50), 0.05, 0.01),
        (VampPrior(50, mean=0.2, stddev=0.05), 0.2, 0.05),
    ):
        model = VampVAE((8, 8, 1), 2, MLPEncoderDecoder((8,)), prior=prior)
        pixels = ops.convert_to_numpy(model.prior.pseudo_inputs)
        assert pixels.mean() == pytest.approx(mean, rel=0.05)
        assert pixels.std() == pytest.approx(stddev, rel=0.05)


@pytest.mark.parametrize("bias, expected", [(-9.0, -6.0), (0.5, 0.5), (9.0, 2.0)])
def test_log_variances_are_clipped(bias, expected):
    model = MAKE["mlp"]()
    model.encoder.get_layer("log_var").bias.assign(np.full(2, bias))
    images = ops.convert_to_tensor(batch(model)[0])
    log_vars = model.posterior_parameters(images)[1], model.prior.parameters()[2]
    for log_var in log_vars:
        np.testing.assert_allclose(ops.convert_to_numpy(log_var), expected)


@pytest.mark.one_backend
def test_the_papers_sizes():
    model = VampVAE((28, 28, 1))
    assert model.prior.pseudo_inputs.shape == (500, 28, 28, 1)
    assert model.architecture == MLPEncoderDecoder((300, 300))
    assert model.latent_dim == 40
    assert VampVAE((28, 28, 1), architecture="conv").architecture.widths == (32, 64)
