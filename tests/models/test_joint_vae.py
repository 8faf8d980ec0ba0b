"""JointVAE."""

import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled, variants
from keras import ops

from kzoo.models import JointVAE
from kzoo.models.joint_vae import uniform_kl
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder

CONV, DENSE = ConvEncoderDecoder((4,)), MLPEncoderDecoder((8,))
MAKE = {
    "one": lambda: JointVAE((8, 8, 1), 2, (4,), CONV, capacity_steps=10),
    "two": lambda: JointVAE((4, 4, 3), 3, (2, 3), DENSE, "laplace"),
}


def test_joint_vae_conforms(tmp_path):
    check_model(MAKE["two"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="one"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_divergence_from_uniform_categories():
    logits = ops.convert_to_tensor(np.log(np.float32([[0.7, 0.2, 0.1], [1, 1, 1]])))
    shares = np.array([0.7, 0.2, 0.1])
    expected = np.sum(shares * np.log(shares * 3)) / 2
    assert float(uniform_kl(logits)) == pytest.approx(expected, rel=1e-4)
    sure = ops.convert_to_tensor(np.float32([[50, 0, 0, 0]]))
    assert float(uniform_kl(sure)) == pytest.approx(np.log(4), rel=1e-5)


def test_draws_are_of_the_categories_as_often_as_their_shares_say():
    model = MAKE["two"]()
    shares = np.array([0.25, 0.75, 0.2, 0.3, 0.5], "float32")
    logits = ops.convert_to_tensor(np.log(np.tile(shares, (20_000, 1))))
    zeros = ops.zeros((20_000, 3))
    drawn = ops.convert_to_numpy(model.drawn(zeros, zeros, logits))
    for part, expected in zip(
        np.split(drawn[:, 3:], [2], axis=1), np.split(shares, [2]), strict=True
    ):
        np.testing.assert_allclose(part.sum(axis=1), 1, rtol=1e-5)
        largest = np.bincount(part.argmax(axis=1)) / 20_000
        np.testing.assert_allclose(largest, expected, atol=0.015)
    assert drawn[:, :3].std() == pytest.approx(1, abs=0.02)


def test_prior_is_normal_and_fair_categories():
    latents = MAKE["two"]().draw_latents(20_000, seed=0)
    assert latents[:, :3].std() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(latents[:, 3:5].mean(axis=0), 1 / 2, atol=0.015)
    np.testing.assert_allclose(latents[:, 5:].mean(axis=0), 1 / 3, atol=0.015)
    assert set(np.unique(latents[:, 3:])) == {0.0, 1.0}


def test_the_loss_is_of_the_capacities_and_a_category_holds_no_more_than_its_entropy():
    model = compiled(MAKE["one"])
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    excess = abs(scores["kl"] - 5) + abs(scores["category_kl"] - np.log(4))
    expected = scores["reconstruction"] + 30 * excess
    assert scores["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "steps, capacity, category_capacity",
    [
        (0, 0, 0),
        (5_000, 1, 1),
        (11_400, 2.28, 2.28),
        (11_513, 2.3026, 2.3026),
        (20_000, 4, np.log(10)),
        (30_000, 5, np.log(10)),
    ],
)
def test_capacities_grow_alike_until_the_category_is_full(
    steps, capacity, category_capacity
):
    model = JointVAE((4, 4, 1), 2, (10,), DENSE)
    model.compile()
    model.optimizer.iterations.assign(steps)
    excess = float(model.excess(ops.zeros(()), ops.zeros(()), training=True))
    assert excess == pytest.approx(capacity + category_capacity, rel=1e-4, abs=1e-6)


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    for name in "continuous_dim", "categories":
        with pytest.raises(ValueError, match="Expected"):
            JointVAE((4, 4, 1), **{name: 0})
