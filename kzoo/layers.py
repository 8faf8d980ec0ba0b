"""Layers that Keras lacks."""

import keras
from keras import ops


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
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # it has no weights

    def call(self, mean, log_var, noise=None):
        if noise is None:
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        noise = ops.cast(noise, mean.dtype)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
