"""Scores of the classes that a classifier sees in generated images."""

import itertools

import numpy as np
import scipy.special

from kzoo import checks


def inception_score(probabilities, splits=10, from_logits=False, seed=2020):
    """Inception score: exp of the mean KL(p(class | image) || p(class)).

    Salimans et al., arXiv:1606.03498, section 4. From 1, where all images look alike or
    no class is clear, to the number of classes. The rows are shuffled, as
    torch-fidelity does by default, so that their order does not matter.

    Args:
        probabilities: `(n, classes)`, rows that sum to 1; or logits of them.
        splits: number of parts that are scored on their own.
        from_logits: whether `probabilities` holds logits.
        seed: whole number, of the shuffling.

    Returns:
        `(mean, standard deviation)` over the splits, floats.

    Raises:
        ValueError: for other ranks, rows that are no probabilities, NaN, or fewer rows
            than splits.
    """
    scores = checks.features("probabilities", probabilities)
    checks.whole_number("seed", seed)
    if from_logits:
        scores = scipy.special.softmax(scores, axis=1)
    elif scores.min() < 0 or not np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            "Expected probabilities: rows of numbers >= 0 that sum to 1. Received: "
            f"numbers from {scores.min():g} to {scores.max():g}. For logits, pass "
            "from_logits=True."
        )
    if checks.positive_int("splits", splits) > len(scores):
        raise ValueError(
            f"Expected splits from 1 to the number of images, {len(scores)}. "
            f"Received: splits={splits}."
        )
    scores = scores[np.random.RandomState(seed).permutation(len(scores))]
    edges = [i * len(scores) // splits for i in range(splits + 1)]
    parts = [scores[a:b] for a, b in itertools.pairwise(edges)]
    values = [np.exp(np.mean(_relative_entropy(p, p.mean(axis=0)))) for p in parts]
    return float(np.mean(values)), float(np.std(values))


def mode_coverage(fake, num_modes, real=None):
    """How many modes a set of samples covers, and how evenly.

    The protocol of VEEGAN (arXiv:1705.07761) and PacGAN (arXiv:1712.04086): a mode is
    covered if one sample is in it.

    Args:
        fake: `(n,)` whole numbers, the mode of each sample, as a classifier sees it.
        num_modes: how many there are.
        real: the same of real images; None means that all modes are equally common.

    Returns:
        `(modes, kl)`: how many are covered, and KL(fake || real) in nats, 0 for the
        same frequencies. It is infinite if samples are in modes that no real image is
        in.

    Raises:
        ValueError: for modes that are no whole numbers from 0 to `num_modes` - 1.
    """
    num_modes = checks.positive_int("num_modes", num_modes)
    counts = _mode_counts("fake", fake, num_modes)
    expected = (
        np.ones(num_modes) if real is None else _mode_counts("real", real, num_modes)
    )
    kl = _relative_entropy(counts / counts.sum(), expected / expected.sum())
    return int(np.count_nonzero(counts)), float(kl)


def _relative_entropy(p, q):
    return np.sum(scipy.special.rel_entr(p, q), axis=-1)


def _mode_counts(argument, modes, num_modes):
    modes = np.asarray(modes)
    if modes.ndim != 1 or not len(modes) or modes.dtype.kind not in "iu":
        raise ValueError(
            f"Expected {argument} to be whole numbers of shape (n,), the mode of each "
            f"image. Received: {checks.describe(modes)}."
        )
    if modes.min() < 0 or modes.max() >= num_modes:
        raise ValueError(
            f"Expected {argument} from 0 to {num_modes - 1}, as num_modes is "
            f"{num_modes}. Received: from {modes.min()} to {modes.max()}."
        )
    return np.bincount(modes, minlength=num_modes)
