"""The Wasserstein autoencoder."""

import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled
from conftest import wave
from keras import ops

from kzoo.models import WAE
from kzoo.networks import ConvEncoderDecoder, MLPEncoderDecoder
from kzoo.parts import densities

MAKE = {
    "conv": lambda: WAE((8, 8, 1), 3, ConvEncoderDecoder((4,))),
    "conditional": lambda: WAE(
        (4, 4, 3), 2, MLPEncoderDecoder((8,)), kernel="rbf", num_classes=3
    ),
}


def test_wae_conforms(tmp_path):
    check_model(MAKE["conditional"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.parametrize("kernel", densities.KERNELS)
def test_discrepancy_is_the_unbiased_sum_over_pairs(kernel):
    x, y = wave((5, 3)), 1 + wave((5, 3), phase=1)
    got = densities.maximum_mean_discrepancy(
        *map(ops.convert_to_tensor, (x, y)), densities.KERNELS[kernel]
    )

    def similarity(a, b):
        squared = np.sum((a - b) ** 2)
        if kernel == "rbf":
            return np.exp(-squared / 6)
        scales = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10]) * 6
        return np.sum(scales / (scales + squared))

    others = [(i, j) for i in range(5) for j in range(5) if i != j]
    within = [similarity(x[i], x[j]) + similarity(y[i], y[j]) for i, j in others]
    across = [similarity(a, b) for a in x for b in y]
    expected = np.mean(within) - 2 * np.mean(across)
    assert float(got) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kernel", densities.KERNELS)
@pytest.mark.parametrize(
    "shift, scale, far", [(0, 1, False), (1, 1, True), (0, 3, True)]
)
def test_discrepancy_is_about_0_for_samples_of_one_density(kernel, shift, scale, far):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 1000, 2), "float32")
    samples = map(ops.convert_to_tensor, (shift + scale * x, y))
    got = densities.maximum_mean_discrepancy(*samples, densities.KERNELS[kernel])
    assert (float(got) > 0.05) == far
    assert abs(float(got)) < 0.05 or far


def test_a_single_image_has_a_finite_loss():
    model = compiled(MAKE["conv"])
    images, _ = batch(model, 1)
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert np.all(np.isfinite(list(scores.values())))


def test_codes_come_to_be_spread_like_the_prior():
    model = compiled(lambda: WAE((4, 4, 1), 2, MLPEncoderDecoder((16,)), 100.0))
    images = np.random.default_rng(0).random((512, 4, 4, 1), "float32")
    before = model.evaluate(images, batch_size=256, verbose=0, return_dict=True)
    model.fit(images, batch_size=64, epochs=30, verbose=0)
    after = model.evaluate(images, batch_size=256, verbose=0, return_dict=True)
    assert after["mmd"] < 0.2 * before["mmd"]


@pytest.mark.one_backend
def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="kernel"):
        WAE((4, 4, 1), kernel="linear")
