"""Autoregressive flows, by maximum likelihood."""

from kzoo import checks
from kzoo.parts.priors import AutoregressiveFlow
from kzoo.samplers.training import train


def fit_flow(rows, seed, flows=5, widths=(128,), steps=5000):
    """Maximum likelihood of `flows` masked autoregressive flows.

    Args:
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number.
        flows: how many.
        widths: layer widths of each flow's network.
        steps: of Adam, with 256 rows each.
    """
    checks.positive_int("steps", steps)
    flow = AutoregressiveFlow(flows, widths).connect(rows.shape[1])
    train([flow], lambda rows, _: -flow.log_density(rows), rows, seed, steps)
    return flow
