"""Scoring models: features, reports, the callback and the command line."""

import json

import keras
import numpy as np
import pytest
from conformance import compiled
from conftest import wave
from keras import layers
from test_data import real, session_cache  # noqa: F401

import kzoo
from kzoo.callbacks import Checkpoint, Evaluate
from kzoo.metrics import Evaluator, Extractor, evaluate, frechet_distance
from kzoo.metrics.classifiers import (
    FOLDER,
    build_classifier,
    load_classifier,
    save_classifier,
)
from kzoo.metrics.features import FeatureSet
from kzoo.models import DCGAN, GAN, VAE
from kzoo.networks import MLPEncoderDecoder, MLPNetworks
from kzoo.parts import Bernoulli

TRAIN, TRAIN_LABELS = kzoo.data.load("digits")
TEST, TEST_LABELS = kzoo.data.load("digits", "test")
PROTOCOL = {"model", "dataset", "split", "features", "seed", "batch_norm", "ema"}
PROTOCOL |= {"backend", "kzoo", "metric", "value"}


def small_vae(**arguments):
    return VAE((8, 8, 1), 2, MLPEncoderDecoder((8,)), **arguments)


def small_gan():
    return GAN((8, 8, 1), 4, MLPNetworks((8,)))


def classifier(shape=(8, 8, 1)):
    keras.utils.set_random_seed(1)
    return build_classifier(shape, 10, (4, 8))


@pytest.mark.one_backend
def test_every_metric_is_reported_with_its_protocol(tmp_path):
    path = tmp_path / "scores.json"
    report = evaluate(
        small_vae(),
        TEST,
        path=path,
        features=classifier(),
        metrics=kzoo.metrics.METRICS,
        train_images=TRAIN,
        num_samples=120,
        likelihood_samples=20,
        seed=3,
        dataset="digits",
        split="test",
        verbose=False,
    )
    results = json.loads(path.read_text())["results"]
    assert {row["metric"]: row["value"] for row in results} == report.scores()
    expected = "frechet_distance kernel_distance inception_score precision recall "
    expected += "density coverage modes mode_kl nearest_train_distance "
    expected += "nearest_train_distance_of_real copying mse psnr ssim negative_elbo "
    expected += "negative_elbo_reconstruction negative_elbo_kl negative_log_likelihood"
    assert list(report.scores()) == expected.split()
    for row in results:
        assert set(row) >= PROTOCOL and np.isfinite(row["value"]), row
        assert row["seed"] == 3 and row["split"] == "test"
        assert row["backend"] == keras.backend.backend()
        assert row.get("real", 297) in (297, 250) and row.get("generated", 120) == 120
    table = str(report)
    assert all(name in table for name in report.scores())


@pytest.mark.one_backend
def test_a_report_names_the_model_and_what_its_likelihood_scores():
    binarised = small_vae(likelihood=Bernoulli(binarize=True))
    for model, pixels in ((binarised, "binarised"), (small_vae(), "grey")):
        report = evaluate(model, TEST[:32], metrics=["elbo"], verbose=False)
        assert report.protocol["model"] == "VAE"
        assert {row["pixels"] for row in report.results} == {pixels}
    gan = DCGAN((8, 8, 1), 4, MLPNetworks((8,)))
    for model, name in ((gan, "DCGAN"), (TEST[:32] / 255, "images")):
        report = evaluate(model, TEST[:32], metrics=["prdc"], verbose=False)
        assert report.protocol["model"] == name


def test_scores_are_those_of_the_plain_functions_and_repeat():
    model, flat = small_vae(), TEST.reshape(len(TEST), -1) / 255
    evaluator = Evaluator(TEST, metrics=["frechet_distance"], verbose=False)
    report = evaluator(model)
    assert report.scores() == evaluator(model).scores()
    assert report.scores() != Evaluator(TEST, verbose=False, seed=1)(model).scores()
    samples = model.sample(400, seed=5)
    by_hand = frechet_distance(flat, samples.reshape(400, -1))
    assert evaluator(samples)["frechet_distance"] == pytest.approx(by_hand, rel=1e-4)


def test_data_sets_of_batches_give_the_scores_of_arrays():
    model = compiled(lambda: small_vae(num_classes=10))
    batches = [(TEST[i : i + 64], TEST_LABELS[i : i + 64]) for i in range(0, 297, 64)]
    metrics = ["frechet_distance", "reconstruction"]
    a = Evaluator(TEST, TEST_LABELS, metrics=metrics, verbose=False)(model)
    b = Evaluator(batches, metrics=metrics, verbose=False)(model)
    assert a.scores() == pytest.approx(b.scores(), rel=1e-4)


