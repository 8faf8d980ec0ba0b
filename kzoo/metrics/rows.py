"""Each metric as rows of a report: a value, its error, and what it was measured on."""

import math

import numpy as np

from kzoo.metrics.classes import inception_score, mode_coverage
from kzoo.metrics.distances import frechet_distance, kernel_distance
from kzoo.metrics.neighbours import copying, nearest_distances, prdc
from kzoo.metrics.reconstruction import mean_squared_error, psnr, ssim

QUERIES = 1000  # how many samples look for their nearest training image
ELBO_SAMPLES = 10


def frechet_rows(real, fake):
    distance = frechet_distance(real.moments, fake.moments)
    return [_of_samples("frechet_distance", distance, real.count, fake.count)]


def kernel_rows(real, fake):
    counts = len(real.features), len(fake.features)
    size = min(1000, *counts)
    distance, error = kernel_distance(real.features, fake.features, subset_size=size)
    row = _of_samples("kernel_distance", distance, *counts)
    return [row | {"standard_error": error, "subsets": 100, "subset_size": size}]


def inception_rows(real, fake):
    n = len(fake.probabilities)
    score, spread = inception_score(fake.probabilities, splits=min(10, n))
    row = {"metric": "inception_score", "value": score, "standard_deviation": spread}
    return [row | {"generated": n, "splits": min(10, n)}]


def prdc_rows(real, fake):
    scores = prdc(real.features, fake.features, nearest_k=5)
    counts = len(real.features), len(fake.features)
    return [
        _of_samples(name, value, *counts) | {"nearest_k": 5}
        for name, value in scores.items()
    ]


def mode_rows(real, fake):
    classes = np.arange(len(fake.class_counts))
    modes, kl = mode_coverage(
        np.repeat(classes, fake.class_counts),
        len(classes),
        np.repeat(classes, real.class_counts),
    )
    return [
        _of_samples("modes", modes, real.count, fake.count) | {"of": len(classes)},
        _of_samples("mode_kl", kl, real.count, fake.count) | {"unit": "nats"},
    ]


def copying_rows(real, fake, train):
    """`train` is an iterable of batches of features of the training images."""
    queries = fake.features[:QUERIES], real.features[:QUERIES]
    nearest = nearest_distances(np.concatenate(queries), train)
    fakes, reals = np.split(nearest, [len(queries[0])])
    counts = len(reals), len(fakes)
    return [
        _of_samples("nearest_train_distance", fakes.mean(), *counts),
        _of_samples("nearest_train_distance_of_real", reals.mean(), *counts),
        _of_samples("copying", copying(fakes, reals), *counts),
    ]


def reconstruction_rows(model, evaluator):
    side = min(11, *model.image_shape[:2])
    window = side - (side % 2 == 0)
    errors = {"mse": [], "psnr": [], "ssim": []}
    for _, images, labels in evaluator.batches_for(model):
        outputs = np.clip(model.reconstruct(images, labels), 0, 1)
        errors["mse"].append(mean_squared_error(images, outputs))
        errors["psnr"].append(psnr(images, outputs))
        errors["ssim"].append(ssim(images, outputs, window))
    mse, decibels, similarity = (
        _of_images(name, np.concatenate(values)) for name, values in errors.items()
    )
    return [mse, decibels | {"unit": "dB"}, similarity | {"window": window}]


def elbo_rows(model, evaluator):
    parts = [
        model.elbo(images, ELBO_SAMPLES, labels, seed)
        for seed, images, labels in evaluator.batches_for(model)
    ]
    return [
        _nats(name, sign * np.concatenate([part[key] for part in parts]), model)
        | {"latents_an_image": ELBO_SAMPLES}
        for name, key, sign in (
            ("negative_elbo", "elbo", -1),
            ("negative_elbo_reconstruction", "reconstruction", 1),
            ("negative_elbo_kl", "kl", 1),
        )
    ]


def likelihood_rows(model, evaluator):
    import tqdm

    samples, bounds = evaluator.likelihood_samples, []
    with tqdm.tqdm(
        disable=not evaluator.verbose, desc="log-likelihood", unit="image"
    ) as bar:
        for seed, images, labels in evaluator.batches_for(model):
            bounds.append(model.log_likelihood(images, samples, labels, seed))
            bar.update(len(images))
    row = _nats("negative_log_likelihood", -np.concatenate(bounds), model)
    return [row | {"latents_an_image": samples}]


# Of two sets of features; and of a model and the evaluator that has the images.
OF_FEATURES = {
    "frechet_distance": frechet_rows,
    "kernel_distance": kernel_rows,
    "inception_score": inception_rows,
    "prdc": prdc_rows,
    "mode_coverage": mode_rows,
}
OF_AUTOENCODERS = {
    "reconstruction": reconstruction_rows,
    "elbo": elbo_rows,
    "log_likelihood": likelihood_rows,
}


def _of_samples(metric, value, real, generated):
    return {
        "metric": metric,
        "value": float(value),
        "real": real,
        "generated": generated,
    }


def _of_images(metric, values):
    return {
        "metric": metric,
        "value": float(np.mean(values)),
        "standard_error": float(np.std(values) / np.sqrt(len(values))),
        "real": len(values),
    }


def _nats(metric, values, model):
    bits = float(np.mean(values)) / math.prod(model.image_shape) / math.log(2)
    pixels = "binarised" if model.likelihood.binarize else "grey"
    unit = {"unit": "nats", "bits_per_dim": bits, "pixels": pixels}
    return _of_images(metric, values) | unit
