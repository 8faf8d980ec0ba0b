"""JAX on several devices: `keras.distribution.DataParallel`."""

import contextlib
import os

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from kzoo.backend import keras_internals

LAUNCHED = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def data_parallel(devices):
    if LAUNCHED in os.environ:
        _start_process()
    elif devices in (None, 1):
        return
    else:
        with contextlib.suppress(RuntimeError):  # JAX has started, perhaps on GPUs
            jax.config.update("jax_num_cpu_devices", devices)
    found = keras.distribution.list_devices()
    if LAUNCHED not in os.environ:
        if len(found) < devices:
            raise ValueError(
                f"Expected at most {len(found)} devices, as many as there are. "
                f"Received: devices={devices}. On a CPU, ask for more first of all, "
                "before JAX does anything."
            )
        found = found[:devices]
    parallel = keras.distribution.DataParallel(devices=found, auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)


def _start_process():
    """`keras.distribution.initialize` with a shorter heartbeat timeout.

    On a TPU slice or under Slurm JAX finds what the environment leaves out.
    """
    addresses = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    number = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID")
    jax.distributed.initialize(
        addresses and addresses.split(",")[0],
        int(os.environ[LAUNCHED]),
        number and int(number),
        heartbeat_timeout_seconds=30,
    )
    seed = multihost_utils.broadcast_one_to_all(np.random.randint(2**31))
    keras.utils.set_random_seed(int(seed))


def replicas():
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.num_model_replicas


parts = replicas


def is_chief():
    return jax.process_index() == 0


def synchronize(variables):
    """Does nothing: Keras replicates variables when it creates them."""


@contextlib.contextmanager
def by_itself():
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def data_shard():
    return jax.process_index(), jax.process_count()


def own_share(x, y, batch_size, shuffle):
    """Keras expects each process to give `fit` its own part of the data."""
    index, count = jax.process_index(), jax.process_count()
    if count == 1 or not hasattr(x, "shape"):
        return x, y, batch_size, shuffle
    y = None if y is None else y[index::count]
    return x[index::count], y, (batch_size or 32) // count, shuffle


def checked(dataset, check, plausible):
    return dataset  # Keras's adapter checks what it hands over


def alone(variables):
    if keras.distribution.distribution() is None:
        return
    keras.distribution.set_distribution(None)
    values = [np.asarray(v.value) for v in variables]
    if jax.process_count() > 1:
        jax.distributed.shutdown()
    for variable, value in zip(variables, values, strict=True):
        keras_internals.forget_layout(variable)
        variable.assign(jax.device_put(value, jax.local_devices()[0]))


def replica_mean(x):
    return x  # a step sees the whole batch; the compiler divides it


def whole_batch(x):
    return x
