"""JAX: every step is a pure function, opened once by a `keras.StatelessScope`."""

import contextlib
import functools
import itertools
import os

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils

from kzoo.backend._jax_kernels import (  # noqa: F401 (names of the package)
    convolution,
    transposed_convolution,
)

LAUNCHED = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def portable_step(step):
    @functools.wraps(step)
    def stateless(self, state, data):
        groups = [self.trainable_variables, self.non_trainable_variables]
        if len(state) == 4:  # training also carries the optimizers
            groups.append(self.optimizer.variables)
        groups.append(self.metrics_variables)
        with keras.StatelessScope(_paired(groups, state)) as scope:
            logs = step(self, *self.unpack(data))
        return logs, tuple(_values(scope, group) for group in groups)

    return stateless


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=True):
    trained = {id(v) for v in variables}
    carried = [v for v in state if id(v) not in trained]

    def step(*batch):
        carried_values = [v.value for v in carried]
        scale = optimizer.scale_loss(1.0)  # a scope opened inside would hide the scale

        def scaled_loss(values):
            pairs = _paired([carried, variables], [carried_values, values])
            with keras.StatelessScope(pairs) as scope:
                loss, logs = loss_fn(*batch)
            return loss * scale, (logs, _values(scope, carried))

        values = [v.value for v in variables]
        grads, (logs, new_values) = jax.grad(scaled_loss, has_aux=True)(values)
        _assign(carried, new_values)
        # `apply` branches on finite gradients by assigning inside `lax.cond`, which
        # leaks; `stateless_apply` returns the values of both branches.
        values, new_state = optimizer.stateless_apply(
            [v.value for v in optimizer.variables], grads, values
        )
        _assign(variables, values)
        _assign(optimizer.variables, new_state)
        return logs

    return step


def execution(execution, step, steps):
    """A loop on the device over a stack of batches; Keras calls the step for each."""
    if keras.distribution.distribution() is not None:
        return execution

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(state, batches):
        batches = jax.tree.map(lambda *arrays: jnp.stack(arrays), *batches)
        state, logs = jax.lax.scan(lambda *args: step(*args)[::-1], state, batches)
        return jax.tree.map(lambda values: values[-1], logs), state

    def take(state, iterator):
        batches = list(itertools.islice(iterator, steps))
        if not batches:
            raise StopIteration
        shapes = {str(jax.tree.map(np.shape, batch)) for batch in batches}
        if len(batches) == steps and len(shapes) == 1:
            return loop(state, batches)
        for batch in batches:  # what is left at the end of an epoch
            logs, state = step(state, batch)
        return logs, state

    return take


def input_gradient(fn, x):
    return jax.grad(lambda x: fn(x).sum())(x)


def inference(fn, state):
    @jax.jit
    def pure(values, *tensors):
        with keras.StatelessScope(zip(state, values, strict=True)):
            return fn(*tensors)

    return lambda *tensors: pure([v.value for v in state], *tensors)


def batch_normalization(x, gamma, beta, epsilon):
    mean, variance = keras.ops.moments(x, list(range(x.ndim - 1)))
    outputs = keras.ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon)
    return outputs, mean, variance


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)


reseed = keras.utils.set_random_seed


def data_parallel(devices):
    if LAUNCHED in os.environ:
        _start_process()
    elif devices in (None, 1):
        return
    else:
        with contextlib.suppress(RuntimeError):  # JAX has been at work, maybe on GPUs
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
    """`keras.distribution.initialize`, that notices sooner when a process has ended.

    What the environment leaves out JAX finds itself on a TPU slice or under Slurm.
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
    """Nothing to do: variables are replicated when they are made."""


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
    """Keras expects of each process the part of the data that is its own."""
    index, count = jax.process_index(), jax.process_count()
    if count == 1 or not hasattr(x, "shape"):
        return x, y, batch_size, shuffle
    y = None if y is None else y[index::count]
    return x[index::count], y, (batch_size or 32) // count, shuffle


def alone(variables):
    if keras.distribution.distribution() is None:
        return
    keras.distribution.set_distribution(None)
    values = [np.asarray(v.value) for v in variables]
    if jax.process_count() > 1:
        jax.distributed.shutdown()
    for variable, value in zip(variables, values, strict=True):
        variable._layout = None
        variable._value = jax.device_put(value, jax.local_devices()[0])


def replica_mean(x):
    return x  # a step sees the whole batch; the compiler divides it


def whole_batch(x):
    return x


def _paired(groups, values):
    return [
        pair
        for group, group_values in zip(groups, values, strict=True)
        for pair in zip(group, group_values, strict=True)
    ]


def _values(scope, variables):
    return [scope.get_current_value(v) for v in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
