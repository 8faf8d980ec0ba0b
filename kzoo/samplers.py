"""Samplers: densities fitted to the latents of a trained autoencoder, to draw from.

The latents of images are rarely spread as the prior says, and a decoder draws badly
from places where it has seen none. A sampler has the interface of a prior: a layer that
maps `(batch, size)` standard normal numbers to latents `(batch, latent_dim)`.

- `"normal"`: one normal density with all covariances.
- `"mixture"`: several of them, by scikit-learn's expectation maximisation (Ghosh et
  al., arXiv:1903.12436, section 4).
- `"flow"`: a masked autoregressive flow (Papamakarios et al., arXiv:1705.07057).
- `"two_stage"`: a second VAE, whose images are the latents (Dai and Wipf,
  arXiv:1903.05789).

All random numbers are NumPy's: a seed fits the same on each backend, up to rounding.
"""

import inspect

import keras
import numpy as np
from keras import layers, ops

from kzoo import checks, losses
from kzoo.priors import AutoregressiveFlow, chosen_component

BATCH = 256  # rows a step


@keras.saving.register_keras_serializable("kzoo")
class Sampler(layers.Layer):
    """Draws from `source` and undoes the standardising of the latents it was fitted to.

    It stays as it was fitted: `trainable` is always False, so that no further `fit` of
    the model moves it.

    Args:
        source: layer that maps `(batch, source.size)` standard normal numbers to
            `(batch, source.latent_dim)`.
        kind: what it is called.
    """

    def __init__(self, source, kind):
        super().__init__(dtype="float32", trainable=False)
        source.trainable = False
        self.source, self.size, self.kind = source, source.size, kind
        shape = (source.latent_dim,)
        self.mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape, "ones", trainable=False, name="scale")
        self.built = True

    @property
    def trainable(self):
        return False

    @trainable.setter
    def trainable(self, value):
        pass  # a model passes its own on to all its layers

    def call(self, normal):
        return self.mean + self.scale * self.source(normal)

    def get_config(self):
        source = keras.saving.serialize_keras_object(self.source)
        return {"source": source, "kind": self.kind}

    @classmethod
    def from_config(cls, config):
        source = keras.saving.deserialize_keras_object(config["source"])
        return cls(source, config["kind"])


@keras.saving.register_keras_serializable("kzoo")
class CorrelatedMixture(layers.Layer):
    """A mixture of normal densities, each with covariances of its own.

    Args:
        latent_dim: number of latents.
        components: how many normal densities.
    """

    def __init__(self, latent_dim, components=10):
        super().__init__(dtype="float32")
        self.latent_dim, self.components = latent_dim, components
        self.size = latent_dim + 1  # the last number chooses the component
        square = (components, latent_dim, latent_dim)
        self.weight = self.add_weight((components,), "ones", name="weight")
        self.means = self.add_weight((components, latent_dim), "zeros", name="means")
        self.factors = self.add_weight(square, "zeros", name="factors")
        self.built = True

    def call(self, normal):
        shares = self.weight / ops.sum(self.weight)
        normal, chosen = chosen_component(normal, shares)
        one_hot = ops.one_hot(chosen, self.components)  # (batch, components)
        # Only the chosen component's factor, (latents, numbers), is left in the sum.
        placed = one_hot[:, :, None] * normal[:, None, :]
        placed = ops.reshape(placed, (-1, self.components * self.latent_dim))
        factors = ops.transpose(self.factors, (0, 2, 1))
        factors = ops.reshape(factors, (-1, self.latent_dim))
        return ops.matmul(one_hot, self.means) + ops.matmul(placed, factors)

    def get_config(self):
        return {"latent_dim": self.latent_dim, "components": self.components}


@keras.saving.register_keras_serializable("kzoo")
class SecondStage(layers.Layer):
    """The decoder of a VAE of latents, with its noise: arXiv:1903.05789, section 4.

    Its standard deviation gamma is learned. The paper's starts at 1, which is that of
    standardised latents, where a decoder that ignores its input is at rest; here it
    starts at exp(-1).

    Args:
        latent_dim: number of latents, of both stages.
        widths: of the decoder's dense layers.
    """

    def __init__(self, latent_dim, widths=(256, 256)):
        super().__init__(dtype="float32")
        self.latent_dim, self.widths = latent_dim, tuple(widths)
        self.size = 2 * latent_dim  # the second half is the noise
        self.decoder = build_mlp(latent_dim, latent_dim, self.widths)
        start = keras.initializers.Constant(-1.0)
        self.log_gamma = self.add_weight((), start, name="log_gamma")
        self.built = True

    def call(self, normal):
        codes, noise = ops.split(normal, 2, axis=-1)
        return self.decoder(codes) + ops.exp(self.log_gamma) * noise

    def negative_elbo(self, encoder, rows, noise):
        """In nats, the mean over rows `(batch, latent_dim)`; noise alike."""
        mean, log_var = ops.split(encoder(rows), 2, axis=-1)
        decoded = self.decoder(mean + ops.exp(0.5 * log_var) * noise)
        evidence = losses.normal_log_density(rows, decoded, 2 * self.log_gamma)
        return ops.mean(losses.normal_kl(mean, log_var) - evidence)

    def get_config(self):
        return {"latent_dim": self.latent_dim, "widths": self.widths}


