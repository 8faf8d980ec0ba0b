"""Scores a model, and keeps beside each number how it was measured."""

from importlib.metadata import version

import keras
import numpy as np

from kzoo import checks, media
from kzoo.metrics.features import Extractor, FeatureSet
from kzoo.metrics.report import Report
from kzoo.metrics.rows import OF_AUTOENCODERS, OF_FEATURES, copying_rows

BATCH = 250
METRICS = (*OF_FEATURES, "copying", *OF_AUTOENCODERS)


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
        self.metrics = None if metrics is None else tuple(metrics)
        self.num_samples = num_samples
        if num_samples is not None:
            checks.positive_int("num_samples", num_samples)
        self.likelihood_samples = checks.positive_int(
            "likelihood_samples", likelihood_samples
        )
        self.seed = checks.whole_number("seed", seed)
        self.dataset, self.split = dataset, split
        self.verbose = verbose
        first, _ = next(batches(images, labels))
        self.extractor = Extractor(features, np.shape(first)[1:])
        self._check_enough(first)
        self._real = None

    def __call__(self, model):
        """The `Report` of a model, or of an array of generated images."""
        chosen = self._chosen(model)
        report = Report(self._protocol(model), [])
        if set(chosen) - set(OF_AUTOENCODERS):
            real = self.real  # first, as its progress bar ends before the other's
            fake = self._features(self._generated(model), "generated images")
        for name in METRICS:
            if name not in chosen:
                continue
            if name in OF_FEATURES:
                report.results += OF_FEATURES[name](real, fake)
            elif name == "copying":
                report.results += copying_rows(real, fake, self._train_features())
            else:
                report.results += OF_AUTOENCODERS[name](model, self)
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

    @property
    def _wants_distance(self):
        return self.metrics is None or "frechet_distance" in self.metrics

    def _check_enough(self, first):
        if not self._wants_distance:
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
            "ema": getattr(model, "ema", None) is not None,
            "sampler": getattr(getattr(model, "sampler", None), "kind", "prior"),
            "backend": keras.backend.backend(),
            "kzoo": version("kzoo"),
        }

    def _features(self, image_batches, what):
        import tqdm

        features = FeatureSet(self.seed, moments=self._wants_distance)
        with tqdm.tqdm(disable=not self.verbose, desc=what, unit="image") as bar:
            for images in image_batches:
                features.update(*self.extractor(images))
                bar.update(len(images))
        return features.trim()

    def _train_features(self):
        return (self.extractor(images)[0] for images, _ in batches(self.train_images))

    def batches_for(self, model):
        """`(seed, images, labels)`: a seed a batch, so that no two share noise."""
        for i, (images, labels) in enumerate(batches(self.images, self.labels)):
            sequence = np.random.SeedSequence([self.seed, i, 1])
            seed = int(sequence.generate_state(1)[0])
            yield seed, images, labels if model.num_classes else None

    def _generated(self, model):
        if not hasattr(model, "sample"):
            yield from (images for images, _ in batches(model))
            return
        total = self.num_samples or self.real.count
        for i, start in enumerate(range(0, total, BATCH)):
            seed = int(np.random.SeedSequence([self.seed, i]).generate_state(1)[0])
            yield model.sample(min(BATCH, total - start), seed=seed)


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
        batch_images, batch_labels = media.split_batch(batch)
        yield (
            checks.to_numpy(batch_images),
            (None if batch_labels is None else checks.to_numpy(batch_labels)),
        )


def _name(model):
    return "images" if hasattr(model, "shape") else checks.title(model)
