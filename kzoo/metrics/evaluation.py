"""Scores a model, and keeps beside each number how it was measured."""

import dataclasses
import json
import math
import pathlib

import keras
import numpy as np
import tqdm

from kzoo import checks
from kzoo.files import replacing
from kzoo.metrics.classes import inception_score, mode_coverage
from kzoo.metrics.distances import frechet_distance, kernel_distance
from kzoo.metrics.features import Extractor, FeatureSet
from kzoo.metrics.neighbours import copying, nearest_distances, prdc
from kzoo.metrics.reconstruction import mean_squared_error, psnr, ssim

BATCH = 250
QUERIES = 1000  # how many samples look for their nearest training image
ELBO_SAMPLES = 10

SAMPLES = (
    "frechet_distance",
    "kernel_distance",
    "inception_score",
    "prdc",
    "mode_coverage",
    "copying",
)
IMAGES = ("reconstruction", "elbo", "log_likelihood")
METRICS = (*SAMPLES, *IMAGES)


def evaluate(model, images, labels=None, path=None, **options):
    """Scores a generative model on images that it was not trained on.

    Args:
        model: a kzoo model, or an array of generated images.
        images: real images `(n, height, width, channels)`, uint8 in [0, 255] or float
            in [0, 1]; or batches of them, or of `(images, labels)`, that can be
            iterated again.
        labels: `(n,)` integers, which a conditional autoencoder needs.
        path: where to write the report as JSON, or None.
        **options: those of `Evaluator`: features, metrics, seed and others.

    Returns:
        A `Report`: `print` it, or ask it for a number, `report["frechet_distance"]`.

    Example:

    >>> images, labels = kzoo.data.load("mnist", "test")
    >>> kzoo.metrics.evaluate(model, images, features="mnist-v1")["frechet_distance"]
    """
    report = Evaluator(images, labels, **options)(model)
    if path is not None:
        report.save(path)
    return report


