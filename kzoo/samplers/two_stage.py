"""The second VAE of Dai and Wipf, arXiv:1903.05789: its images are latents."""

import functools

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.parts.densities import normal_draw, normal_kl, normal_log_density
from kzoo.parts.priors import Prior
from kzoo.samplers.training import train


@keras.saving.register_keras_serializable("kzoo")
class SecondStage(Prior):
    """The decoder of a VAE of latents, with its noise: arXiv:1903.05789, section 4.

    Both stages have as many latents. Its standard deviation gamma is learned. The
    paper's starts at 1, which is that of standardised latents, where a decoder that
    ignores its input is at rest; here it starts at exp(-1).

    Args:
        widths: of the decoder's dense layers.
    """

    def __init__(self, widths=(256, 256)):
        super().__init__()
        self.widths = checks.positive_ints("widths", widths)

    def connect(self, latent_dim, model=None):
        self.latent_dim = latent_dim
        self.size = 2 * latent_dim  # the second half is the noise
        self.decoder = build_mlp(latent_dim, latent_dim, self.widths)
        start = keras.initializers.Constant(-1.0)
        self.log_gamma = self.add_weight((), start, name="log_gamma")
        self.built = True
        return self

    def call(self, normal, labels=None):
        codes, noise = ops.split(normal, 2, axis=-1)
        return self.decoder(codes) + ops.exp(self.log_gamma) * noise

    def negative_elbo(self, encoder, rows, noise):
        """In nats, `(batch,)`, for rows and noise `(batch, latent_dim)`."""
        mean, log_var = ops.split(encoder(rows), 2, axis=-1)
        decoded = self.decoder(normal_draw(mean, log_var, noise))
        evidence = normal_log_density(rows, decoded, 2 * self.log_gamma)
        return normal_kl(mean, log_var) - evidence


def build_mlp(inputs, outputs, widths):
    """Dense layers, of which the last also sees the inputs, as in the paper's code."""
    rows = x = keras.Input((inputs,))
    for width in widths:
        x = layers.Dense(width, activation="relu", dtype="float32")(x)
    x = layers.Concatenate(dtype="float32")([rows, x])
    return keras.Model(rows, layers.Dense(outputs, dtype="float32")(x))


def fit_two_stage(rows, seed, widths=(256, 256), steps=5000):
    """A VAE of the rows; its encoder is left behind.

    Args:
        rows: standardised latents `(n, latent_dim)`.
        seed: whole number.
        widths: layer widths of its encoder and of its decoder.
        steps: of Adam, with 256 rows each.
    """
    latent_dim = rows.shape[1]
    checks.positive_int("steps", steps)
    stage = SecondStage(widths).connect(latent_dim)
    encoder = build_mlp(latent_dim, 2 * latent_dim, stage.widths)
    nats = functools.partial(stage.negative_elbo, encoder)
    train([stage, encoder], nats, rows, seed, steps)
    return stage
