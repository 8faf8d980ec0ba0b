"""Layers whose weights are scaled where they are used, by constants or by styles.

The equalised learning rate of Karras et al., arXiv:1710.10196, section 4.1, and the
modulated convolution of Karras et al., arXiv:1912.04958, section 2.2. Written from the
papers.
"""

import math

import keras
from keras import initializers, layers, ops

from kzoo import checks
from kzoo.layers import Conv2D


@keras.saving.register_keras_serializable("kzoo")
def scaled_leaky_relu(x):
    """Leaky ReLU of slope 0.2, times √2: He's constant for weights of variance 1/n."""
    return math.sqrt(2) * ops.leaky_relu(x, 0.2)


@keras.saving.register_keras_serializable("kzoo")
class EqualizedDense(layers.Dense):
    """`Dense` with weights from N(0, 1) that are scaled where they are used.

    The equalised learning rate of arXiv:1710.10196, section 4.1: the weights in effect
    are `rate / sqrt(inputs) * kernel`, so that a step of Adam moves all layers alike.

    Args:
        units: number of outputs.
        rate: learning rate of the layer, relative to that of others. The weights in
            effect have a variance of 1 / inputs at the start, whatever the rate.
        **kwargs: as for `keras.layers.Dense`.
    """

    def __init__(self, units, rate=1.0, **kwargs):
        rate = checks.number("rate", rate, above=0)
        normal = initializers.RandomNormal(stddev=1 / rate)
        super().__init__(units, **{"kernel_initializer": normal, **kwargs})
        self.rate = rate

    def call(self, inputs):
        scale = self.rate * self.kernel.shape[0] ** -0.5
        outputs = ops.matmul(inputs, scale * self.kernel)
        if self.use_bias:
            outputs = outputs + self.rate * self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("kzoo")
class EqualizedConv2D(Conv2D):
    """`Conv2D` of the input's size with an equalised learning rate: `EqualizedDense`.

    Args:
        filters, kernel_size, **kwargs: as for `keras.layers.Conv2D`.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        normal = initializers.RandomNormal(stddev=1.0)
        given = {"padding": "same", "kernel_initializer": normal, **kwargs}
        super().__init__(filters, kernel_size, **given)

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, equalized(kernel))


def equalized(kernel):
    return math.prod(kernel.shape[:-1]) ** -0.5 * kernel


@keras.saving.register_keras_serializable("kzoo")
class ModulatedConv2D(layers.Layer):
    """Convolution whose weights each image's style scales: section 2.2, equations 1-3.

    Weights `s_i w_ijk` are scaled again to a norm of 1 for each output j, so that unit
    variance stays. Here the inputs are scaled by s and the outputs by
    1 / sqrt(Σ (s_i w_ijk)² + 1e-8), which is the same with one kernel for all images.

    Args:
        filters, kernel_size: as for `keras.layers.Conv2D`.
        demodulate: whether to scale the weights to norm 1.

    Call arguments:
        x: maps of shape `(batch, height, width, channels)`.
        style: `(batch, features)`; s is an affine function of it, whose learned bias
            starts as 1.
    """

    def __init__(self, filters, kernel_size, demodulate=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = checks.positive_int("filters", filters)
        self.kernel_size = checks.positive_int("kernel_size", kernel_size)
        self.demodulate = demodulate

    def build(self, x_shape, style_shape):
        policy, channels = self.dtype_policy, x_shape[-1]
        self.affine = EqualizedDense(channels, bias_initializer="ones", dtype=policy)
        self.affine.build(style_shape)
        self.convolution = EqualizedConv2D(
            self.filters, self.kernel_size, use_bias=False, dtype=policy
        )
        self.convolution.build(x_shape)
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, x, style):
        scale = self.affine(style)
        x = self.convolution(x * scale[:, None, None])
        if self.demodulate:
            x = x * ops.cast(self.inverse_norm(scale), x.dtype)[:, None, None]
        return x + self.bias

    def inverse_norm(self, scale):
        """Of the weights of each image and output, `(batch, filters)`, in float32."""
        kernel = equalized(ops.cast(self.convolution.kernel, "float32"))
        squares = ops.sum(ops.square(kernel), axis=(0, 1))
        scale = ops.square(ops.cast(scale, "float32"))
        return ops.rsqrt(ops.matmul(scale, squares) + 1e-8)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "demodulate": self.demodulate,
        }


@keras.saving.register_keras_serializable("kzoo")
class StyledConv2D(ModulatedConv2D):
    """`ModulatedConv2D`, then noise times one learned strength, then leaky ReLU.

    Args:
        noisy: whether there is a strength, to train where noise is passed.
        **kwargs: as for `ModulatedConv2D`.

    Call arguments:
        x, style: as for `ModulatedConv2D`.
        noise: `(batch, height, width, 1)`, or None for none.
    """

    def __init__(self, *args, noisy=True, **kwargs):
        super().__init__(*args, **kwargs)
        self.noisy = noisy

    def build(self, x_shape, style_shape):
        super().build(x_shape, style_shape)
        if self.noisy:
            self.strength = self.add_weight((), "zeros", name="strength")

    def call(self, x, style, noise=None):
        x = super().call(x, style)
        if noise is not None:
            x = x + self.strength * noise
        return scaled_leaky_relu(x)

    def get_config(self):
        return {**super().get_config(), "noisy": self.noisy}
