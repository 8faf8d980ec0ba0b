"""Steps on TensorFlow: Keras compiles each by `tf.function`."""

import functools

import keras
import tensorflow as tf

from kzoo.backend.tensorflow.kernels import fuse
from kzoo.backend.tensorflow.replicas import replicas, several_workers


def portable_step(step):
    @functools.wraps(step)
    def stateful(self, data, *more):
        if more:  # called by the step of a subclass
            return step(self, data, *more)
        logs = step(self, *self.unpack(data))
        if several_workers():
            # Keras takes their mean over an axis, which scalars do not have.
            logs = {name: value[None] for name, value in logs.items()}
        return logs

    return stateful


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=True):
    def step(*batch):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss, logs = loss_fn(*batch)
            # Keras sums gradients over replicas; each loss is a mean over its part.
            scaled = optimizer.scale_loss(loss) / replicas()
        grads = tape.gradient(scaled, [v.value for v in variables])
        fuse(optimizer)
        optimizer.apply([_dense(grad) for grad in grads], variables)
        return logs

    return step


def execution(execution, step, steps):
    return execution  # Keras loops in a `tf.function` already


def prepare():
    """Keeps the order of sums, so that training can be reproduced.

    Grappler reorders sums by the names of layers, which Keras numbers as it creates
    them: a model loaded beside another would train on with another last digit. Steps
    are no slower without. TensorFlow has this option for the whole process only.
    """
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


cond = keras.ops.cond


def input_gradient(fn, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(fn(x))
    return tape.gradient(total, x)


def inference(fn, state):
    return tf.function(fn, reduce_retracing=True, autograph=False)


def _dense(grad):
    """Sums the parts of an `Embedding`'s gradient; Keras would square each part."""
    return tf.convert_to_tensor(grad) if isinstance(grad, tf.IndexedSlices) else grad
