"""Checks of the outputs of users' networks: images, logits, log variances.

Judged by what follows its last layer with weights, which is run on numbers far from 0:
a tanh is from -1 to 1, and with `Rescaling(0.5, 0.5)` behind it from 0 to 1. Where
Keras cannot tell what follows, in a subclass of `keras.Model`, the network itself is
run on large inputs, at which a sigmoid or tanh saturates. In doubt nothing is refused.
"""

import contextlib
import math

import keras
import numpy as np
from keras import layers

from kzoo.backend import keras_internals

N, FAR = 8, 30.0
WEIGHTED = (
    layers.Dense,
    layers.EinsumDense,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.SeparableConv2D,
    layers.DepthwiseConv2D,
)
TWO_SIDED = "End it in a layer without an activation, or with activation='linear'."
# What an output is to be: whether the range it has refuses it, and what to change.
KINDS = {
    "images": (
        lambda low, high: (
            high <= 0.01 or (math.isfinite(high - low) and (low < -0.1 or high > 1.1))
        ),
        "images in [0, 1]",
        "End it in activation='sigmoid', or put keras.layers.Rescaling(0.5, 0.5) "
        "behind a tanh.",
    ),
    "logits": (
        lambda low, high: low > -0.5 or high < 0.5 or high - low <= 2.02,
        "logits, from below to above 0",
        TWO_SIDED,
    ),
    "scores": (
        lambda low, high: high - low <= 2.02,
        "scores or logits, which nothing squashes",
        TWO_SIDED,
    ),
    "log_var": (
        lambda low, high: low > -0.5,
        "log variances, which are negative where a variance is below 1",
        TWO_SIDED + " Of a variance, take the logarithm.",
    ),
    "codes": (
        lambda low, high: low > -0.5 or high < 0.5,
        "latents to both sides of 0, as the prior has them",
        TWO_SIDED,
    ),
}
_checked = True


@contextlib.contextmanager
def unchecked():
    """Checks no endings: a model in a file was made before, and has to load."""
    global _checked
    before, _checked = _checked, False
    try:
        yield
    finally:
        _checked = before


def check(argument, own, inputs, kinds, num_classes=None):
    """Raises a `ValueError` for a network whose outputs cannot be what they are to be.

    Args:
        argument: what the user passed it as.
        own: a network that has passed `blocks.check_shapes`.
        inputs: shape of its input without the batch axis, or a list of them.
        kinds: what each output is to be, of `KINDS`, or None for anything; one, or a
            list where there are several outputs.
        num_classes: number of labels that are its last input, or None.
    """
    if not _checked:
        return
    shapes = inputs if isinstance(inputs, list) else [inputs]
    outputs = run(own, shapes, num_classes, scale=1.0)
    symbolic = keras.tree.flatten(own(symbols(shapes, num_classes)))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    for i, (kind, tensor) in enumerate(zip(kinds, symbolic, strict=True)):
        output = None if outputs is None else outputs[i]
        place = argument if len(kinds) == 1 else f"output {i} of {argument}"
        if output is not None:
            check_numbers(place, output)
        if kind is None:
            continue
        found = tail(tensor)
        if found is None and output is not None:
            far = run(own, shapes, num_classes, scale=1e4)
            bounds = None if far is None else saturated(output, far[i])
        else:
            bounds = found and reach(*found)
        refuses, wanted, change = KINDS[kind]
        if bounds is not None and refuses(*bounds):
            low, high = bounds
            raise ValueError(
                f"Expected {place} to give {wanted}. Received: {own.name!r}, which "
                f"gives numbers from {low:.3g} to {high:.3g} by its last activation. "
                f"{change}"
            )


def check_numbers(place, output):
    if len(output) != N:
        raise ValueError(
            f"Expected {place} to have as many outputs as inputs. Received: "
            f"{len(output)} for a batch of {N}."
        )
    if np.isnan(output).all():
        raise ValueError(
            f"Expected {place} to give numbers. Received: NaN. Look for a logarithm, "
            "root or division, or weights that are NaN."
        )


