"""TensorFlow: variables are updated in place inside Keras's `tf.function`."""

import contextlib
import functools
import os
import random

import keras
import numpy as np
import tensorflow as tf

APART = 0x9E3779B1  # between the random numbers of two replicas
TOO_LATE = (
    "Expected to divide the CPU before TensorFlow does anything else. Received: it has "
    "started. Choose the devices first, before models and data."
)

# Grappler reorders sums by the names of layers, which Keras numbers as it makes them: a
# model that is loaded beside another would train on with another last digit. It is no
# slower without. The option is the process's, as TensorFlow has none for one function.
tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})


def portable_step(step):
    @functools.wraps(step)
    def stateful(self, data):
        logs = step(self, *self.unpack(data))
        if _several_workers():
            # Keras takes their mean over an axis, which scalars do not have.
            logs = {name: value[None] for name, value in logs.items()}
        return logs

    return stateful


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=True):
    def step(*batch):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in variables])
            loss, logs = loss_fn(*batch)
            # Keras sums gradients over replicas; the loss is a mean over each's batch.
            scaled = optimizer.scale_loss(loss) / replicas()
        grads = tape.gradient(scaled, [v.value for v in variables])
        fuse(optimizer)
        optimizer.apply([_dense(grad) for grad in grads], variables)
        return logs

    return step


def fuse(optimizer):
    """Makes Adam's step one pass over memory, where Keras's takes nine."""
    plain = type(optimizer).update_step is keras.optimizers.Adam.update_step
    if plain and not optimizer.amsgrad and not tf.distribute.has_strategy():
        fused = functools.partial(_fused_adam, optimizer)
        object.__setattr__(optimizer, "update_step", fused)


def _fused_adam(optimizer, gradient, variable, learning_rate):
    """What `keras.optimizers.Adam` computes, by TensorFlow's own kernel."""
    place, dtype = optimizer._get_variable_index(variable), variable.dtype
    beta_1, beta_2 = (tf.cast(b, dtype) for b in (optimizer.beta_1, optimizer.beta_2))
    step = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[place].value.handle,
        v=optimizer._velocities[place].value.handle,
        beta1_power=beta_1**step,
        beta2_power=beta_2**step,
        lr=tf.cast(learning_rate, dtype),
        beta1=beta_1,
        beta2=beta_2,
        epsilon=tf.cast(optimizer.epsilon, dtype),
        grad=tf.cast(gradient, dtype),
    )


def execution(execution, step, steps):
    return execution  # a loop in a `tf.function` already


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
    return tf.random.stateless_normal(shape, _own(seed.next()), alg="philox")


def uniform(shape, seed):
    return tf.random.stateless_uniform(shape, _own(seed.next()), alg="philox")


def reseed(seed):
    # Not by Keras, which seeds TensorFlow too: that drops every compiled function.
    random.seed(seed)
    np.random.seed(seed)


def _own(seed):
    """The seed, another one on every replica."""
    replica = tf.distribute.get_replica_context()
    if replica is None or replicas() == 1:
        return seed
    number = tf.cast(replica.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([number * APART, 0])


def data_parallel(devices):
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif devices in (None, 1):
        return
    else:
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        if kind == "CPU":
            _split_cpu(devices)
        strategy = tf.distribute.MirroredStrategy(_devices(kind, devices))
    tf.distribute.experimental_set_strategy(strategy)


def _split_cpu(devices):
    parts = [tf.config.LogicalDeviceConfiguration()] * devices
    try:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:  # TensorFlow has been at work
        if len(tf.config.list_logical_devices("CPU")) < devices:
            raise RuntimeError(TOO_LATE) from None


def _devices(kind, devices):
    found = [f"{kind}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]
    if len(found) < devices:
        raise ValueError(
            f"Expected at most {len(found)} devices, as many as there are. "
            f"Received: devices={devices}."
        )
    return found[:devices]


def replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


parts = replicas


def _several_workers():
    strategy = tf.distribute.get_strategy()
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief():
    cluster = tf.distribute.get_strategy().cluster_resolver
    return cluster is None or cluster.task_id in (None, 0)


def synchronize(variables):
    """Nothing to do: a strategy gives every replica the same variables and data."""


@contextlib.contextmanager
def by_itself():
    strategy = tf.distribute.get_strategy()
    if not _several_workers():
        yield
        return
    tf.distribute.experimental_set_strategy(None)
    try:
        yield
    finally:
        tf.distribute.experimental_set_strategy(strategy)


def data_shard():
    return 0, 1  # a strategy divides batches


def own_share(x, y, batch_size, shuffle):
    """Arrays as a data set, in place of the one that Keras would make of them.

    Where tf.data tunes itself, as in Keras's, the end of an epoch may wait for the
    thread that does so, at times half as long again as the epoch took.
    """
    arrays = (x,) if y is None else (x, y)
    plain = all(isinstance(array, np.ndarray) for array in arrays)
    if not plain or not isinstance(shuffle, bool) or _several_workers():
        return x, y, batch_size, shuffle
    return _batches(arrays, batch_size or 32, shuffle), None, None, False


def _batches(arrays, batch_size, shuffle):
    count = len(arrays[0])
    size = min(batch_size, count)
    rows = None if count % size else size

    def order(_):
        if not shuffle:
            return tf.range(count, dtype=tf.int64)
        # In an order that NumPy draws, as Keras does on the other backends.
        draw = functools.partial(np.random.permutation, count)
        return tf.ensure_shape(tf.numpy_function(draw, [], tf.int64), [count])

    def take(places):
        return [array[places] for array in arrays]

    def in_turn(order):
        def batch(start):
            # By NumPy: of tensors tf.data keeps a copy for each iterator, for good.
            places, types = order[start : start + size], [a.dtype for a in arrays]
            taken = zip(tf.numpy_function(take, [places], types), arrays, strict=True)
            return tuple(tf.ensure_shape(x, (rows, *a.shape[1:])) for x, a in taken)

        return tf.data.Dataset.range(0, count, size).map(batch)

    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.range(1).map(order).flat_map(in_turn).prefetch(2)
    steps = tf.data.experimental.assert_cardinality(-(-count // size))
    return batches.apply(steps).with_options(options)


def alone(variables):
    tf.distribute.experimental_set_strategy(None)


def replica_mean(x):
    replica = tf.distribute.get_replica_context()
    if replica is None or replicas() == 1:
        return x
    return replica.all_reduce(tf.distribute.ReduceOp.MEAN, x)


def whole_batch(x):
    replica = tf.distribute.get_replica_context()
    if replica is None or replicas() == 1:
        return x
    return replica.all_gather(x, axis=0)


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
