"""Steps on JAX: pure functions, each opened once by a `keras.StatelessScope`."""

import functools
import itertools

import jax
import jax.numpy as jnp
import keras
import numpy as np


def portable_step(step):
    @functools.wraps(step)
    def stateless(self, state, *data):
        if not isinstance(state, tuple):  # images: called by the step of a subclass
            return step(self, state, *data)
        groups = [self.trainable_variables, self.non_trainable_variables]
        if len(state) == 4:  # training also carries the optimizers
            groups.append(self.optimizer.variables)
        groups.append(self.metrics_variables)
        with keras.StatelessScope(_paired(groups, state)) as scope:
            logs = step(self, *self.unpack(*data))
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
    """One program that loops over a stack of batches; Keras starts one for each."""
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
        for batch in batches:  # the end of an epoch
            logs, state = step(state, batch)
        return logs, state

    return take


def input_gradient(fn, x):
    assigned = {}

    def total(x):
        with Assignments() as scope:
            y = fn(x).sum()
            assigned.update(scope.assigned)
            return y, [v.value for v in assigned.values()]

    gradient, values = jax.grad(total, has_aux=True)(x)
    _assign(assigned.values(), values)
    return gradient


def cond(predicate, function, otherwise):
    assigned = {}
    for branch in (function, otherwise):  # what either assigns, both have to return

        def trial(branch=branch):
            with Assignments() as scope:
                outputs = branch()
            assigned.update(scope.assigned)
            return outputs

        jax.eval_shape(trial)

    def pure(branch):
        def run():
            with Assignments():
                return branch(), [v.value for v in assigned.values()]

        return run

    outputs, values = jax.lax.cond(predicate, pure(function), pure(otherwise))
    _assign(assigned.values(), values)
    return outputs


class Assignments(keras.StatelessScope):
    """Knows which variables are assigned in it. Others have the values from outside.

    What JAX traces apart, such as the branch of a condition, must return the values
    that it assigns, or they are lost to the trace around it.
    """

    def __init__(self):
        super().__init__()
        self.assigned = {}

    def add_update(self, update):
        variable, _ = update
        self.assigned[id(variable)] = variable
        super().add_update(update)

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value


def inference(fn, state):
    @jax.jit
    def pure(values, *tensors):
        with keras.StatelessScope(zip(state, values, strict=True)):
            return fn(*tensors)

    return lambda *tensors: pure([v.value for v in state], *tensors)


def prepare():
    """Does nothing: JAX needs no options."""


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