def symbols(shapes, num_classes):
    tensors = [keras.KerasTensor((None, *shape)) for shape in shapes]
    if num_classes is not None:
        tensors.append(keras.KerasTensor((None,), dtype="int32"))
    return tensors[0] if len(tensors) == 1 else tensors


def run(own, shapes, num_classes, scale):
    """Its outputs for random inputs, or None where it does not take them."""
    rng = np.random.default_rng(0)
    images = [len(shape) == 3 and scale == 1 for shape in shapes]
    arrays = [
        rng.random((N, *s)) if image else scale * rng.standard_normal((N, *s))
        for s, image in zip(shapes, images, strict=True)
    ]
    tensors = [keras.ops.convert_to_tensor(a.astype("float32")) for a in arrays]
    if num_classes is not None:
        labels = (np.arange(N) % num_classes).astype("int32")
        tensors.append(keras.ops.convert_to_tensor(labels))
    try:
        outputs = own(tensors[0] if len(tensors) == 1 else tensors, training=False)
    except Exception:  # a batch of 8 may not be one it is made for
        return None
    return [numbers(output) for output in keras.tree.flatten(outputs)]


def numbers(tensor):
    tensor = keras.ops.stop_gradient(keras.ops.cast(tensor, "float32"))
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def tail(tensor):
    """`(shape, functions)`: what follows the last weights, and the shape they make.

    None where it cannot be told.
    """
    end, functions = tensor, []
    while True:
        operation, index, inputs = keras_internals.producer(tensor)
        if operation is None or isinstance(operation, layers.InputLayer):
            return None
        graph = has_graph(operation)
        weightless = not getattr(operation, "weights", [])
        if not weightless or graph or len(inputs) != 1:
            break
        tensor = inputs[0]
    if tensor is not end:
        functions = [keras.Model(tensor, end)]
    if graph:
        found = tail(operation.outputs[index])
        return found and (found[0], found[1] + functions)
    if not is_kept(operation, ("keras.", "kzoo.")):
        return None
    inner = getattr(operation, "layer", operation)  # of a wrapper
    if isinstance(inner, WEIGHTED) and inner.activation is not None:
        functions = [inner.activation, *functions]
    shape = tuple(tensor.shape[1:])
    return None if None in shape else (shape, functions)


def is_kept(operation, packages=("keras.",)):
    """Whether its `call` is that of Keras's own class, or of another of `packages`."""
    return type(operation).call.__module__.startswith(packages)


def has_graph(operation):
    """Whether it is a model whose `outputs` say what it computes."""
    model = isinstance(operation, keras.Model) and is_kept(operation)
    return model and hasattr(operation, "outputs")


def reach(shape, functions):
    """The bounds of `functions` one after the other; infinite where they have none."""
    unit = np.random.default_rng(0).uniform(-1, 1, (N, *shape)).astype("float32")
    ends = []
    for scale in (FAR, 100 * FAR):
        x = keras.ops.convert_to_tensor(scale * unit)
        for function in functions:
            x = function(x)
        x = numbers(x)
        if not np.isfinite(x).all():
            return None
        ends.append((float(x.min()), float(x.max())))
    (low, high), (lower, higher) = ends
    return (
        -math.inf if lower < 1.5 * min(low, 0.0) - 0.5 else lower,
        math.inf if higher > 1.5 * max(high, 0.0) + 0.5 else higher,
    )


def saturated(near, far):
    """The bounds that outputs for large inputs are at, if they are at any."""
    if not (np.isfinite(near).all() and np.isfinite(far).all()):
        return None
    sums = [np.allclose(x.sum(-1), 1, atol=1e-3) for x in (near, far)]
    if near.shape[-1] > 1 and near.min() >= 0 and all(sums):  # a softmax
        return 0.0, 1.0
    for low, high in (0.0, 1.0), (-1.0, 1.0):
        inside = low - 1e-3 < far.min() and far.max() < high + 1e-3
        at_end, before = (
            np.minimum(abs(x - low), abs(x - high)) < 1e-3 for x in (far, near)
        )
        touched = (abs(far) > 0.999).any()
        if inside and touched and at_end.mean() > 0.9 and before.mean() < 0.5:
            return low, high
    return None
