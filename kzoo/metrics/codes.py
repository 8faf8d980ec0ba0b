"""How disentangled codes are: whether each factor of the images has a code of its own.

Codes are `(n, d)`, what an encoder makes of `n` images, d >= 2: posterior means of a
VAE. Factors are `(n, k)`, whole numbers, k >= 2: what the images were drawn from. The
protocols are those of Locatello et al., arXiv:1811.12359, and their disentanglement_lib
except where a docstring says otherwise. They draw images as they need them; here all
come from the n rows, which should hold the factors in independent combinations.
"""

import numpy as np

from kzoo import checks


def mutual_information_gap(codes, factors, bins=20):
    """MIG: how much more the best code knows of a factor than the second best.

    Mean over factors of (I(best; factor) - I(second; factor)) / H(factor). Chen et al.,
    arXiv:1802.04942, section 4.1, with I from counts: each code in bins of equal width
    between its least and its largest value.

    Args:
        codes, factors: `(n, d)` and `(n, k)`, as the module says.
        bins: how many a code is cut into. A factor with more values cannot reach 1.

    Returns:
        A float from 0, where two codes know as much or none knows anything, to 1.

    Raises:
        ValueError: for other ranks, NaN, other numbers of rows, factors that are no
            whole numbers or do not vary.
    """
    from sklearn.metrics import mutual_info_score

    codes, factors = _checked(codes, factors)
    checks.positive_int("bins", bins)
    codes = codes - codes.min(axis=0)
    codes = codes * (bins / _or_one(codes.max(axis=0)))
    binned = np.minimum(codes.astype(int), bins - 1).T
    information = [[mutual_info_score(f, code) for f in factors.T] for code in binned]
    entropies = [mutual_info_score(f, f) for f in factors.T]
    return float(np.mean(_gaps(information) / entropies))


def dci(codes, factors, rows=6000, seed=0):
    """Disentanglement, completeness and informativeness: of trees that name the factor.

    Eastwood and Williams, ICLR 2018 (openreview.net/forum?id=By-7dz-AZ). For each
    factor, gradient boosted trees with scikit-learn's default values (100 rounds, depth
    3) learn its value from the codes; how much they use each code is a matrix (d, k).

    Args:
        codes, factors: `(n, d)` and `(n, k)`, as the module says.
        rows: at most so many are drawn: two thirds to learn from, the others to test.
            Time grows with it and with the number of values: Locatello et al. take
            15,000; 6000 of the sprites' need half a minute.
        seed: whole number, of the rows and the trees.

    Returns:
        A dict of floats from 0 to 1. `"disentanglement"`: 1 if each code serves one
        factor; 1 minus the entropy, base k, of what a code is used for, weighted by how
        much it is used. `"completeness"`: 1 if each factor is in one code; the same for
        the codes that serve a factor, base d, averaged over factors.
        `"informativeness"`: share of test rows whose factor is told, mean over factors;
        chance is 1 / (number of values).

    Raises:
        ValueError: as `mutual_information_gap`.
    """
    import scipy.stats
    from sklearn.ensemble import GradientBoostingClassifier

    codes, factors = _checked(codes, factors)
    checks.whole_number("seed", seed)
    train, test = _split(len(codes), rows, seed)
    use, told = [], []
    for factor in factors.T:
        trees = GradientBoostingClassifier(random_state=seed)
        trees.fit(codes[train], factor[train])
        use.append(trees.feature_importances_)
        told.append(trees.score(codes[test], factor[test]))
    use = np.maximum(use, 0).T + 1e-11  # what is not used at all has no entropy
    by_code = 1 - scipy.stats.entropy(use, base=use.shape[1], axis=1)
    by_factor = 1 - scipy.stats.entropy(use, base=len(use), axis=0)
    return {
        "disentanglement": float(np.average(by_code, weights=use.sum(axis=1))),
        "completeness": float(np.mean(by_factor)),
        "informativeness": float(np.mean(told)),
    }


def sap(codes, factors, continuous=False, rows=15_000, seed=0):
    """Separated attribute predictability: how far the best code leads the second best.

    Kumar et al., arXiv:1711.00848, section 3: mean over factors of the difference
    between the two best scores that a single code has. The score of a code is the share
    of test rows whose factor a linear support vector machine tells from that code alone
    (C = 0.01, classes weighted equally). Codes are scaled to variance 1 first,
    which Locatello et al. do not, so that their scale does not matter.

    Args:
        codes, factors: `(n, d)` and `(n, k)`, as the module says.
        continuous: whether factors are amounts, not classes: then the score is the
            squared correlation of code and factor over all rows.
        rows: at most so many are drawn: two thirds to learn from, the others to test.
        seed: whole number, of the rows.

    Returns:
        A float from 0 to 1. Machines of one line each cannot cut a code into many
        classes: the factors of the default sprites themselves score 0.37. Compare it on
        the same factors only.

    Raises:
        ValueError: as `mutual_information_gap`.
    """
    from sklearn.svm import LinearSVC

    codes, factors = _checked(codes, factors)
    checks.whole_number("seed", seed)
    codes = _standardised(codes)
    if continuous:
        scores = np.square(codes.T @ _standardised(factors) / len(codes))
        return float(np.mean(_gaps(scores)))
    train, test = _split(len(codes), rows, seed)
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    for i, j in np.ndindex(scores.shape):
        code, factor = codes[:, i : i + 1], factors[:, j]
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
        machine.fit(code[train], factor[train])
        scores[i, j] = machine.score(code[test], factor[test])
    return float(np.mean(_gaps(scores)))