def test_reconstruction_and_elbo_are_those_of_the_model():
    model = compiled(small_vae)
    model.fit(TRAIN, epochs=2, verbose=0)
    report = evaluate(model, TEST, metrics=["reconstruction", "elbo"], verbose=False)
    outputs = model.reconstruct(TEST)
    assert report["mse"] == pytest.approx(
        np.mean((TEST / 255 - outputs) ** 2), rel=1e-4
    )
    logged = model.evaluate(TEST, verbose=0, return_dict=True)
    assert report["negative_elbo"] == pytest.approx(logged["loss"], rel=0.01)
    assert report["negative_elbo"] == pytest.approx(
        report["negative_elbo_reconstruction"] + report["negative_elbo_kl"]
    )


@pytest.mark.one_backend
def test_a_gan_has_no_reconstructions_and_pixels_no_classes():
    report = evaluate(small_gan(), TEST, verbose=False)
    assert set(report.scores()) == {
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
    }


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "images, options, named",
    [
        (TEST, {"metrics": ["fid"]}, "'frechet_distance'"),
        (TEST, {"metrics": ["inception_score"]}, "features with classes"),
        (TEST, {"metrics": ["copying"]}, "train_images"),
        (TEST, {"metrics": ["log_likelihood"]}, "a likelihood"),
        (TEST, {"features": "mnist-v2"}, "'pixels'"),
        (TEST, {"features": "fashion-v1"}, "(8, 8, 1)"),
        (TEST, {"num_samples": 0}, "num_samples"),
        (TEST, {"num_samples": 64}, "64"),
        (TEST[:64], {}, "more than 64"),
        (TEST[..., 0], {}, "shape"),
        (np.full((99, 8, 8, 1), np.nan), {}, "NaN"),
        (TEST.astype("float32"), {}, "[0, 1]"),
        (TEST.repeat(2, axis=1), {}, "latents|shape"),
    ],
)
def test_bad_input_is_refused(images, options, named):
    model = small_gan()
    with pytest.raises(ValueError) as error:
        evaluate(model, images, verbose=False, **options)
    assert any(name in str(error.value) for name in named.split("|"))


def test_features_of_your_own_model():
    images = keras.Input((8, 8, 1))
    flat = keras.Model(images, layers.Flatten()(images))
    got, probabilities = Extractor(flat, (8, 8, 1))(TEST[:5])
    np.testing.assert_allclose(got, TEST[:5].reshape(5, -1) / np.float32(255))
    assert probabilities is None
    _, probabilities = Extractor(classifier(), (8, 8, 1))(TEST[:5])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    with pytest.raises(ValueError, match="pooling"):
        Extractor(keras.Model(images, images * 2), (8, 8, 1))


def test_a_classifier_is_what_it_was_after_saving(tmp_path):
    model = classifier()
    save_classifier(tmp_path / "own.npz", model, (4, 8))
    loaded = load_classifier(tmp_path / "own.npz")
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "own.npz").read_bytes()[:400])
    with pytest.raises(ValueError, match=r"damaged.npz"):
        load_classifier(tmp_path / "damaged.npz")
    for before, after in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-3)
    features, _ = Extractor(str(tmp_path / "own.npz"), (8, 8, 1))(TEST[:3])
    assert features.shape == (3, 8)


# Features of the same images on every backend: their mean and their spread.
SHIPPED = {
    "mnist-v1": ((28, 28, 1), 2.3669095, 3.0286624),
    "fashion-v1": ((28, 28, 1), 0.6709708, 0.7021126),
    "cifar10-v1": ((32, 32, 3), 0.1380541, 0.22965577),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_features_are_the_same_on_every_backend(name):
    shape, mean, spread = SHIPPED[name]
    assert (FOLDER / f"{name}.npz").stat().st_size <= 1e6
    features, probabilities = Extractor(name, shape)(0.5 + 0.5 * wave((4, *shape)))
    got = features.mean(), features.std()
    assert got == pytest.approx((mean, spread), rel=1e-3), got
    assert probabilities.shape == (4, 10)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "name, dataset, accuracy",
    [
        ("mnist-v1", "mnist", 0.985),
        ("fashion-v1", "fashion_mnist", 0.89),
        ("cifar10-v1", "cifar10", 0.82),
        ("stacked-mnist-v1", "stacked_mnist", 0.96),
    ],
)
def test_shipped_classifiers_know_their_set(real, name, dataset, accuracy):  # noqa: F811
    images, labels = real(dataset, "test", limit=500)
    assert kzoo.metrics.features_for(dataset) == name
    _, probabilities = Extractor(name, images.shape[1:])(images)
    assert np.mean(probabilities.argmax(axis=1) == labels) >= accuracy


