"""JAX: every step is a pure function, opened once by a `keras.StatelessScope`."""

import functools

import jax
import keras


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


def input_gradient(fn, x):
    return jax.grad(lambda x: fn(x).sum())(x)


def inference(fn, state):
    @jax.jit
    def pure(values, *tensors):
        with keras.StatelessScope(zip(state, values, strict=True)):
            return fn(*tensors)

    return lambda *tensors: pure([v.value for v in state], *tensors)


convolution = keras.ops.conv


def transposed_convolution(x, kernel, strides):
    return keras.ops.conv_transpose(x, kernel, strides, "same")


def batch_normalization(x, gamma, beta, epsilon):
    mean, variance = keras.ops.moments(x, list(range(x.ndim - 1)))
    outputs = keras.ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon)
    return outputs, mean, variance


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)


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
