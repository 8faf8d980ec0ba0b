"""Samplers: densities fitted to the latents of a trained autoencoder, to draw from.

The latents of images are rarely distributed as the prior, and a decoder draws badly
from places where it has seen none. A sampler takes the prior's place in `sample`.

- `"normal"`: one normal density with all covariances.
- `"mixture"`: several of them, by scikit-learn's expectation maximisation (Ghosh et
  al., arXiv:1903.12436, section 4).
- `"flow"`: a masked autoregressive flow (Papamakarios et al., arXiv:1705.07057).
- `"two_stage"`: a second VAE, whose images are the latents (Dai and Wipf,
  arXiv:1903.05789).

All random numbers are NumPy's: a seed fits the same on each backend, up to rounding.
"""

import inspect

from kzoo import checks
from kzoo.samplers.flow import fit_flow
from kzoo.samplers.mixture import CorrelatedMixture, fit_mixture, fit_normal
from kzoo.samplers.sampler import Sampler
from kzoo.samplers.two_stage import SecondStage, fit_two_stage

__all__ = ["KINDS", "CorrelatedMixture", "Sampler", "SecondStage", "fit"]

KINDS = {
    "flow": fit_flow,
    "mixture": fit_mixture,
    "normal": fit_normal,
    "two_stage": fit_two_stage,
}


def fit(kind, latents, seed=0, **options):
    """A `Sampler` of the given kind, fitted to latents `(n, latent_dim)`.

    Args:
        kind: `"flow"`, `"mixture"`, `"normal"` or `"two_stage"`.
        latents: float array.
        seed: whole number.
        **options: those of `fit_flow`, `fit_mixture` or `fit_two_stage`.

    Raises:
        ValueError: for an unknown kind or option, fewer than two latents, latents that
            are not finite, or fewer of them than components.
    """
    fit_source = KINDS[checks.one_of("kind", kind, KINDS)]
    _, _, *known = inspect.signature(fit_source).parameters
    for option in options:
        checks.one_of(f"option of {kind!r}", option, known or ["no option"])
    latents = checks.features("latents", latents)
    checks.whole_number("seed", seed)
    mean, scale = latents.mean(axis=0), latents.std(axis=0) + 1e-6
    source = fit_source((latents - mean) / scale, seed, **options)
    sampler = Sampler(source, kind)
    sampler.mean.assign(mean)
    sampler.scale.assign(scale)
    return sampler
