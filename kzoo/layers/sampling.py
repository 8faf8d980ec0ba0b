"""Layers that draw, or say how far to."""

import keras
from keras import ops

from kzoo import backend, checks


@keras.saving.register_keras_serializable("kzoo")
class Sampling(keras.layers.Layer):
    """Draws from N(mean, exp(log_var)) so that gradients reach both.

    The reparameterisation of Kingma and Welling, arXiv:1312.6114, section 2.4:
    `mean + exp(log_var / 2) * noise`.

    Args:
        seed: whole number, or None for a random one.

    Call arguments:
        mean, log_var: tensors of shape `(batch, latent_dim)`.
        noise: standard normal draws of the same shape; drawn by the layer if None.

    Returns:
        Latents of shape `(batch, latent_dim)`.

    Example:

    >>> latents = Sampling()(mean, log_var)
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = None if seed is None else checks.whole_number("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # it has no weights

    def call(self, mean, log_var, noise=None):
        if noise is None:
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        noise = ops.cast(noise, mean.dtype)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("kzoo")
class SharedScale(keras.layers.Layer):
    """Adds to images of means as many channels of one learned log scale.

    Rybkin et al., arXiv:2006.13202, section 3.2: `(batch, h, w, c)` to
    `(batch, h, w, 2 * c)`. The scale starts at exp(-1).
    """

    def build(self, shape):
        start = keras.initializers.Constant(-1.0)
        self.log_scale = self.add_weight(shape=(), initializer=start, name="log_scale")
        self.built = True

    def call(self, means):
        scales = ops.zeros_like(means) + self.log_scale
        return ops.concatenate([means, scales], axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that drops other units on every replica.

    Arguments and results are those of Keras's layer.
    """

    def call(self, inputs, training=False):
        if not training or self.rate in (0, 1) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        drawn = backend.uniform(ops.shape(inputs), self.seed_generator)
        kept = ops.cast(drawn >= self.rate, inputs.dtype)
        return inputs * kept / (1 - self.rate)
