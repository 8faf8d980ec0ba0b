"""Samplers fitted to latents: what they recover, and that they live with the model."""

import functools

import keras
import numpy as np
import pytest
from conformance import assert_same_state, batch, compiled, fit
from conftest import wave
from keras import layers, ops

import kzoo
from kzoo import samplers
from kzoo.callbacks import Checkpoint, SampleGrid
from kzoo.models import AAE, CVAE, DCGAN, VAE, VAEGAN, BiGAN
from kzoo.networks import MLPEncoderDecoder, MLPNetworks
from kzoo.networks.bigan import MLPBiGANNetworks

QUICK = {
    "flow": {"flows": 2, "widths": (16,), "steps": 250},
    "mixture": {"components": 6},
    "normal": {},
    "two_stage": {"widths": (32,), "steps": 300},
}
TINY = {
    "flow": {"flows": 2, "widths": (4,), "steps": 3},
    "mixture": {"components": 2},
    "normal": {},
    "two_stage": {"widths": (4,), "steps": 3},
}
DENSE = MLPEncoderDecoder((4,))
MAKE = {
    "aae": lambda: AAE((4, 4, 1), 2, DENSE, discriminator_widths=(4,)),
    "bigan": lambda: BiGAN((4, 4, 1), 2, MLPBiGANNetworks((4,))),
    "cvae": lambda: CVAE((4, 4, 1), 3, 2, DENSE),
    "vae": lambda: VAE((4, 4, 1), 2, DENSE),
    "vaegan": lambda: VAEGAN((4, 4, 1), 2, MLPNetworks((4,), dropout=0.0)),
}
MEANS = np.float32([[-3, 1], [2, 2], [1, -3]])


def three_clouds(n=1500):
    """Correlated latents around `MEANS`, and which of them each is of."""
    rng = np.random.default_rng(0)
    which = np.arange(n) % 3
    noise = rng.normal(size=(n, 2)) @ [[0.4, 0.2], [0.0, 0.3]]
    return np.float32(MEANS[which] + noise), which


def bent(n=1500, seed=0):
    """Latents along a parabola."""
    x, y = np.random.default_rng(seed).normal(size=(2, n))
    return np.stack([1.8 * x + 1, 1.2 * x**2 + 0.3 * y - 3], 1).astype("float32")


def linear_vae(scale=0.1):
    """A VAE whose latents are two pixels on another scale, and posteriors narrow."""
    images, latents = keras.Input((1, 2, 1)), keras.Input((2,))
    mean = 32 * layers.Flatten()(images) - 16
    encoder = keras.Model(images, [mean, 0 * mean + 2 * np.log(scale)])
    decoder = keras.Model(latents, layers.Reshape((1, 2, 1))(latents / 4))
    return VAE((1, 2, 1), 2, encoder=encoder, decoder=decoder)


def fitted(kind, latents, scale=0.1, **options):
    """Such a VAE with a sampler fitted to images of these latents."""
    model = linear_vae(scale)
    images = ((latents + 16) / 32).reshape(-1, 1, 2, 1)
    model.fit_sampler(kind, images, **(options or QUICK[kind]))
    return model


@functools.cache
def fitted_to_bent(kind):
    return fitted(kind, bent())


def energy_distance(a, b):
    """Székely and Rizzo's: 0 for samples of one distribution."""

    def mean(x, y):
        return np.linalg.norm(x[:, None] - y, axis=-1).mean()

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", samplers.KINDS)
def test_the_distribution_of_the_latents_is_recovered(kind):
    latents, drawn = bent(), fitted_to_bent(kind).draw_latents(2000, seed=1)
    assert drawn.shape == (2000, 2) and drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), latents.mean(axis=0), atol=0.4)
    np.testing.assert_allclose(drawn.std(axis=0), latents.std(axis=0), rtol=0.4)
    distance = energy_distance(bent(seed=2), drawn)
    assert (distance < 0.12) == (kind != "normal"), distance


@pytest.mark.one_backend
def test_a_mixture_finds_clouds_shares_and_covariances():
    latents, which = three_clouds()
    model = fitted("mixture", latents, components=3)
    drawn = model.draw_latents(30_000, seed=1)
    distances = np.linalg.norm(drawn[:, None] - MEANS, axis=-1)
    assert distances.min(axis=1).max() < 3
    labels = distances.argmin(axis=1)
    shares = np.bincount(labels) / 30_000
    assert shares == pytest.approx(np.full(3, 1 / 3), abs=0.01)
    for i in range(3):
        want = np.cov(latents[which == i].T) + 0.01 * np.eye(2)
        np.testing.assert_allclose(np.cov(drawn[labels == i].T), want, atol=0.02)


