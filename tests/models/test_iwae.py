"""The importance weighted autoencoder."""

import keras
import numpy as np
import pytest
from conformance import batch, check_golden, check_model, compiled
from conftest import wave
from keras import ops

from kzoo.models import IWAE, VAE

SMALL = {"latent_dim": 2, "samples": 3, "widths": (8,)}
MAKE = {
    "reparameterized": lambda: IWAE((4, 4, 1), **SMALL, num_classes=3),
    "stl": lambda: IWAE((4, 4, 1), **SMALL, gradient="stl", prior="mixture"),
    "dreg": lambda: IWAE((4, 4, 1), **SMALL, gradient="dreg"),
}


def test_iwae_conforms(tmp_path):
    check_model(MAKE["reparameterized"], tmp_path)


@pytest.mark.parametrize("variant", MAKE)
def test_every_backend_trains_alike(variant, golden):
    check_golden(MAKE[variant], golden, variant)


def test_the_papers_networks_and_optimizer():
    model = IWAE((28, 28, 1))
    dense = 784 * 200 + 200 + 200 * 200 + 200
    assert model.encoder.count_params() == dense + 2 * (200 * 50 + 50)
    assert model.decoder.count_params() == 50 * 200 + 200 + 200 * 201 + 784 * 201
    assert model.default_optimizer().epsilon == 1e-4


def test_one_sample_is_the_elbo():
    arguments = {"latent_dim": 2, "widths": (8,), "activation": "tanh"}
    arguments["binarize"] = True
    ours = compiled(lambda: IWAE((4, 4, 1), samples=1, **arguments), run_eagerly=True)
    vae = compiled(lambda: VAE((4, 4, 1), kl="sampled", **arguments), run_eagerly=True)
    for model in ours, vae:
        model.noise = lambda shape, draw=None: ops.convert_to_tensor(
            wave([int(n) for n in shape])
        )
    vae.set_weights(ours.get_weights())
    scores = [m.evaluate(*batch(m), verbose=0, return_dict=True) for m in (ours, vae)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_the_bound_grows_with_its_samples():
    model = compiled(lambda: IWAE((4, 4, 1), 2, widths=(8,), binarize=False))
    model.fit(*batch(model), epochs=3, verbose=0)
    images = np.repeat(batch(model)[0], 40, axis=0)
    losses = []
    for samples in 1, 5, 25:
        model.samples = samples
        model.compile(run_eagerly=True)
        losses.append(model.evaluate(images, verbose=0, return_dict=True)["loss"])
    assert np.all(np.diff(losses) < 0)


def gradients(gradient, samples, noise):
    """By network, of the mean loss over the draws `noise`, `(draws, ...)`."""
    model = compiled(
        lambda: IWAE(
            (2, 2, 1),
            2,
            samples=samples,
            gradient=gradient,
            widths=(4,),
            binarize=False,
        ),
        optimizer=keras.optimizers.SGD(1.0),
        run_eagerly=True,
    )
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(0.5 * wave(variable.shape, phase=i))
    model.noise = lambda shape, draw=None: ops.convert_to_tensor(noise)
    images = np.repeat(0.5 + 0.5 * wave((1, 2, 2, 1)), len(noise), axis=0)
    before = [np.array(ops.convert_to_numpy(v)) for v in model.trainable_variables]
    model.fit(images, batch_size=len(images), epochs=1, verbose=0)
    moved = [
        a - ops.convert_to_numpy(v)
        for a, v in zip(before, model.trainable_variables, strict=True)
    ]
    count = len(model.encoder.trainable_variables)
    return [
        np.concatenate([g.ravel() for g in x]) for x in (moved[:count], moved[count:])
    ]


@pytest.mark.parametrize("gradient, samples", [("stl", 1), ("dreg", 1), ("dreg", 4)])
def test_estimators_agree_in_the_mean_and_the_decoders_always(gradient, samples):
    """STL for one sample only (arXiv:1810.04152, section 3)."""
    shape = (40_000, samples, 2)
    noise = np.random.default_rng(0).standard_normal(shape, "float32")
    encoder, decoder = gradients("reparameterized", samples, noise)
    other_encoder, other_decoder = gradients(gradient, samples, noise)
    np.testing.assert_allclose(other_decoder, decoder, rtol=1e-3, atol=1e-5)
    assert not np.allclose(other_encoder, encoder, rtol=1e-4)
    error = np.linalg.norm(other_encoder - encoder) / np.linalg.norm(encoder)
    assert error < 0.05


def test_stl_of_many_samples_is_another_gradient():
    noise = np.random.default_rng(0).standard_normal((40_000, 4, 2), "float32")
    encoder, _ = gradients("reparameterized", 4, noise)
    stl, _ = gradients("stl", 4, noise)
    assert np.linalg.norm(stl - encoder) / np.linalg.norm(encoder) > 0.1


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"samples": 0}, "samples"),
        ({"gradient": "score"}, "'dreg'"),
        ({"beta": 4.0}, "beta"),
        ({"kl": "analytic"}, "kl"),
        ({"gradient": "stl", "posterior": "iaf"}, "posterior"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        IWAE((4, 4, 1), **arguments)
    assert named in str(error.value)
