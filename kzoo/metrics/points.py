"""Scores of two-dimensional points drawn from mixtures of Gaussians."""

import numpy as np

from kzoo import checks


def gaussian_modes(points, centres, scale):
    """Modes covered by points, and the share of them that is near one.

    The protocol of VEEGAN (arXiv:1705.07761, section 4.1): a point is good if it is
    within three standard deviations of a centre, and a mode is covered if it is the
    nearest one of a good point.

    Args:
        points: `(n, 2)`.
        centres: `(modes, 2)`.
        scale: standard deviation of each mode.

    Returns:
        `(modes, good)`: how many are covered, and the share of good points.
    """
    points = checks.features("points", points, rows=1)
    centres = checks.features("centres", centres, rows=1)
    checks.same_features(points, centres)
    checks.number("scale", scale, above=0)
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    good = distances.min(axis=1) <= 3 * scale
    return len(np.unique(distances[good].argmin(axis=1))), float(good.mean())