@pytest.mark.one_backend
def test_inception_is_fetched_or_says_what_else_there_is(monkeypatch):
    original = keras.applications.InceptionV3
    monkeypatch.setattr(
        keras.applications,
        "InceptionV3",
        lambda **arguments: original(weights=None, **arguments),
    )
    extractor = Extractor("inception", (8, 8, 1))
    assert extractor.has_classes and extractor.name == "inception"

    def offline(**arguments):
        raise Exception("no network")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(ConnectionError, match="'mnist-v1'"):
        Extractor("inception", (8, 8, 1))


@pytest.mark.one_backend
def test_memory_for_features_stays_the_same_and_every_row_has_a_chance(monkeypatch):
    monkeypatch.setattr(FeatureSet, "KEPT", 100)
    kept = FeatureSet(seed=0)
    rows = np.arange(10_000.0)[:, None]
    for batch in np.split(rows, 40):
        kept.update(batch, None)
    kept.trim()
    assert kept.features.shape == (100, 1) and kept.moments.count == 10_000
    assert len(np.unique(kept.features)) == 100
    assert 3500 < kept.features.mean() < 6500


@pytest.mark.one_backend
def test_no_covariance_is_kept_that_nobody_asked_for():
    photos = np.random.default_rng(0).random((12, 64, 64, 3), "float32")
    metrics = ["kernel_distance"]  # 12288 pixels: their covariance has 1.2 GB
    evaluator = Evaluator(photos, metrics=metrics, verbose=False)
    assert evaluator(photos[:6]).scores().keys() == {"kernel_distance"}
    assert evaluator.real.moments is None


@pytest.mark.one_backend
def test_kept_rows_do_not_stay_in_the_order_of_the_data():
    kept = FeatureSet(seed=0)
    probabilities = np.linspace([0.0, 1.0], [1.0, 0.0], 60)
    kept.update(np.arange(60.0)[:, None], probabilities)
    kept.trim()
    first = kept.features[:20, 0]  # of images sorted by class, not the first classes
    assert first.max() >= 40 and len(np.unique(kept.features)) == 60
    np.testing.assert_allclose(kept.probabilities[:, 0] * 59, kept.features[:, 0])


@pytest.mark.one_backend
def test_callback_writes_scores_and_leaves_training_alone(tmp_path):
    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(small_vae)
        return model, model.fit(
            TRAIN[:200], epochs=4, verbose=0, callbacks=callbacks
        ).history

    scores = Evaluate(TEST, every=2, folder=tmp_path, metrics=["elbo", "prdc"])
    model, history = fit(scores)
    _, without = fit()
    assert {name: history[name] for name in without} == without
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["epoch_0002.json", "epoch_0004.json"]
    report = evaluate(model, TEST, metrics=["elbo", "prdc"], verbose=False)
    last = {name: values[-1] for name, values in history.items() if len(values) == 2}
    assert last == pytest.approx(report.scores())


def test_scores_before_a_checkpoint_are_in_its_history(tmp_path):
    def fit(epochs, *callbacks, resume=False):
        model = compiled(small_vae)
        scores = Evaluate(TEST, metrics=["elbo"])
        checkpoint = Checkpoint(tmp_path / "run.keras", resume)
        callbacks = [scores, checkpoint]
        return model.fit(TRAIN[:99], epochs=epochs, verbose=0, callbacks=callbacks)

    first = fit(1).history
    both = fit(2, resume=True).history
    assert len(both["negative_elbo"]) == 2
    assert both["negative_elbo"][0] == first["negative_elbo"][0]


@pytest.mark.full
@pytest.mark.one_backend
def test_command_line_is_the_same_code(tmp_path, python):
    model = compiled(small_vae)
    model.save(tmp_path / "model.keras")
    result = python("-m", "kzoo", "evaluate", tmp_path / "model.keras", "--seed", 2)
    report = evaluate(
        model,
        TEST,
        train_images=TRAIN,
        dataset="digits",
        split="test",
        seed=2,
        verbose=False,
    )
    written = json.loads((tmp_path / "model.scores.json").read_text())["results"]
    got = {row["metric"]: row["value"] for row in written}
    assert got == pytest.approx(report.scores(), rel=1e-5)
    assert str(tmp_path / "model.scores.json") in result.stdout
    failed = python(
        "-m",
        "kzoo",
        "evaluate",
        tmp_path / "model.keras",
        "--metrics",
        "fid",
        check=False,
    )
    assert failed.returncode and "'frechet_distance'" in failed.stderr
