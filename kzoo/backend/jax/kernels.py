"""Convolutions whose derivatives are fast in XLA on a CPU.

XLA is slow at two things there:

- JAX's derivative of a transposed convolution by its kernel dilates the inputs by the
  strides. It takes some 50 times as long as the same derivative of the convolution that
  it transposes. A gradient penalty needs it too.
- Inside a condition or a loop, a convolution is up to 90 times slower unless channels
  come last and the kernel is `(height, width, inputs, outputs)`.

So convolution and transposed convolution are each other's derivatives here, to any
order, in that one layout. Forward mode (`jax.jvp`) is not defined.
"""

import functools

import jax
import keras
from jax import lax


def convolution(x, kernel, strides, padding, data_format, dilation_rate):
    """`keras.ops.conv`."""
    usual = (
        x.ndim == 4
        and data_format == "channels_last"
        and x.shape[-1] == kernel.shape[2]
        and all(rate == 1 for rate in dilation_rate)
    )
    if not usual:
        return keras.ops.conv(x, kernel, strides, padding, data_format, dilation_rate)
    size = x.shape[1:3]
    pads = lax.padtype_to_pads(size, kernel.shape[:2], strides, padding.upper())
    return _gather(*_alike(x, kernel), tuple(strides), tuple(pads), size)


def transposed_convolution(x, kernel, strides):
    """`keras.ops.conv_transpose` with `padding="same"`.

    Expects strides that are not larger than the kernel.
    """
    size = tuple(n * s for n, s in zip(x.shape[1:3], strides, strict=True))
    pads = lax.padtype_to_pads(size, kernel.shape[:2], strides, "SAME")
    return _spread(*_alike(x, kernel), tuple(strides), tuple(pads), size)


def batch_normalization(x, gamma, beta, epsilon):
    mean, variance = keras.ops.moments(x, list(range(x.ndim - 1)))
    outputs = keras.ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon)
    return outputs, mean, variance


def _alike(x, kernel):
    dtype = keras.backend.result_type(x.dtype, kernel.dtype)
    return x.astype(dtype), kernel.astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _gather(x, kernel, strides, pads, size):
    """Convolution of `x`, whose height and width are `size`."""
    return _canonical(x, kernel, pads, strides=strides)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _spread(y, kernel, strides, pads, size):
    """Transpose of `_gather`: maps its outputs to inputs of height and width `size`."""
    kernel = kernel[::-1, ::-1].swapaxes(2, 3)
    before = [k - 1 - low for k, (low, _) in zip(kernel.shape, pads, strict=False)]
    spread = [(n - 1) * s + 1 for n, s in zip(y.shape[1:3], strides, strict=True)]
    after = [
        total + k - 1 - n - low
        for total, k, n, low in zip(size, kernel.shape, spread, before, strict=False)
    ]
    pads = list(zip(before, after, strict=True))
    return _canonical(y, kernel, pads, lhs_dilation=strides)


def _by_kernel(x, y, kernel, strides, pads):
    """Derivative of `sum(y * _gather(x, kernel))` by the kernel."""
    spread = [(n - 1) * s + 1 for n, s in zip(y.shape[1:3], strides, strict=True)]
    pads = [
        (low, n + k - 1 - total - low)
        for n, k, total, (low, _) in zip(
            spread, kernel.shape, x.shape[1:3], pads, strict=False
        )
    ]
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _canonical(x, y, pads, rhs_dilation=strides).transpose(1, 2, 0, 3)


def _canonical(x, kernel, pads, strides=(1, 1), **dilation):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=layout, **dilation
    )


def _gather_forward(x, kernel, *how):
    return _gather(x, kernel, *how), (x, kernel)


def _gather_backward(strides, pads, size, inputs, gradient):
    x, kernel = inputs
    return (
        _spread(gradient, kernel, strides, pads, size),
        _by_kernel(x, gradient, kernel, strides, pads),
    )


def _spread_forward(y, kernel, *how):
    return _spread(y, kernel, *how), (y, kernel)


def _spread_backward(strides, pads, size, inputs, gradient):
    y, kernel = inputs
    return (
        _gather(gradient, kernel, strides, pads, size),
        _by_kernel(gradient, y, kernel, strides, pads),
    )


_gather.defvjp(_gather_forward, _gather_backward)
_spread.defvjp(_spread_forward, _spread_backward)
