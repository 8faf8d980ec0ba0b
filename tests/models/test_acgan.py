"""The auxiliary classifier GAN."""

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled, variants
from keras import layers, ops

from kzoo.models import ACGAN, DCGAN
from kzoo.networks import DCGANNetworks, MLPNetworks
from kzoo.parts import R1

NARROW = DCGANNetworks((4,))

MAKE = {
    "dcgan": lambda: ACGAN((8, 8, 1), 3, DCGANNetworks((8, 4)), num_classes=3),
    "mlp": lambda: ACGAN(
        (6, 4, 3),
        3,
        MLPNetworks((8,), dropout=0.0),
        num_classes=4,
        loss="relativistic_average",
        penalty=R1(10.0),
        ema=0.9,
    ),
}


def test_acgan_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="mlp"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_discriminator_is_a_dcgans_with_one_more_layer():
    plain = DCGAN((28, 28, 1)).discriminator.count_params()
    model = ACGAN((28, 28, 1), num_classes=10)
    assert model.discriminator.count_params() == plain + 7 * 7 * 256 * 10 + 10
    assert DCGAN((28, 28, 1), num_classes=10).generator.count_params() == (
        model.generator.count_params()
    )


def test_losses_of_a_discriminator_that_knows_nothing():
    model = compiled(lambda: ACGAN((4, 4, 1), 2, NARROW, num_classes=8))
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = {
        "discriminator_loss": 2 * np.log(2) + 2 * np.log(8),
        "generator_loss": np.log(2) + np.log(8),
        "real_class_loss": np.log(8),
        "fake_class_loss": np.log(8),
    }
    assert scores == pytest.approx(expected, rel=1e-5)


def test_class_loss_is_small_where_the_class_is_told():
    model = compiled(lambda: ACGAN((4, 4, 1), 2, NARROW, num_classes=3))
    images, labels = batch(model, 6)
    told = 9.0 * np.eye(3, dtype="float32")[labels]
    logits = np.zeros((6, 1), "float32")
    model.judged = lambda *_: [ops.convert_to_tensor(x) for x in (logits, told)]
    tensors = [ops.convert_to_tensor(x) for x in (images, labels)]
    expected = np.log(1 + 2 * np.exp(-9))
    _, logs = model.discriminator_loss(*tensors)
    assert float(logs["real_class_loss"]) == pytest.approx(expected, rel=1e-3)
    _, logs = model.generator_loss(*tensors)
    assert float(logs["generator_loss"]) == pytest.approx(np.log(2) + expected)


def own_discriminator(classes=3):
    images = keras.Input((4, 4, 1))
    flat = layers.Flatten()(images)
    return keras.Model(images, [layers.Dense(1)(flat), layers.Dense(classes)(flat)])


def test_your_own_discriminator(tmp_path):
    def make():
        own = own_discriminator()
        return ACGAN((4, 4, 1), 2, NARROW, num_classes=3, discriminator=own)

    check_model(make, tmp_path)


def test_without_a_number_of_classes_the_error_says_what_to_pass():
    with pytest.raises(ValueError, match=r"ACGAN .* Pass num_classes=10"):
        ACGAN((4, 4, 1))


@pytest.mark.parametrize("classes", [4, None])
def test_a_discriminator_with_other_outputs_is_refused(classes):
    own = own_discriminator(4) if classes else DCGAN((4, 4, 1)).discriminator
    with pytest.raises(ValueError, match="Expected discriminator"):
        ACGAN((4, 4, 1), 2, NARROW, num_classes=3, discriminator=own)