def build_mlp(inputs, outputs, widths):
    """Dense layers, of which the last also sees the inputs, as in the paper's code."""
    rows = x = keras.Input((inputs,))
    for width in widths:
        x = layers.Dense(width, activation="relu", dtype="float32")(x)
    x = layers.Concatenate(dtype="float32")([rows, x])
    return keras.Model(rows, layers.Dense(outputs, dtype="float32")(x))


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
    mean, scale = latents.mean(axis=0), latents.std(axis=0) + 1e-6
    source = fit_source((latents - mean) / scale, seed, **options)
    sampler = Sampler(source, kind)
    sampler.mean.assign(mean)
    sampler.scale.assign(scale)
    return sampler


def fit_normal(rows, seed):
    """The normal density with the mean and covariance of the rows `(n, latent_dim)`."""
    return fit_mixture(rows, seed, components=1)


def fit_mixture(rows, seed, components=10):
    """Expectation maximisation by scikit-learn, from k-means."""
    from sklearn.mixture import GaussianMixture

    checks.positive_int("components", components)
    if len(rows) < max(2, components):
        raise ValueError(
            "Expected at least as many images as components. Received: "
            f"components={components!r} for {len(rows)} images. Use more images or "
            "fewer components."
        )
    found = GaussianMixture(components, random_state=seed).fit(rows)
    mixture = CorrelatedMixture(rows.shape[1], components)
    factors = np.linalg.cholesky(found.covariances_)
    mixture.set_weights([found.weights_, found.means_, factors])
    return mixture


def fit_flow(rows, seed, flows=5, widths=(128,), steps=5000):
    """Maximum likelihood of `flows` masked autoregressive flows.

    Args:
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number.
        flows: how many.
        widths: layer widths of each flow's network.
        steps: of Adam, with 256 rows each.
    """
    checks.positive_int("flows", flows)
    flow = AutoregressiveFlow(rows.shape[1], flows, widths)
    train([flow], lambda rows, _: -ops.mean(flow.log_density(rows)), rows, seed, steps)
    return flow


def fit_two_stage(rows, seed, widths=(256, 256), steps=5000):
    """A VAE of the rows, of as many latents; its encoder is left behind.

    Args:
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number.
        widths: layer widths of its encoder and of its decoder.
        steps: of Adam, with 256 rows each.
    """
    latent_dim = rows.shape[1]
    stage = SecondStage(latent_dim, widths)
    encoder = build_mlp(latent_dim, 2 * latent_dim, widths)

    def loss(rows, noise):
        return stage.negative_elbo(encoder, rows, noise)

    train([stage, encoder], loss, rows, seed, steps)
    return stage


KINDS = {
    "flow": fit_flow,
    "mixture": fit_mixture,
    "normal": fit_normal,
    "two_stage": fit_two_stage,
}


def train(networks, loss, rows, seed, steps, rate=2e-3):
    """Minimises `loss(rows, noise)` over the networks by plain Keras; Adam, cosine."""
    checks.positive_int("steps", steps)
    trainer = Trainer(networks, loss)
    redraw(trainer, np.random.default_rng([seed, steps]))
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    trainer.compile(keras.optimizers.Adam(schedule))
    trainer.fit(Batches(rows, steps, seed), shuffle=False, verbose=0)


class Trainer(keras.Model):
    """A `keras.Model` of networks and of a function of a batch that is their loss."""

    def __init__(self, networks, loss):
        super().__init__(dtype="float32")
        self.networks, self.own_loss = networks, loss
        self.built = True

    def call(self, batch):
        return self.own_loss(*batch)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return y_pred


class Batches(keras.utils.PyDataset):
    """So many batches of rows, drawn at random, and as much normal noise."""

    def __init__(self, rows, steps, seed):
        super().__init__()
        self.rows, self.steps, self.seed = rows.astype("float32"), steps, seed

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        rng = np.random.default_rng([self.seed, step])
        rows = self.rows[rng.integers(len(self.rows), size=BATCH)]
        return ((rows, rng.standard_normal(rows.shape, "float32")),)


def redraw(network, rng):
    """Draws each kernel anew, Glorot uniform by NumPy, unless it starts as zeros."""
    for variable in network.trainable_variables:
        if len(variable.shape) == 2 and np.any(ops.convert_to_numpy(variable)):
            limit = np.sqrt(6 / sum(variable.shape))
            variable.assign(rng.uniform(-limit, limit, variable.shape))
