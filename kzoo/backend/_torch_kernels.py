"""PyTorch's own kernels, where what Keras makes of them is several times slower."""

import functools

import keras
import torch
import torch.nn.functional as F

from kzoo.backend._torch_processes import APART, rank


def convolution(x, kernel, strides, padding, data_format, dilation_rate):
    """`keras.ops.conv`, which copies images to channels first and back."""
    if x.ndim != 4 or data_format != "channels_last" or padding == "causal":
        return keras.ops.conv(x, kernel, strides, padding, data_format, dilation_rate)
    if tuple(kernel.shape[:2]) == (1, 1):
        # The kernel of PyTorch 2.13 for strides here writes beyond its memory (AVX2).
        x, strides = x[:, :: strides[0], :: strides[1]], (1, 1)
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
    own = int(seed.sum()) + rank() * APART  # every process draws other numbers
    return torch.Generator(seed.device).manual_seed(own & 0xFFFFFFFF)


def fuse(optimizer, variables):
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
