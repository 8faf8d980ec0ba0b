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


@pytest.mark.one_backend
def test_the_papers_sizes():
    model = VampVAE((28, 28, 1))
    assert model.prior.pseudo_inputs.shape == (500, 28, 28, 1)
    assert model.architecture == MLPEncoderDecoder((300, 300))
    assert model.latent_dim == 40
    assert VampVAE((28, 28, 1), architecture="conv").architecture.widths == (32, 64)