def test_latents_are_draws_of_the_posterior():
    """A wide posterior widens them, and by the same numbers on each backend."""
    latents, _ = three_clouds()
    narrow, wide = (fitted("normal", latents, scale) for scale in (1e-3, 2.0))
    covariances = [np.cov(m.draw_latents(20_000, seed=1).T) for m in (narrow, wide)]
    added = covariances[1] - covariances[0]
    np.testing.assert_allclose(added, 4 * np.eye(2), atol=0.5)
    noise = np.random.default_rng(0).standard_normal((1500, 2), "float32")
    mean = ops.convert_to_numpy(wide.sampler.mean)
    np.testing.assert_allclose(mean, (latents + 2 * noise).mean(axis=0), atol=1e-4)


@pytest.mark.one_backend
@pytest.mark.parametrize("name", ["aae", "bigan"])
def test_codes_without_a_posterior_are_what_is_fitted_to(name):
    model = MAKE[name]()
    images, _ = batch(model)
    model.fit_sampler("normal", images)
    codes = model.encode(images)
    drawn = model.draw_latents(20_000, seed=0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T, ddof=0), atol=0.03)


@pytest.mark.parametrize("name", ["vae", "vaegan"])
def test_a_draw_of_the_posterior_is_mean_and_noise(name):
    model = MAKE[name]()
    images, _ = batch(model)
    for noise in (np.zeros((24, 2)), wave((24, 2))):
        drawn = model._run(model.posterior_batch, images, np.float32(noise))
        expected = model.encode(images) + np.exp(-1) * noise  # as every one starts
        np.testing.assert_allclose(drawn, expected, atol=1e-5)


