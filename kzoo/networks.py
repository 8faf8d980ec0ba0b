"""What several models' networks are built from."""

import contextlib

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import SpectralNormalization


@contextlib.contextmanager
def precision(policy):
    """Builds the layers inside under a model's dtype policy, whatever the global one.

    A model saved in mixed precision is then rebuilt in it where it is loaded.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def vector_and_label(vector, num_classes):
    """The network inputs and the tensor `[vector, one-hot label]` for a condition.

    Args:
        vector: symbolic tensor `(batch, features)`, a `keras.Input` or made from one.
        num_classes: number of labels, or None for no condition.

    Returns:
        `(label inputs, tensor)`: a list of no or one `keras.Input` of int labels, and
        a tensor `(batch, features + num_classes)`.
    """
    if num_classes is None:
        return [], vector
    labels = keras.Input((), dtype="int32", name="labels")
    one_hot = ops.one_hot(labels, num_classes)
    return [labels], layers.Concatenate()([vector, one_hot])


def image_and_label(images, num_classes):
    """As `vector_and_label`, with one constant map for each class as a channel."""
    if num_classes is None:
        return [], images
    height, width, _ = images.shape[1:]
    labels = keras.Input((), dtype="int32", name="labels")
    maps = layers.RepeatVector(height * width)(ops.one_hot(labels, num_classes))
    maps = layers.Reshape((height, width, num_classes))(maps)
    return [labels], layers.Concatenate()([images, maps])


def network(inputs, outputs, name):
    """A `keras.Model` whose single input is not wrapped in a list."""
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=name)


def dcgan_widths(image_shape):
    """Widths of a DCGAN: 128 at half the image's size, doubled at each further half.

    Halves while both sides are even and the larger is above 7, at most four times, so
    `(1024, 512, 256, 128)` for 64 pixels, as in the paper, and `(256, 128)` for 28.
    """
    height, width, _ = image_shape
    widths = []
    while len(widths) < 4 and height % 2 == width % 2 == 0 and max(height, width) > 7:
        widths.insert(0, 128 * 2 ** len(widths))
        height, width = height // 2, width // 2
    return tuple(widths) or (128,)


def build_dcgan_generator(image_shape, latent_dim, widths, num_classes=None):
    """Latents to images in [0, 1]: dense stem, then a doubling for each width.

    Radford et al., arXiv:1511.06434. For widths `(256, 128)` and 28 pixels the stem is
    7x7x256.
    """
    height, width = halved(image_shape, len(widths), "dcgan")
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    x = layers.Dense(height * width * widths[0], use_bias=False, **dcgan_init())(x)
    x = layers.Reshape((height, width, widths[0]))(x)
    for width in widths[1:]:
        x = layers.ReLU()(batch_norm()(x))
        x = layers.Conv2DTranspose(width, 4, 2, "same", use_bias=False, **dcgan_init())(
            x
        )
    x = layers.ReLU()(batch_norm()(x))
    x = layers.Conv2DTranspose(
        image_shape[-1],
        4,
        2,
        "same",
        activation="tanh",
        dtype="float32",
        **dcgan_init(),
    )(x)
    images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
    return network([latents, *label_inputs], images, "generator")


def build_dcgan_discriminator(
    image_shape, latent_dim, widths, num_classes=None, normalization="batch"
):
    """Images in [0, 1] to a logit: a halving for each width, the last ones first.

    Args:
        normalization: `"batch"` or `"layer"`, of what every layer but the first and the
            last puts out; `"spectral"`, of the kernel of every layer; or None.
    """
    normalize = {"batch": batch_norm, "layer": layer_norm}.get(normalization)
    wrap = SpectralNormalization if normalization == "spectral" else lambda layer: layer
    halved(image_shape, len(widths), "dcgan")
    images = keras.Input(image_shape, name="images")
    label_inputs, x = image_and_label(layers.Rescaling(2.0, -1.0)(images), num_classes)
    for i, width in enumerate(reversed(widths)):
        normal = normalize if i else None
        bias = normal is None
        conv = layers.Conv2D(width, 4, 2, "same", use_bias=bias, **dcgan_init())
        x = wrap(conv)(x)
        x = layers.LeakyReLU(0.2)(normal()(x) if normal else x)
    last = wrap(layers.Dense(1, dtype="float32", **dcgan_init()))
    logits = last(layers.Flatten(dtype="float32")(x))
    return network([images, *label_inputs], logits, "discriminator")


def dcgan_init():
    """A fresh initializer each time: Keras draws the same numbers from a shared one."""
    return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}


def batch_norm():
    gamma = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
    return layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma
    )


def layer_norm():
    """Over all of an image's features, so that images do not see each other."""
    return layers.LayerNormalization(axis=(1, 2, 3))


NORMALIZATIONS = ("batch", "layer", "spectral", None)


def halved(image_shape, times, architecture):
    """Height and width after halving `times` times.

    Raises:
        ValueError: if a side cannot be halved so often.
    """
    height, width, _ = image_shape
    if height % 2**times or width % 2**times:
        raise ValueError(
            f"architecture={architecture!r} halves the images {times} times, once for "
            f"each of its widths. Expected sides divisible by {2**times}. "
            f"Received: image_shape={tuple(image_shape)}. Pad or resize the images, or "
            "pass fewer widths."
        )
    return height // 2**times, width // 2**times


def check_widths(widths):
    """Returns `widths` as a tuple of positive ints; at least one is needed."""
    widths = tuple(widths) if hasattr(widths, "__iter__") else (widths,)
    if not widths:
        raise ValueError("Expected at least one width. Received: widths=().")
    return tuple(checks.positive_int("every number in widths", n) for n in widths)


def check_shapes(argument, own, inputs, outputs, num_classes=None):
    """Raises a `ValueError` unless the user's network `own` maps these shapes.

    Calls it on symbolic tensors, which also builds it.

    Args:
        argument: what the user passed it as.
        own: a `keras.Model` or layer.
        inputs: shape of its input without the batch axis; with `num_classes`, the first
            of two inputs, the second being int labels.
        outputs: shape of its output without the batch axis, or a list of them.
    """
    tensors = keras.KerasTensor((None, *inputs))
    expected = f"(batch, {', '.join(map(str, inputs))})"
    if num_classes is not None:
        tensors = [tensors, keras.KerasTensor((None,), dtype="int32")]
        expected = f"[{expected}, int labels (batch,)]"
    try:
        received = keras.tree.map_structure(lambda t: tuple(t.shape[1:]), own(tensors))
    except Exception as error:
        raise ValueError(
            f"Expected {argument} to be a Keras model that takes {expected}. "
            f"Received: {own!r}, which fails: {error}"
        ) from error
    received = list(received) if isinstance(outputs, list) else received
    if received != outputs:
        raise ValueError(
            f"Expected {argument} to map {expected} to outputs of shape {outputs}, the "
            f"batch axis left out. Received: {argument} with outputs {received}."
        )
