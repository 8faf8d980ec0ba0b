"""Scores an encoder on images whose factors are known, with the protocol."""

import pathlib
from importlib.metadata import version

import keras

from kzoo import checks
from kzoo.metrics.codes import dci, factor_vae_score, mutual_information_gap, sap
from kzoo.metrics.report import Report

DCI_ROWS, SAP_ROWS = 6000, 15_000


def disentanglement(
    model, images, factors, labels=None, seed=0, dataset=None, path=None
):
    """How disentangled the codes are that a model gives to images.

    The codes are what `model.encode` returns, the posterior means of a VAE. Takes about
    a minute for all sprites and 10 codes, nearly all of it for the trees of `dci`.

    Args:
        model: a kzoo model with `encode`, of at least two latents.
        images: `(n, height, width, channels)`, uint8 in [0, 255] or float in [0, 1]. By
            custom all images there are, also those that the model was trained on.
        factors: `(n, k)` whole numbers, what each image was drawn from.
        labels: `(n,)` integers, which a conditional model needs.
        seed: whole number, of all that is drawn: the same gives the same scores.
        dataset: a name, which goes into the protocol.
        path: where to write the report as JSON, or None.

    Returns:
        A `Report` of floats from 0 to 1, where 1 is best: `mig`, `sap`,
        `disentanglement`, `completeness`, `informativeness` and `factor_vae`.
        `kzoo.metrics.mutual_information_gap` and its like say what each means.

    Raises:
        TypeError: for a model without `encode`.
        ValueError: for images that do not fit, or factors that are no whole numbers,
            do not vary or are not as many as images.

    Example:

    >>> images, factors = kzoo.data.sprites()
    >>> kzoo.metrics.disentanglement(model, images, factors)["mig"]
    """
    checks.whole_number("seed", seed)
    if not hasattr(model, "encode"):
        raise TypeError(
            "disentanglement expected a model with `encode`, such as a VAE. Received: "
            f"{checks.title(model)}."
        )
    codes = model.encode(images, labels)
    protocol = {
        "model": checks.title(model),
        "dataset": dataset,
        "images": len(codes),
        "codes": codes.shape[1],
        "seed": seed,
        "backend": keras.backend.backend(),
        "kzoo": version("kzoo"),
    }
    report = Report(protocol, list(_rows(codes, factors, seed)))
    if path is not None:
        report.save(pathlib.Path(path))
    return report


def _rows(codes, factors, seed):
    gap = mutual_information_gap(codes, factors, bins=20)
    yield {"metric": "mig", "value": gap, "bins": 20}
    lead = sap(codes, factors, rows=SAP_ROWS, seed=seed)
    linear = {"classifier": "linear SVM", "rows": min(len(codes), SAP_ROWS)}
    yield {"metric": "sap", "value": lead, **linear}
    trees = {"classifier": "boosted trees", "rows": min(len(codes), DCI_ROWS)}
    for name, value in dci(codes, factors, DCI_ROWS, seed).items():
        yield {"metric": name, "value": value, **trees}
    votes = {"votes": 10_000, "test_votes": 5000, "batch_size": 64}
    score = factor_vae_score(codes, factors, **votes, seed=seed)
    yield {"metric": "factor_vae", "value": score, **votes}
