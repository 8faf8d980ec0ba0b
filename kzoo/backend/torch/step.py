"""Steps on PyTorch: each phase is traced once into a graph of tensor operations."""

import functools
import warnings

import keras
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from kzoo.backend.torch.kernels import fuse
from kzoo.backend.torch.replicas import average, share

# What tracing raises at an `if` on a tensor, or at a seed read as a number.
DEPENDS_ON_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    GuardOnDataDependentSymNode,
)
NOT_COMPILED = (
    "jit_compile=True has no effect on {}: its operations depend on values, such as a "
    "penalty that is left out in some steps or numbers from keras.random. Leave "
    "jit_compile out, or the penalty's `every` at 1, or draw by model.noise."
)
NOT_TRACED = (
    "{} could not be traced into a graph of tensor operations ({}: {}). Training goes "
    "on eagerly, which is slower. A loss can be traced if it reads only its batch and "
    "the model's variables, as tensors; compile(run_eagerly=True) does not try."
)


def portable_step(step):
    @functools.wraps(step)
    @torch.compiler.disable  # each phase is compiled by itself
    def stateful(self, data, *more):
        if more:  # called by the step of a subclass
            return step(self, data, *more)
        batch = self.unpack(data)
        return step(self, *(batch if self.own_batches else map(share, batch)))

    return stateful


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=False):
    graphs = {}  # by the shapes of a batch

    def gradients(*batch):
        loss, logs = loss_fn(*batch)
        # Not `backward()`: no `.grad` may pile up on a network that is only read.
        scaled = optimizer.scale_loss(loss)
        weights = [v.value for v in variables]
        grads = torch.autograd.grad(scaled, weights, allow_unused=True)
        return grads, {name: value.detach() for name, value in logs.items()}

    def step(*batch):
        key = tuple((*x.shape, x.dtype) if torch.is_tensor(x) else x for x in batch)
        if key not in graphs:
            traced = None if run_eagerly else trace(loss_fn, gradients, state, batch)
            graphs[key] = traced or gradients
            if traced and jit_compile:
                traced.compile()
            elif jit_compile:
                warnings.warn(NOT_COMPILED.format(loss_fn.__name__), stacklevel=2)
        grads, logs = graphs[key](*batch)
        with torch.no_grad():
            fuse(optimizer, variables)
            optimizer.apply(average(grads), variables)
        return logs

    return step


def trace(loss_fn, function, state, batch):
    """A `Graph` of `function`, which contains `loss_fn`; None if there is none.

    Warns of any reason except that the operations depend on values.
    """
    try:
        return Graph.trace(function, state, batch)
    except DEPENDS_ON_VALUES:
        return None
    except Exception as error:
        name = getattr(loss_fn, "__qualname__", repr(loss_fn))
        _warn_once(NOT_TRACED.format(name, type(error).__name__, error))
        return None


@functools.cache
def _warn_once(text):
    warnings.warn(text, stacklevel=2)


class Graph:
    """The tensor operations of a function, derivatives too, without Keras around them.

    Keras looks up and checks every layer and operation in each step. In a small model
    that takes as much time as the arithmetic.
    """

    def __init__(self, operations, read, written):
        self.operations, self.read, self.written = operations, read, written

    @classmethod
    def trace(cls, function, state, batch):
        """Traces `function(*batch)`, which may read and write the variables `state`.

        Nothing is computed: the tensors are fake ones.
        """
        written = []

        def pure(*tensors):
            values, batch = tensors[: len(state)], tensors[len(state) :]
            pairs = list(zip(state, values, strict=True))
            with keras.StatelessScope(pairs) as scope:
                outputs = function(*batch)
            changed = [v for v, old in pairs if scope.get_current_value(v) is not old]
            written[:] = changed
            return outputs, [scope.get_current_value(v).detach() for v in changed]

        values = [v.value for v in state]
        graph = make_fx(pure, tracing_mode="fake")(*values, *batch)
        places = [node for node in graph.graph.nodes if node.op == "placeholder"]
        graph.graph.eliminate_dead_code()
        read = [v for v, node in zip(state, places, strict=False) if node.users]
        for node in places[: len(state)]:
            if not node.users:
                graph.graph.erase_node(node)
        graph.recompile()
        return cls(graph, read, written)

    def compile(self):
        self.operations = torch.compile(self.operations)

    @torch.no_grad()
    def __call__(self, *batch):
        values = [v.value for v in self.read]
        outputs, values = self.operations(*values, *batch)
        for variable, value in zip(self.written, values, strict=True):
            variable.assign(value)
        return outputs


def execution(execution, step, steps):
    return execution  # Keras allows one step


def prepare():
    """Does nothing: PyTorch needs no options."""


cond = keras.ops.cond


def input_gradient(fn, x):
    with torch.enable_grad():  # Keras evaluates under no_grad
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


def inference(fn, state):
    return torch.no_grad()(fn)