def factor_vae_score(
    codes,
    factors,
    votes=10_000,
    test_votes=5000,
    batch_size=64,
    min_std=0.05,
    seed=0,
):
    """The FactorVAE score: is it the same code that stands still with a fixed factor?

    Kim and Mnih, arXiv:1802.05983, section 4: a vote draws a factor and a batch of rows
    that share its value; it goes to the code whose variance there, over that in all
    rows, is the least. Each code is taken for the factor that most of its votes came
    from, and other votes test that.

    Args:
        codes, factors: `(n, d)` and `(n, k)`, as the module says.
        votes, test_votes: to learn from and to test.
        batch_size: rows a vote, drawn with replacement.
        min_std: codes with a smaller standard deviation do not take part. It means a
            code that has collapsed to a prior of standard deviation 1.
        seed: whole number, of all that is drawn.

    Returns:
        A float, the share of test votes that are right: 1 at best, chance is about 1 /
        k. It is 0 if no code varies. Two codes of one factor do not lower it.

    Raises:
        ValueError: as `mutual_information_gap`.
    """
    codes, factors = _checked(codes, factors)
    for name, n in ("votes", votes), ("test_votes", test_votes):
        checks.positive_int(name, n)
    checks.whole_number("batch_size", batch_size, least=2)  # which have a variance
    checks.whole_number("seed", seed)
    active = codes.std(axis=0) >= checks.number("min_std", min_std, least=0)
    if not active.any():
        return 0.0
    rng, codes = np.random.default_rng(seed), _standardised(codes[:, active])
    counts, test_counts = (
        _votes(codes, factors, n, batch_size, rng) for n in (votes, test_votes)
    )
    right = test_counts[np.arange(len(counts)), counts.argmax(axis=1)]
    return float(right.sum() / test_votes)


def _votes(codes, factors, count, batch_size, rng):
    """How often each code varied least where each factor was fixed: `(d, k)`."""
    rows_of = [
        {value: np.flatnonzero(factor == value) for value in np.unique(factor)}
        for factor in factors.T
    ]
    counts = np.zeros((codes.shape[1], factors.shape[1]), int)
    for _ in range(count):
        j = rng.integers(factors.shape[1])
        alike = rows_of[j][factors[rng.integers(len(factors)), j]]
        batch = codes[rng.choice(alike, batch_size)]
        counts[batch.var(axis=0).argmin(), j] += 1
    return counts


def _gaps(table):
    """Best minus second best of each column."""
    ordered = np.sort(table, axis=0)
    return ordered[-1] - ordered[-2]


def _split(n, rows, seed):
    """Two thirds and one third of at most `rows` row numbers."""
    order = np.random.default_rng(seed).permutation(n)
    order = order[: checks.whole_number("rows", rows, least=3)]
    return np.split(order, [2 * len(order) // 3])


def _standardised(array):
    return (array - array.mean(axis=0)) / _or_one(array.std(axis=0))


def _or_one(scale):
    return np.where(scale > 0, scale, 1)


def _checked(codes, factors):
    codes = checks.features("codes", codes)
    factors = checks.to_numpy(factors)
    if factors.ndim != 2 or factors.dtype.kind not in "iu":
        raise ValueError(
            "Expected factors to be whole numbers of shape (n, k), one row an image. "
            f"Received: {checks.describe(factors)}."
        )
    if len(codes) != len(factors):
        raise ValueError(
            "Expected as many rows of codes as of factors. Received: "
            f"{len(codes)} and {len(factors)}."
        )
    if min(codes.shape[1], factors.shape[1]) < 2:
        raise ValueError(
            "Expected at least two codes and two factors, which are compared. "
            f"Received: {codes.shape[1]} and {factors.shape[1]}."
        )
    if (constant := np.flatnonzero(np.ptp(factors, axis=0) == 0)).size:
        raise ValueError(
            f"Expected factors that vary. Received: one value in column {constant[0]}. "
            "Leave the column out, or use more rows."
        )
    return codes, factors
