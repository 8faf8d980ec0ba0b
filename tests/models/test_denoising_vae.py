"""The denoising VAE."""

import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled
from keras import ops

from kzoo.models import DenoisingVAE
from kzoo.networks import MLPEncoderDecoder

MAKE = {
    "gaussian": lambda: DenoisingVAE(
        (4, 4, 1), 2, MLPEncoderDecoder((8,)), corruption="gaussian", level=0.3
    ),
    "salt": lambda: DenoisingVAE((4, 4, 3), 2, MLPEncoderDecoder((8,)), num_classes=3),
}


def test_denoising_vae_conforms(tmp_path):
    check_model(MAKE["salt"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def seen(corruption, level, grey=0.5, training=True):
    model = DenoisingVAE((40, 50, 1), 2, corruption=corruption, level=level)
    images = ops.convert_to_tensor(np.full((5, 40, 50, 1), grey, "float32"))
    return ops.convert_to_numpy(model.seen(images, training))


def test_corruptions_are_as_frequent_as_their_level():
    salted = seen("salt_and_pepper", 0.3)
    assert np.mean(salted == 0) == pytest.approx(0.15, abs=0.015)
    assert np.mean(salted == 1) == pytest.approx(0.15, abs=0.015)
    assert np.mean(salted == 0.5) == pytest.approx(0.7, abs=0.02)
    masked = seen("masking", 0.3)
    assert np.mean(masked == 0) == pytest.approx(0.3, abs=0.02)
    assert set(np.unique(masked)) == {0.0, 0.5}
    noisy = seen("gaussian", 0.1)
    assert noisy.std() == pytest.approx(0.1, abs=0.005)
    assert noisy.mean() == pytest.approx(0.5, abs=0.005)
    assert seen("gaussian", 2.0).min() >= 0 and seen("gaussian", 2.0).max() <= 1


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
def test_only_training_corrupts(corruption):
    assert np.all(seen(corruption, 0.5, training=False) == 0.5)
    assert np.all(seen(corruption, 0.0) == 0.5)


def test_the_loss_is_of_the_clean_images():
    model = compiled(lambda: DenoisingVAE((4, 4, 1), 2, level=1.0))
    pixels = []
    original = model.likelihood.negative_log_likelihood
    model.likelihood.negative_log_likelihood = lambda images, outputs: (
        pixels.append(ops.convert_to_numpy(images)) or original(images, outputs)
    )
    images, _ = batch(model)
    model.negative_elbo(ops.convert_to_tensor(images))
    np.testing.assert_array_equal(pixels[0], images)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments", [{"corruption": "blur"}, {"level": -0.1}, {"level": 1.5}]
)
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        DenoisingVAE((4, 4, 1), **arguments)
