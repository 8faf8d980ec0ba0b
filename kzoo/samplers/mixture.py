"""Mixtures of normal densities with covariances, by expectation maximisation."""

import keras
import numpy as np
from keras import ops

from kzoo import checks
from kzoo.parts.priors import Prior, chosen_component


@keras.saving.register_keras_serializable("kzoo")
class CorrelatedMixture(Prior):
    """A mixture of normal densities, each with covariances of its own.

    Args:
        components: how many normal densities.
    """

    def __init__(self, components=10):
        super().__init__()
        self.components = checks.positive_int("components", components)

    def connect(self, latent_dim, model=None):
        self.latent_dim = latent_dim
        self.size = latent_dim + 1  # the last number chooses the component
        square = (self.components, latent_dim, latent_dim)
        self.weight = self.add_weight((self.components,), "ones", name="weight")
        self.means = self.add_weight(square[:2], "zeros", name="means")
        self.factors = self.add_weight(square, "zeros", name="factors")
        self.built = True
        return self

    def call(self, normal, labels=None):
        shares = self.weight / ops.sum(self.weight)
        normal, chosen = chosen_component(normal, shares)
        one_hot = ops.one_hot(chosen, self.components)  # (batch, components)
        # Only the chosen component's factor, (latents, numbers), is left in the sum.
        placed = one_hot[:, :, None] * normal[:, None, :]
        placed = ops.reshape(placed, (-1, self.components * self.latent_dim))
        factors = ops.transpose(self.factors, (0, 2, 1))
        factors = ops.reshape(factors, (-1, self.latent_dim))
        return ops.matmul(one_hot, self.means) + ops.matmul(placed, factors)


def fit_normal(rows, seed):
    """The normal density with the mean and covariance of the rows `(n, latent_dim)`."""
    return fit_mixture(rows, seed, components=1)


def fit_mixture(rows, seed, components=10):
    """Expectation maximisation by scikit-learn, from k-means.

    Args:
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number.
        components: how many normal densities.
    """
    from sklearn.mixture import GaussianMixture  # takes a second to import

    mixture = CorrelatedMixture(components)
    if len(rows) < max(2, components):
        raise ValueError(
            "Expected at least as many images as components. Received: "
            f"components={components!r} for {len(rows)} images. Use more images or "
            "fewer components."
        )
    found = GaussianMixture(components, random_state=seed).fit(rows)
    factors = np.linalg.cholesky(found.covariances_)
    mixture.connect(rows.shape[1])
    mixture.set_weights([found.weights_, found.means_, factors])
    return mixture