@pytest.mark.one_backend
@pytest.mark.parametrize("kind", ["flow", "two_stage"])
def test_a_fit_depends_on_its_own_seed_alone(kind):
    fits = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 3)):
        keras.utils.set_random_seed(global_seed)
        fits.append(weights(samplers.fit(kind, bent(), seed, **TINY[kind])))
    for a, b in zip(*fits[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(fits[0][-2], fits[2][-2])


def weights(layer):
    return [np.array(ops.convert_to_numpy(v)) for v in layer.weights]


def test_the_second_stage_draws_with_the_noise_of_its_decoder():
    stage = samplers.SecondStage(widths=(4,)).connect(2)
    stage.log_gamma.assign(np.log(0.5))
    normal = np.zeros((2000, stage.size), "float32")
    normal[:, 2:] = np.random.default_rng(0).normal(size=(2000, 2))
    drawn = ops.convert_to_numpy(stage(ops.convert_to_tensor(normal)))
    np.testing.assert_allclose(np.cov(drawn.T), 0.25 * np.eye(2), atol=0.02)


@pytest.mark.parametrize(
    "name, kind", [*(("vae", kind) for kind in samplers.KINDS), ("cvae", "normal")]
)
def test_a_saved_model_draws_the_same_images(name, kind, tmp_path):
    model = compiled(MAKE[name])
    images, labels = batch(model)
    plain = model.sample(4, seed=0)
    model.fit_sampler(kind, images, labels, **TINY[kind])
    drawn = model.sample(4, seed=0)
    assert not np.allclose(plain, drawn)
    np.testing.assert_array_equal(drawn, model.sample(4, seed=0))
    assert not np.array_equal(drawn, model.sample(4, seed=1))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(drawn, again.sample(4, seed=0))
    assert again.get_config() == model.get_config()
    assert_same_state(model, again)


@pytest.mark.parametrize(
    "name, kind", [("aae", "mixture"), ("cvae", "two_stage"), ("vae", "flow")]
)
def test_training_goes_on_as_if_there_were_no_sampler(name, kind, tmp_path):
    model, plain = compiled(MAKE[name]), compiled(MAKE[name])
    for each in model, plain:
        fit(each)
    images, labels = batch(model)
    model.fit_sampler(kind, images, labels, **TINY[kind])
    before = weights(model.sampler)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert fit(model) == fit(plain) == fit(again)
    assert_same_state(model, again)
    for a, b in zip(before, weights(model.sampler), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit_sampler(None)
    assert_same_state(model, plain)


@pytest.mark.one_backend
def test_a_sampler_is_replaced_and_left():
    model = compiled(MAKE["vae"])
    images, _ = batch(model)
    plain, count = model.sample(4, seed=0), len(model.variables)
    trained = len(model.trainable_variables)
    for kind in ("mixture", "two_stage", "normal"):
        model.fit_sampler(kind, images, **TINY[kind])
        assert len(model.variables) == count + len(model.sampler.variables)
        assert len(model.trainable_variables) == trained
        model.fit(images, epochs=1, verbose=0)
    model.trainable = False
    model.trainable = True
    assert len(model.trainable_variables) == trained
    model.compile()
    model.fit_sampler(None)
    assert model.sampler is None and len(model.variables) == count
    assert "sampler" not in model.get_config()
    model = compiled(MAKE["vae"])
    np.testing.assert_array_equal(plain, model.sample(4, seed=0))


def test_a_checkpoint_and_the_model_have_the_same_sampler(tmp_path):
    def run(model, **arguments):
        saving = Checkpoint(tmp_path / "run.keras", **arguments)
        model.fit(images, epochs=2, batch_size=8, verbose=0, callbacks=[saving])

    model = compiled(MAKE["vae"])
    images, _ = batch(model)
    model.fit_sampler("mixture", images, components=2)
    run(model)
    expected = r"sampler=Sampler\(.*'mixture'.* instead of None"
    with pytest.raises(ValueError, match=expected):
        run(compiled(MAKE["vae"]), resume=True)
    again = compiled(MAKE["vae"])
    again.fit_sampler("mixture", images[::-1], components=2, seed=1)
    run(again, resume=True)
    assert_same_state(model, again)


def test_truncation_does_not_choose_components():
    model = fitted("mixture", three_clouds()[0], components=3)
    drawn = model.draw_latents(600, seed=0, truncation=0.1)
    labels = np.linalg.norm(drawn[:, None] - MEANS, axis=-1).argmin(axis=1)
    assert np.bincount(labels, minlength=3).min() > 120
    assert max(drawn[labels == i].std(axis=0).max() for i in range(3)) < 0.1


def test_pictures_and_scores_are_of_the_sampler(tmp_path):
    model = compiled(lambda: VAE((8, 8, 1), 2, DENSE))
    images, _ = batch(model)
    model.fit_sampler("mixture", images, components=2)
    grid = SampleGrid(tmp_path, rows=1, columns=4)
    model.fit(images, epochs=1, verbose=0, callbacks=[grid])
    np.testing.assert_array_equal(grid._inputs, model.draw_latents(4, seed=0))
    assert "loss" in model.evaluate(images, verbose=0, return_dict=True)
    report = kzoo.metrics.evaluate(
        model, images, metrics=["kernel_distance"], verbose=False
    )
    assert report.protocol["sampler"] == "mixture"


SERVE = """
import sys
sys.modules["keras"] = sys.modules["kzoo"] = None  # cannot be imported
import tensorflow as tf
for path in sys.argv[1:]:
    sample = tf.saved_model.load(path).signatures["sample"]
    draw = lambda seed: sample(num=tf.constant(2000), seed=tf.constant(seed, tf.int64))
    images = draw(5)["images"].numpy()
    assert (images == draw(5)["images"].numpy()).all()
    print(*images.reshape(2000, 2).mean(axis=0))
"""


@pytest.mark.full
def test_an_exported_model_draws_by_the_sampler(tmp_path, python):
    """On other backends one kind will do: TensorFlow loads the file, then writes."""
    plain = linear_vae().sample(2000, seed=0).reshape(2000, 2).mean(axis=0)
    kinds = samplers.KINDS if keras.backend.backend() == "tensorflow" else ["flow"]
    expected = []
    for kind in kinds:
        model = fitted_to_bent(kind)
        model.export(tmp_path / kind, verbose=False)
        expected.append(model.sample(2000, seed=0).reshape(2000, 2).mean(axis=0))
    shown = python("-c", SERVE, *(tmp_path / kind for kind in kinds)).stdout
    got = np.array([line.split() for line in shown.splitlines()], float)
    np.testing.assert_allclose(got, expected, atol=0.02)
    assert np.abs(expected - plain).max(axis=1).min() > 0.04


@pytest.mark.one_backend
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_fit_has_full_precision(policy):
    expected = weights(samplers.fit("two_stage", bent(), **TINY["two_stage"]))
    keras.config.set_dtype_policy(policy)
    try:
        got = weights(samplers.fit("two_stage", bent(), **TINY["two_stage"]))
    finally:
        keras.config.set_dtype_policy("float32")
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


IMAGES = np.zeros((5, 4, 4, 1), "float32")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"kind": "pixelcnn"}, "'flow', 'mixture', 'normal', 'two_stage'"),
        ({"images": IMAGES[:, :2]}, "images"),
        ({"images": None}, "images"),
        ({"images": IMAGES + 2}, "images"),
        ({"labels": np.arange(5)}, "labels"),
        ({"components": 6}, "components=6 for 5 images"),
        ({"components": 0}, "components"),
        ({"flows": 3}, "components"),
        ({"kind": "normal", "components": 3}, "no option"),
        ({"kind": "normal", "images": IMAGES[:1]}, "n >= 2"),
        ({"kind": "flow", "steps": 0}, "steps"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    model = MAKE["vae"]()
    with pytest.raises(ValueError, match=r"Expected|Received") as error:
        model.fit_sampler(**{"kind": "mixture", "images": IMAGES, **arguments})
    assert named in str(error.value)
    assert model.sampler is None


def test_a_model_of_classes_needs_labels_and_a_gan_has_no_latents_of_images():
    with pytest.raises(ValueError, match="labels"):
        MAKE["cvae"]().fit_sampler("normal", IMAGES)
    assert not hasattr(DCGAN, "fit_sampler")
