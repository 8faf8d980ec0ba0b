"""MIWAE, CIWAE and PIWAE."""

import keras
import numpy as np
import pytest
import scipy.special
from conformance import (
    batch,
    check_golden,
    check_model,
    check_paper,
    compiled,
    variants,
)
from conftest import wave
from keras import ops

from kzoo.models import CIWAE, IWAE, MIWAE, PIWAE
from kzoo.models.piwae import GroupedBound, MixedBound
from kzoo.networks import MLPEncoderDecoder
from kzoo.parts import KL

NETWORKS = MLPEncoderDecoder((8,), "tanh")
SMALL = {"latent_dim": 2, "samples": 3, "architecture": NETWORKS}
MAKE = {
    "miwae": lambda: MIWAE((4, 4, 1), groups=2, **SMALL),
    "ciwae": lambda: CIWAE((4, 4, 1), elbo_share=0.3, **SMALL, num_classes=3),
    "piwae": lambda: PIWAE((4, 4, 1), groups=2, **SMALL, gradient="dreg"),
}


def test_piwae_conforms(tmp_path):
    check_model(MAKE["piwae"], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="piwae"))
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


@pytest.mark.parametrize(
    "make, name, bound",
    [
        (lambda: MIWAE((4, 4, 1), groups=2), "MIWAE", GroupedBound(2)),
        (lambda: CIWAE((4, 4, 1), elbo_share=0.3), "CIWAE", MixedBound(0.3)),
    ],
)
def test_it_is_an_iwae_of_that_name_and_bound(make, name, bound, tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3, "epsilon": 1e-4}
    check_paper(make, name, adam, tmp_path)
    again = keras.saving.load_model(tmp_path / "plain.keras")
    assert isinstance(again, IWAE) and again.bound == bound


def test_bounds_are_their_formulas():
    log_weights = wave((5, 6))
    tight = scipy.special.logsumexp(log_weights, axis=1).mean() - np.log(6)
    groups = scipy.special.logsumexp(log_weights.reshape(5, 2, 3), axis=2) - np.log(3)
    tensor = ops.convert_to_tensor(log_weights)
    assert float(GroupedBound(2)(tensor)) == pytest.approx(groups.mean(), rel=1e-4)
    expected = 0.3 * log_weights.mean() + 0.7 * tight
    assert float(MixedBound(0.3)(tensor)) == pytest.approx(expected, rel=1e-4)
    assert log_weights.mean() < groups.mean() < tight


@pytest.mark.parametrize(
    "make, same",
    [
        (lambda **a: MIWAE((4, 4, 1), groups=1, **a), IWAE),
        (lambda **a: CIWAE((4, 4, 1), elbo_share=0.0, **a), IWAE),
    ],
)
def test_at_the_end_of_their_range_they_are_iwae(make, same):
    ours = compiled(lambda: make(**SMALL), run_eagerly=True)
    other = compiled(lambda: same((4, 4, 1), **SMALL), run_eagerly=True)
    other.set_weights(ours.get_weights())
    for model in ours, other:
        model.noise = lambda shape, draw=None: ops.convert_to_tensor(
            wave([int(n) for n in shape])
        )
    ours, other = (
        m.evaluate(*batch(m), verbose=0, return_dict=True) for m in (ours, other)
    )
    assert ours == pytest.approx(other, rel=1e-5)


@pytest.mark.every_backend
def test_each_network_has_its_bound():
    """The encoder's is looser."""
    model = compiled(MAKE["piwae"])
    images = np.repeat(batch(model)[0], 50, axis=0)
    scores = model.evaluate(images, verbose=0, return_dict=True)
    assert scores["encoder_loss"] > scores["decoder_loss"]


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: MIWAE((4, 4, 1), groups=0), "groups"),
        (lambda: CIWAE((4, 4, 1), elbo_share=1.5), "elbo_share"),
        (lambda: PIWAE((4, 4, 1), prior="flow"), "prior"),
        (lambda: PIWAE((4, 4, 1), posterior="iaf"), "posterior"),
        (lambda: PIWAE((4, 4, 1), divergence=KL(free_bits=0.1)), "divergence"),
    ],
)
def test_wrong_arguments_are_named(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)
