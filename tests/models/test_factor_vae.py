"""FactorVAE."""

import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled
from conftest import wave
from keras import ops

from kzoo.models import FactorVAE
from kzoo.models.factor_vae import shuffle_each
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.parts import KL

MAKE = {
    "conv": lambda: FactorVAE(
        (8, 8, 1),
        3,
        ConvEncoderDecoder((4,)),
        discriminator_widths=(8, 8),
        num_classes=3,
        divergence=KL(warmup_steps=10),
    )
}


def test_factor_vae_conforms(tmp_path):
    check_model(MAKE["conv"], tmp_path)


@pytest.mark.every_backend
def test_every_backend_trains_alike(golden):
    check_golden(MAKE["conv"], golden, "conv")


def test_each_coordinate_is_shuffled_by_itself():
    latents = np.arange(12, dtype="float32").reshape(4, 3)
    noise = np.float32([[0, 3, 1], [1, 2, 3], [2, 1, 0], [3, 0, 2]])
    shuffled = ops.convert_to_numpy(
        shuffle_each(*map(ops.convert_to_tensor, (latents, noise)))
    )
    np.testing.assert_array_equal(shuffled[:, 0], latents[:, 0])
    np.testing.assert_array_equal(shuffled[:, 1], latents[::-1, 1])
    np.testing.assert_array_equal(shuffled[:, 2], latents[[2, 0, 3, 1], 2])


def test_an_undecided_discriminator_costs_log_2_and_adds_nothing():
    model = compiled(MAKE["conv"])
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    assert scores["discriminator_loss"] == pytest.approx(np.log(2), rel=1e-5)
    assert scores["total_correlation"] == 0
    loss = scores["reconstruction"] + scores["kl"]
    assert scores["autoencoder_loss"] == pytest.approx(loss, rel=1e-5)


def test_the_discriminator_learns_the_total_correlation():
    """Of two equal coordinates, of eight values: log 8 nats."""
    networks = MLPEncoderDecoder((4,))
    model = FactorVAE((4, 4, 1), 2, networks, discriminator_widths=(32, 32))
    values = np.linspace(-1.5, 1.5, 8)[np.random.default_rng(0).integers(8, size=512)]
    latents = ops.convert_to_tensor(np.float32(np.stack([values, values], axis=1)))
    model.posterior_parameters = lambda *_: [latents, ops.zeros_like(latents) - 12.0]
    model.compile({"autoencoder": "sgd", "discriminator": "adam"}, run_eagerly=True)
    model.optimizer.members["discriminator"].learning_rate = 0.01
    images = ops.convert_to_tensor(0.5 + 0.5 * wave((512, 4, 4, 1)))
    for _ in range(300):
        model.minimize(model.discriminator_loss, images, over="discriminator")
    estimate = float(ops.mean(model.logits(latents, None, False)))
    assert estimate == pytest.approx(np.log(8), rel=0.2)


def test_the_papers_discriminator_and_optimizers():
    model = FactorVAE((4, 4, 1), 10, "mlp")
    assert model.discriminator.count_params() == 11 * 1000 + 5 * 1001 * 1000 + 1001
    optimizers = model.default_optimizer()
    assert float(optimizers["autoencoder"].learning_rate) == pytest.approx(1e-4)
    assert optimizers["discriminator"].beta_2 == 0.9
