"""PyTorch: each phase is traced once into a graph of tensor operations."""

import functools

import keras
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx


def portable_step(step):
    @functools.wraps(step)
    @torch.compiler.disable  # each phase is compiled by itself
    def stateful(self, data):
        return step(self, *self.unpack(data))

    return stateful


def phase(loss_fn, variables, optimizer, state, run_eagerly=False, jit_compile=False):
    graphs = {}  # by the shapes of a batch

    def differentiated(*batch):
        loss, logs = loss_fn(*batch)
        # Not `backward()`: no `.grad` may pile up on a network that is only read.
        scaled = optimizer.scale_loss(loss)
        weights = [v.value for v in variables]
        grads = torch.autograd.grad(scaled, weights, allow_unused=True)
        return grads, {name: value.detach() for name, value in logs.items()}

    def step(*batch):
        key = tuple((*x.shape, x.dtype) if torch.is_tensor(x) else x for x in batch)
        if key not in graphs:
            traced = None if run_eagerly else Graph.of(differentiated, state, batch)
            graphs[key] = traced or differentiated
            if traced and jit_compile:
                traced.compile()
        grads, logs = graphs[key](*batch)
        with torch.no_grad():
            _fuse(optimizer, variables)
            optimizer.apply(_averaged(grads), variables)
        return logs

    return step


class Graph:
    """The tensor operations of a function, derivatives too, without Keras around them.

    Keras looks up and checks every layer and operation in each step, which costs a
    small model as much time as its arithmetic does.
    """

    def __init__(self, operations, read, written):
        self.operations, self.read, self.written = operations, read, written

    @classmethod
    def of(cls, function, state, batch):
        """Traces `function(*batch)`, which may read and write the variables `state`.

        Nothing is computed, as the tensors are fake ones. None where the operations
        depend on values: an `if` on a tensor, a seed read as a number.
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
        try:
            graph = make_fx(pure, tracing_mode="fake")(*values, *batch)
        except Exception:  # met again, without a graph, where it is not about tracing
            return None
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


def input_gradient(fn, x):
    with torch.enable_grad():  # Keras evaluates under no_grad
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


def inference(fn, state):
    return torch.no_grad()(fn)


def convolution(x, kernel, strides, padding, data_format, dilation_rate):
    """`keras.ops.conv`, which copies images to channels first and back."""
    if x.ndim != 4 or data_format != "channels_last" or padding == "causal":
        return keras.ops.conv(x, kernel, strides, padding, data_format, dilation_rate)
    x, kernel = x.permute(0, 3, 1, 2), _outputs_first(kernel)
    pads = [(0, 0), (0, 0)]
    if padding == "same":
        sizes = zip(x.shape[2:], kernel.shape[2:], strides, dilation_rate, strict=True)
        pads = [_same_padding(*size) for size in sizes]
    if any(before != after for before, after in pads):
        (top, bottom), (left, right) = pads
        x, pads = F.pad(x, (left, right, top, bottom)), [(0, 0), (0, 0)]
    outputs = F.conv2d(
        x,
        kernel,
        stride=tuple(strides),
        padding=tuple(before for before, _ in pads),
        dilation=tuple(dilation_rate),
        groups=x.shape[1] // kernel.shape[1],
    )
    return outputs.permute(0, 2, 3, 1)


def transposed_convolution(x, kernel, strides):
    """`keras.ops.conv_transpose` with `padding="same"`, without its copies.

    PyTorch crops as much on one side as on the other. Where Keras crops one more at
    the end, a zero is put before the kernel. Strides are at most the kernel's sizes.
    """
    excess = [
        size - stride for size, stride in zip(kernel.shape, strides, strict=False)
    ]
    rows, columns = (n % 2 for n in excess)
    kernel = _outputs_first(F.pad(kernel, (0, 0, 0, 0, columns, 0, rows, 0)))
    outputs = F.conv_transpose2d(
        x.permute(0, 3, 1, 2),
        kernel,
        stride=tuple(strides),
        padding=tuple((n + 1) // 2 for n in excess),
    )
    return outputs.permute(0, 2, 3, 1)


def _outputs_first(kernel):
    kernel = kernel.permute(3, 2, 0, 1)
    return kernel.contiguous(memory_format=torch.channels_last)


def _same_padding(size, kernel_size, stride, dilation):
    covered = (-(-size // stride) - 1) * stride + (kernel_size - 1) * dilation + 1
    pad = max(covered - size, 0)
    return pad // 2, pad - pad // 2


def batch_normalization(x, gamma, beta, epsilon):
    features = x.reshape(-1, x.shape[-1])
    outputs, mean, inverse = torch.native_batch_norm(
        features, gamma, beta, None, None, True, 0.0, epsilon
    )
    return outputs.view(x.shape), mean, inverse**-2 - epsilon


def normal(shape, seed):
    return _normal(seed.next(), list(shape))


def uniform(shape, seed):
    return _uniform(seed.next(), list(shape))


# The numbers are those of `keras.random`. As operators of their own they can be traced:
# the seed remains a tensor until they run.


@torch.library.custom_op("kzoo::normal", mutates_args=())
def _normal(seed: torch.Tensor, shape: list[int]) -> torch.Tensor:
    return torch.randn(shape, generator=_generator(seed), device=seed.device)


@torch.library.custom_op("kzoo::uniform", mutates_args=())
def _uniform(seed: torch.Tensor, shape: list[int]) -> torch.Tensor:
    return torch.rand(shape, generator=_generator(seed), device=seed.device)


@_normal.register_fake
@_uniform.register_fake
def _of_shape(seed, shape):
    return seed.new_empty(shape, dtype=torch.float32)


def _generator(seed):
    return torch.Generator(seed.device).manual_seed(int(seed.sum()) & 0xFFFFFFFF)


def _fuse(optimizer, variables):
    """Makes Adam's step on a CPU one pass over memory, where Keras's takes nine."""
    adam = type(keras.optimizers.Adam())
    step = getattr(type(optimizer), "_parallel_update_step", None)
    plain = step is adam._parallel_update_step and not optimizer.amsgrad
    on_cpu = variables[0].value.device.type == "cpu"
    if plain and on_cpu and "_parallel_update_step" not in vars(optimizer):
        fused = functools.partial(_fused_adam, optimizer)
        object.__setattr__(optimizer, "_parallel_update_step", fused)


def _fused_adam(optimizer, grads, variables, learning_rate):
    """What `keras.optimizers.Adam` computes, by the kernel of `torch.optim.Adam`.

    Keras adds epsilon to the root of the raw second moment, PyTorch to that of the
    corrected one.
    """
    places = [optimizer._get_variable_index(variable) for variable in variables]
    weights = [variable.value for variable in variables]
    moments = [optimizer._momentums[place].value for place in places]
    squares = [optimizer._velocities[place].value for place in places]
    # The kernel takes numbers in the order of memory, whatever the strides.
    ordered = all(t.is_contiguous() for t in (*weights, *moments, *squares))
    if torch.compiler.is_compiling() or not ordered:
        step = type(optimizer)._parallel_update_step
        return step(optimizer, grads, variables, learning_rate)
    step = int(optimizer.iterations) + 1
    torch._fused_adam_(
        weights,
        [grad.contiguous() for grad in grads],
        moments,
        squares,
        [],
        [torch.tensor(float(step))] * len(places),
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5,
        amsgrad=False,
        maximize=False,
    )


def _averaged(grads):
    """Averages gradients over the processes of a group, if there is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return grads
    for grad in grads:
        if grad is not None:
            torch.distributed.all_reduce(grad)
            grad /= torch.distributed.get_world_size()
    return grads
