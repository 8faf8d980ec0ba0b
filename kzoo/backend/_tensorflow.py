"""TensorFlow: variables are updated in place inside Keras's `tf.function`."""

import functools

import keras
import tensorflow as tf


def portable_step(step):
    @functools.wraps(step)
    def stateful(self, data):
        return step(self, *self.unpack(data))

    return stateful


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=True):
    def step(*batch):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss, logs = loss_fn(*batch)
            # Keras sums gradients over replicas; the loss is a mean over each's batch.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            scaled = optimizer.scale_loss(loss) / replicas
        grads = tape.gradient(scaled, [v.value for v in variables])
        optimizer.apply([_dense(grad) for grad in grads], variables)
        return logs

    return step


def input_gradient(fn, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(fn(x))
    return tape.gradient(total, x)


def inference(fn, state):
    return tf.function(fn, reduce_retracing=True, autograph=False)


convolution = keras.ops.conv


def transposed_convolution(x, kernel, strides):
    return keras.ops.conv_transpose(x, kernel, strides, "same")


def batch_normalization(x, gamma, beta, epsilon):
    pixels = tf.reshape(x, (-1, 1, 1, x.shape[-1]))
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        pixels, gamma, beta, epsilon=epsilon
    )
    n = tf.cast(tf.shape(pixels)[0], variance.dtype)
    return tf.reshape(outputs, tf.shape(x)), mean, variance * (n - 1) / n


def normal(shape, seed):
    # Keras leaves the algorithm to TensorFlow, and the one that it takes under XLA
    # needs a millisecond a call on a CPU.
    return tf.random.stateless_normal(shape, seed.next(), alg="philox")


def uniform(shape, seed):
    return tf.random.stateless_uniform(shape, seed.next(), alg="philox")


def seeded_normal(shape, seed):
    """Standard normal float32 draws of `shape`, a function of the int64 `seed` alone.

    Exported signatures need a random stream without variables.
    """
    return tf.random.stateless_normal(shape, seed=tf.stack([seed, 0]))


def seeded_labels(n, num_classes, seed):
    """`n` int32 labels, uniform on `range(num_classes)`, from the int64 `seed`."""
    seed = tf.stack([seed, 1])
    return tf.random.stateless_uniform([n], seed, 0, num_classes, tf.int32)


def _dense(grad):
    """Sums what an `Embedding` looked up twice; Keras would square each part alone."""
    return tf.convert_to_tensor(grad) if isinstance(grad, tf.IndexedSlices) else grad