class Evaluator:
    """Scores any number of models on the same images, whose features it keeps.

    Features are computed batch by batch: memory does not grow with the number of
    images. The Fréchet distance and the mode coverage use all; the other metrics of
    samples at most 10,000 real and 10,000 generated images, drawn at random; `copying`
    1000 of these.

    Args:
        images, labels: as in `evaluate`.
        features: what to compare, as in `Extractor`: `"pixels"`, `"mnist-v1"`,
            `"fashion-v1"`, `"cifar10-v1"`, `"inception"` or your own `keras.Model`.
        metrics: names among `METRICS`. None means all that apply but
            `"log_likelihood"`, which takes minutes.
        train_images: what the model was trained on, as `images`; `"copying"` needs it.
        num_samples: images to generate. Default: as many as there are real ones.
        likelihood_samples: latents an image for `"log_likelihood"`.
        seed: whole number, of all that is drawn: the same gives the same scores.
        dataset, split: names, which go into the protocol.
        verbose: whether to show progress bars.

    Raises:
        ValueError: for an unknown metric, one that does not apply, images that do not
            fit, or too few of them for the number of features.
    """

    def __init__(
        self,
        images,
        labels=None,
        features="pixels",
        metrics=None,
        train_images=None,
        num_samples=None,
        likelihood_samples=5000,
        seed=0,
        dataset=None,
        split=None,
        verbose=True,
    ):
        for metric in metrics or ():
            checks.one_of("metric", metric, METRICS)
        self.images, self.labels, self.train_images = images, labels, train_images
        self.metrics = metrics and tuple(metrics)
        self.num_samples = num_samples
        if num_samples is not None:
            checks.positive_int("num_samples", num_samples)
        self.likelihood_samples = likelihood_samples
        self.seed, self.dataset, self.split = seed, dataset, split
        self.verbose = verbose
        first, _ = next(batches(images, labels))
        self.extractor = Extractor(features, np.shape(first)[1:])
        self._check_enough(first)
        self._real = None

    def __call__(self, model):
        """The `Report` of a model, or of an array of generated images."""
        chosen = self._chosen(model)
        report = Report(self._protocol(model), [])
        if set(chosen) & set(SAMPLES):
            _ = self.real  # their progress bar comes first
            fake = self._features(self._generated(model), "generated images")
            for name in SAMPLES:
                if name in chosen:
                    report.results += getattr(self, f"_{name}")(fake)
        for name in IMAGES:
            if name in chosen:
                report.results += getattr(self, f"_{name}")(model)
        return report

    @property
    def real(self):
        if self._real is None:
            real = (images for images, _ in batches(self.images, self.labels))
            self._real = self._features(real, "real images")
        return self._real

    def _chosen(self, model):
        """The metrics to compute; raises for one that was asked for and cannot be."""
        lacking = {}
        if not self.extractor.has_classes:
            text = f"features with classes, not {self.extractor.name!r}"
            lacking |= {"inception_score": text, "mode_coverage": text}
        if self.train_images is None:
            lacking["copying"] = "train_images"
        if not hasattr(model, "reconstruct"):
            lacking["reconstruction"] = "a model with `reconstruct`"
        if not hasattr(model, "log_weights_batch"):
            text = "a model with a likelihood, such as a VAE"
            lacking |= {"elbo": text, "log_likelihood": text}
        if self.metrics is None:
            return [m for m in METRICS if m not in lacking and m != "log_likelihood"]
        for metric in self.metrics:
            if metric in lacking:
                raise ValueError(
                    f"Metric {metric!r} needs {lacking[metric]}. Received: "
                    f"{_name(model)}. Pass what it needs, or leave the metric out."
                )
        return self.metrics

    def _check_enough(self, first):
        if self.metrics and "frechet_distance" not in self.metrics:
            return
        size = self.extractor(first[:1])[0].shape[1]
        counts = [len(self.images)] if hasattr(self.images, "shape") else []
        counts += [self.num_samples] if self.num_samples else []
        if counts and min(counts) <= size:
            raise ValueError(
                f"The Fréchet distance of {self.extractor.name} features, {size} of "
                f"them, needs more than {size} real and generated images. Received: "
                f"{min(counts)}. Use more images, other features, or leave "
                "'frechet_distance' out of metrics."
            )

    def _protocol(self, model):
        return {
            "model": _name(model),
            "dataset": self.dataset,
            "split": self.split,
            "features": self.extractor.name,
            "seed": self.seed,
            "batch_norm": "inference",
            "ema": bool(getattr(model, "ema", False)),
            "backend": keras.backend.backend(),
            "kzoo": _version(),
        }

    def _features(self, image_batches, what):
        features = FeatureSet(self.seed)
        with tqdm.tqdm(disable=not self.verbose, desc=what, unit="image") as bar:
            for images in image_batches:
                features.update(*self.extractor(images))
                bar.update(len(images))
        return features.trim()

    def _generated(self, model):
        if not hasattr(model, "sample"):
            yield from (images for images, _ in batches(model))
            return
        total = self.num_samples or self.real.count
        for i, start in enumerate(range(0, total, BATCH)):
            seed = int(np.random.SeedSequence([self.seed, i]).generate_state(1)[0])
            yield model.sample(min(BATCH, total - start), seed=seed)

    def _frechet_distance(self, fake):
        distance = frechet_distance(self.real.moments, fake.moments)
        return [_of_samples("frechet_distance", distance, self.real.count, fake.count)]

    def _kernel_distance(self, fake):
        real, fake = self.real.features, fake.features
        size = min(1000, len(real), len(fake))
        distance, error = kernel_distance(real, fake, subset_size=size)
        row = _of_samples("kernel_distance", distance, len(real), len(fake))
        return [row | {"standard_error": error, "subsets": 100, "subset_size": size}]

    def _inception_score(self, fake):
        splits = min(10, len(fake.probabilities))
        score, spread = inception_score(fake.probabilities, splits)
        row = _of_samples("inception_score", score, 0, len(fake.probabilities))
        return [row | {"standard_deviation": spread, "splits": splits}]

    def _prdc(self, fake):
        real, fake = self.real.features, fake.features
        scores = prdc(real, fake, nearest_k=5)
        return [
            _of_samples(name, value, len(real), len(fake)) | {"nearest_k": 5}
            for name, value in scores.items()
        ]

    def _mode_coverage(self, fake):
        classes = np.arange(len(fake.class_counts))
        modes, kl = mode_coverage(
            np.repeat(classes, fake.class_counts),
            len(classes),
            np.repeat(classes, self.real.class_counts),
        )
        counts = self.real.count, fake.count
        return [
            _of_samples("modes", modes, *counts) | {"of": len(classes)},
            _of_samples("mode_kl", kl, *counts) | {"unit": "nats"},
        ]

    def _copying(self, fake):
        queries = fake.features[:QUERIES], self.real.features[:QUERIES]
        train = (self.extractor(images)[0] for images, _ in batches(self.train_images))
        nearest = nearest_distances(np.concatenate(queries), train)
        fakes, reals = np.split(nearest, [len(queries[0])])
        counts = len(reals), len(fakes)
        return [
            _of_samples("nearest_train_distance", fakes.mean(), *counts),
            _of_samples("nearest_train_distance_of_real", reals.mean(), *counts),
            _of_samples("copying", copying(fakes, reals), *counts),
        ]

    def _reconstruction(self, model):
        window = min(11, *self.extractor.image_shape[:2])
        window -= window % 2 == 0
        errors = {"mse": [], "psnr": [], "ssim": []}
        for images, labels in batches(self.images, self.labels):
            labels = labels if model.num_classes else None
            outputs = np.clip(model.reconstruct(images, labels), 0, 1)
            errors["mse"].append(mean_squared_error(images, outputs))
            errors["psnr"].append(psnr(images, outputs))
            errors["ssim"].append(ssim(images, outputs, window))
        mse, decibels, similarity = (
            _of_images(name, np.concatenate(values)) for name, values in errors.items()
        )
        return [mse, decibels | {"unit": "dB"}, similarity | {"window": window}]

    def _elbo(self, model):
        parts = [
            model.elbo(images, ELBO_SAMPLES, labels, seed)
            for seed, images, labels in self._seeded_batches(model)
        ]
        return [
            self._nats(name, np.concatenate([part[key] for part in parts]) * sign)
            | {"latents_an_image": ELBO_SAMPLES, "pixels": _pixels(model)}
            for name, key, sign in (
                ("negative_elbo", "elbo", -1),
                ("negative_elbo_reconstruction", "reconstruction", 1),
                ("negative_elbo_kl", "kl", 1),
            )
        ]

    def _log_likelihood(self, model):
        nats = []
        bar = tqdm.tqdm(disable=not self.verbose, desc="log-likelihood", unit="image")
        with bar:
            for seed, images, labels in self._seeded_batches(model):
                bounds = model.log_likelihood(
                    images, self.likelihood_samples, labels, seed
                )
                nats.append(-bounds)
                bar.update(len(images))
        row = self._nats("negative_log_likelihood", np.concatenate(nats))
        counts = {"latents_an_image": self.likelihood_samples}
        return [row | counts | {"pixels": _pixels(model)}]

    def _seeded_batches(self, model):
        """`(seed, images, labels)`: a seed a batch, so that no two share noise."""
        for i, (images, labels) in enumerate(batches(self.images, self.labels)):
            sequence = np.random.SeedSequence([self.seed, i, 1])
            seed = int(sequence.generate_state(1)[0])
            yield seed, images, labels if model.num_classes else None

    def _nats(self, name, values):
        dimensions = math.prod(self.extractor.image_shape)
        bits = float(np.mean(values)) / dimensions / math.log(2)
        return _of_images(name, values) | {"unit": "nats", "bits_per_dim": bits}


@dataclasses.dataclass
class Report:
    """Scores of one model: `report["frechet_distance"]`, `print(report)`.

    Attributes:
        protocol: how all of them were measured.
        results: one dict a score, with `metric`, `value`, and what is its own.
    """

    protocol: dict
    results: list

    def __getitem__(self, metric):
        for result in self.results:
            if result["metric"] == metric:
                return result["value"]
        raise KeyError(f"Expected one of {', '.join(self.scores())}. Got {metric!r}.")

    def scores(self):
        """`{metric: value}`."""
        return {result["metric"]: result["value"] for result in self.results}

    def save(self, path):
        """Writes `{"results": [...]}`, where each result has its whole protocol."""
        results = [self.protocol | result for result in self.results]
        results = [
            {k: None if v != v else v for k, v in result.items()} for result in results
        ]
        with replacing(pathlib.Path(path)) as partial:
            partial.write_text(json.dumps({"results": results}, indent=1))

    def __str__(self):
        shared = ", ".join(
            f"{key.replace('_', ' ')} {value}"
            for key, value in self.protocol.items()
            if value is not None
        )
        rows = [("metric", "value", "±", "protocol"), *map(_row, self.results)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
            f"{row[3]}".rstrip()
            for row in rows
        ]
        return "\n".join([shared, *lines])


def batches(images, labels=None):
    """`(images, labels or None)` a batch, of an array or of a data set's batches."""
    if hasattr(images, "shape"):
        for i in range(0, len(images), BATCH):
            part = slice(i, i + BATCH)
            yield (
                checks.to_numpy(images[part]),
                None if labels is None else labels[part],
            )
        return
    for batch in images:
        batch_images, batch_labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        yield (
            checks.to_numpy(batch_images),
            (None if batch_labels is None else checks.to_numpy(batch_labels)),
        )


def _of_samples(metric, value, real, generated):
    counts = {"real": real} if real else {}
    return {"metric": metric, "value": float(value), **counts, "generated": generated}


def _of_images(metric, values):
    error = float(np.std(values) / np.sqrt(len(values)))
    mean = float(np.mean(values))
    return {
        "metric": metric,
        "value": mean,
        "standard_error": error,
        "real": len(values),
    }


def _pixels(model):
    return "binarised" if model.binarize else "grey"


def _row(result):
    spread = result.get("standard_error", result.get("standard_deviation"))
    known = ("metric", "value", "standard_error", "standard_deviation")
    rest = {key: value for key, value in result.items() if key not in known}
    return (
        result["metric"],
        f"{result['value']:.4g}",
        "" if spread is None or spread != spread else f"{spread:.2g}",
        ", ".join(
            f"{key.replace('_', ' ')} {value:.4g}"
            if isinstance(value, float)
            else f"{key.replace('_', ' ')} {value}"
            for key, value in rest.items()
        ),
    )


def _name(model):
    return "images" if hasattr(model, "shape") else type(model).__name__


def _version():
    from importlib.metadata import version

    return version("kzoo")
