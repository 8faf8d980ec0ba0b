"""TensorFlow on several devices: `tf.distribute`."""

import contextlib
import functools
import os

import numpy as np
import tensorflow as tf

TOO_LATE = (
    "Expected to split the CPU into virtual devices before TensorFlow starts. "
    "Received: it has started. Choose the devices first, before models and data."
)


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
    except RuntimeError:  # TensorFlow has started
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


def several_workers():
    strategy = tf.distribute.get_strategy()
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief():
    cluster = tf.distribute.get_strategy().cluster_resolver
    return cluster is None or cluster.task_id in (None, 0)


def synchronize(variables):
    """Does nothing: a strategy gives every replica the same variables and data."""


@contextlib.contextmanager
def by_itself():
    strategy = tf.distribute.get_strategy()
    if not several_workers():
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
    """Arrays as a data set that does not tune itself, unlike Keras's.

    tf.data tunes itself in a thread. The end of an epoch may wait for that thread, at
    times half as long again as the epoch took.
    """
    arrays = (x,) if y is None else (x, y)
    plain = all(isinstance(array, np.ndarray) for array in arrays)
    if not plain or not isinstance(shuffle, bool) or several_workers():
        return x, y, batch_size, shuffle
    return _batches(arrays, batch_size or 32, shuffle), None, None, False


def _batches(arrays, batch_size, shuffle):
    count = len(arrays[0])
    size = min(batch_size, count)
    rows = None if count % size else size

    def order(_):
        if not shuffle:
            return tf.range(count, dtype=tf.int64)
        # NumPy draws the order, as in Keras on the other backends.
        draw = functools.partial(np.random.permutation, count)
        return tf.ensure_shape(tf.numpy_function(draw, [], tf.int64), [count])

    def take(places):
        return [array[places] for array in arrays]

    def in_turn(order):
        def batch(start):
            # NumPy takes them: tf.data would keep a copy of tensors for each iterator.
            places, types = order[start : start + size], [a.dtype for a in arrays]
            taken = zip(tf.numpy_function(take, [places], types), arrays, strict=True)
            return tuple(tf.ensure_shape(x, (rows, *a.shape[1:])) for x, a in taken)

        return tf.data.Dataset.range(0, count, size).map(batch)

    options = tf.data.Options()
    options.autotune.enabled = False
    batches = tf.data.Dataset.range(1).map(order).flat_map(in_turn).prefetch(2)
    steps = tf.data.experimental.assert_cardinality(-(-count // size))
    return batches.apply(steps).with_options(options)


def checked(dataset, check, plausible):
    """Python, slow in tf.data, runs only for batches that are not plausible."""
    if not isinstance(dataset, tf.data.Dataset):
        return dataset  # a strategy has distributed it
    spec = dataset.element_spec

    def check_arrays(*arrays):
        check(tf.nest.pack_sequence_as(spec, arrays))
        return np.int32(0)

    def checked_batch(*batch):
        tensors = tf.nest.flatten(batch)
        good = plausible(tf.nest.pack_sequence_as(spec, tensors))
        look = functools.partial(tf.numpy_function, check_arrays, tensors, tf.int32)
        done = tf.cond(good, lambda: tf.constant(0), look)
        with tf.control_dependencies([done]):
            tensors = [tf.identity(tensor) for tensor in tensors]
        return tf.nest.pack_sequence_as(spec, tensors)

    return dataset.map(checked_batch)


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
