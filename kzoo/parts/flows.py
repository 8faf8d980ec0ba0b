"""Invertible maps of latents whose change of volume is known.

A flow is a layer that maps `(batch, latent_dim)` to latents of the same shape and the
logarithm of the determinant of its Jacobian, `(batch,)`.
"""

import itertools
import math

import keras
import numpy as np
from keras import layers, ops

from kzoo import checks


class MaskedDense(layers.Dense):
    """A dense layer with the connections in `mask` only, `(inputs, units)`."""

    def __init__(self, units, mask, **kwargs):
        super().__init__(units, **kwargs)
        self.mask = np.asarray(mask, "float32")

    def call(self, inputs):
        return self.activation(ops.matmul(inputs, self.kernel * self.mask) + self.bias)


class MADE(layers.Layer):
    """Of each latent, numbers that depend on the latents before it only.

    Germain et al., arXiv:1502.03509: masks cut all other ways through a dense network.

    Args:
        latent_dim: number of latents.
        widths: layer widths.
        outputs: how many numbers for each latent.
        activation: of the hidden layers.

    Call arguments:
        latents: `(batch, latent_dim)`.
        context: `(batch, features)` that all numbers may depend on, or None.

    Returns:
        A list of `outputs` tensors `(batch, latent_dim)`; at first they are all 0.
    """

    def __init__(self, latent_dim, widths=(64,), outputs=2, activation="relu"):
        super().__init__(dtype="float32")
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        self.widths = checks.positive_ints("widths", widths)
        self.outputs = checks.positive_int("outputs", outputs)
        self.activation = keras.activations.get(activation)
        self.hidden, self.contexts = [], []

    def build(self, latents_shape, context_shape=None):
        # A unit of degree m sees the latents 1 to m; the outputs of i see those before.
        size, degrees = self.latent_dim, np.arange(1, self.latent_dim + 1)
        for width in self.widths:
            own = np.arange(width) % max(1, self.latent_dim - 1) + 1
            mask = own[None, :] >= degrees[:, None]
            self.hidden.append(MaskedDense(width, mask, dtype="float32"))
            self.hidden[-1].build((None, size))
            if context_shape is not None:
                context = layers.Dense(width, use_bias=False, dtype="float32")
                context.build(context_shape)
                self.contexts.append(context)
            size, degrees = width, own
        mask = np.arange(1, self.latent_dim + 1)[None, :] > degrees[:, None]
        self.last = MaskedDense(
            self.outputs * self.latent_dim,
            np.tile(mask, self.outputs),
            kernel_initializer="zeros",
            dtype="float32",
        )
        self.last.build((None, size))
        self.built = True

    def call(self, latents, context=None):
        x = latents
        for layer, of_context in itertools.zip_longest(self.hidden, self.contexts):
            x = layer(x)
            if of_context is not None:
                x = x + of_context(context)
            x = self.activation(x)
        return ops.split(self.last(x), self.outputs, axis=-1)


class MaskedAutoregressiveFlow(layers.Layer):
    """Latents to noise in one pass, noise to latents one latent after another.

    Papamakarios et al., arXiv:1705.07057: a quick density.
    """

    def __init__(self, latent_dim, widths=(64,)):
        super().__init__(dtype="float32")
        self.latent_dim = latent_dim
        self.network = MADE(latent_dim, widths)
        self.network.build((None, latent_dim))
        self.built = True

    def call(self, latents):
        mean, log_scale = self.parameters(latents)
        return (latents - mean) * ops.exp(-log_scale), -ops.sum(log_scale, axis=-1)

    def inverse(self, noise):
        latents = noise
        for _ in range(self.latent_dim):  # each time one latent more is right
            mean, log_scale = self.parameters(latents)
            latents = noise * ops.exp(log_scale) + mean
        return latents

    def parameters(self, latents):
        mean, log_scale = self.network(latents)
        return mean, 3 * ops.tanh(log_scale / 3)  # a wild latent is no infinity


class InverseAutoregressiveFlow(layers.Layer):
    """Noise to latents in one pass, by an autoregressive network and a context.

    Kingma et al., arXiv:1606.04934: a quick draw. A forget gate of
    about 0.88 at first keeps most of what came in.
    """

    def __init__(self, latent_dim, context_dim, widths=(64,)):
        super().__init__(dtype="float32")
        self.network = MADE(latent_dim, widths, activation="elu")
        self.network.build((None, latent_dim), (None, context_dim))
        self.built = True

    def call(self, latents, context):
        mean, gate = self.network(latents, context)
        log_gate = ops.log_sigmoid(gate + 2)
        gate = ops.exp(log_gate)
        return gate * latents + (1 - gate) * mean, ops.sum(log_gate, axis=-1)


class PlanarFlow(layers.Layer):
    """z + u tanh(w z + b): a bend along one direction, at first none.

    Rezende and Mohamed, arXiv:1505.05770, equations 10 to 12. So that the map can be
    inverted, u is moved along w until w u > -1, as in appendix A.1; their bound is
    shifted here so that a u of 0 stays one.
    """

    def __init__(self, latent_dim):
        super().__init__(dtype="float32")
        self.w = self.add_weight(shape=(latent_dim,), initializer="glorot_uniform")
        self.u = self.add_weight(shape=(latent_dim,), initializer="zeros")
        self.b = self.add_weight(shape=(), initializer="zeros")
        self.built = True

    def call(self, latents, context=None):
        product = ops.sum(self.w * self.u)
        excess = ops.softplus(product + math.log(math.e - 1)) - 1 - product
        u = self.u + excess * self.w / (ops.sum(ops.square(self.w)) + 1e-7)
        bend = ops.tanh(ops.sum(latents * self.w, axis=-1, keepdims=True) + self.b)
        slope = (1 - ops.square(bend[:, 0])) * ops.sum(self.w * u)
        return latents + u * bend, ops.log1p(slope)
