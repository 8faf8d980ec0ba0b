"""Layers and Adam by PyTorch's own kernels, several times faster than by Keras."""

import keras
import torch
import torch.nn.functional as F

from kzoo.backend import keras_internals


def convolution(x, kernel, strides, padding, data_format, dilation_rate):
    """`keras.ops.conv`, without its copies to channels first and back."""
    if x.ndim != 4 or data_format != "channels_last" or padding == "causal":
        return keras.ops.conv(x, kernel, strides, padding, data_format, dilation_rate)
    if tuple(kernel.shape[:2]) == (1, 1):
        # With strides, PyTorch 2.13's kernel for 1x1 writes beyond its memory (AVX2).
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

    PyTorch crops both sides alike. Where Keras crops one more at the end, a zero is put
    before the kernel. Expects strides that are not larger than the kernel.
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


def fuse(optimizer, variables):
    """Replaces Adam's step on a CPU, nine passes over memory in Keras, by one pass."""
    if variables[0].value.device.type == "cpu":
        keras_internals.replace_adam_step(optimizer, _fused_adam)


def _fused_adam(optimizer, grads, variables, learning_rate):
    """`keras.optimizers.Adam` by the kernel of `torch.optim.Adam`.

    Keras adds epsilon to the root of the raw second moment, PyTorch to that of the
    corrected one.
    """
    weights = [variable.value for variable in variables]
    pairs = [keras_internals.adam_moments(optimizer, v) for v in variables]
    moments, squares = ([v.value for v in kind] for kind in zip(*pairs, strict=True))
    # The kernel reads numbers in the order of memory, whatever the strides.
    ordered = all(t.is_contiguous() for t in (*weights, *moments, *squares))
    if torch.compiler.is_compiling() or not ordered:
        keras_internals.keras_adam_step(optimizer, grads, variables, learning_rate)
        return
    step = int(optimizer.iterations) + 1
    torch._fused_adam_(
        weights,
        [grad.contiguous() for grad in grads],
        moments,
        squares,
        [],
        [torch.tensor(float(step))] * len(weights),
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5,
        amsgrad=False,
        maximize=False,
    )
