"""Layers and Adam by TensorFlow's own kernels."""

import functools

import keras
import tensorflow as tf

from kzoo.backend import keras_internals

convolution = keras.ops.conv


def transposed_convolution(x, kernel, strides):
    return keras.ops.conv_transpose(
        x, kernel, strides, "same", data_format="channels_last"
    )


def batch_normalization(x, gamma, beta, epsilon):
    pixels = tf.reshape(x, (-1, 1, 1, x.shape[-1]))
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        pixels, gamma, beta, epsilon=epsilon
    )
    n = tf.cast(tf.shape(pixels)[0], variance.dtype)
    return tf.reshape(outputs, tf.shape(x)), mean, variance * (n - 1) / n


def fuse(optimizer):
    """Replaces Adam's step, nine passes over memory in Keras, by one of one pass."""
    plain = type(optimizer).update_step is keras.optimizers.Adam.update_step
    if plain and not optimizer.amsgrad and not tf.distribute.has_strategy():
        fused = functools.partial(_fused_adam, optimizer)
        object.__setattr__(optimizer, "update_step", fused)


def _fused_adam(optimizer, gradient, variable, learning_rate):
    """`keras.optimizers.Adam.update_step` in one operation."""
    dtype = variable.dtype
    moment, square = keras_internals.adam_moments(optimizer, variable)
    beta_1, beta_2 = (tf.cast(b, dtype) for b in (optimizer.beta_1, optimizer.beta_2))
    step = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=moment.value.handle,
        v=square.value.handle,
        beta1_power=beta_1**step,
        beta2_power=beta_2**step,
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(optimizer.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )
