"""DCGAN's networks (Radford et al., arXiv:1511.06434): strided convolutions."""

import keras
from keras import layers

from kzoo.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    Conv2D,
    Conv2DTranspose,
    MinibatchStandardDeviation,
)
from kzoo.networks import (
    attended,
    halved,
    image_and_label,
    layer_norm,
    network,
    normalized,
    projection,
    vector_and_label,
)


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


def build_dcgan_generator(
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    conditioning="concatenation",
    attention=None,
):
    """Latents to images in [0, 1]: dense stem, then a doubling for each width.

    Radford et al., arXiv:1511.06434. For widths `(256, 128)` and 28 pixels the stem is
    7x7x256. Self-attention comes after hidden maps of the height `attention`.
    """
    height, width = halved(image_shape, len(widths), "dcgan")
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes, conditioning)

    def normalize(x):
        if conditioning == "projection":
            conditional = ConditionalBatchNormalization(num_classes, 0.9, 1e-5)
            return conditional(x, *label_inputs)
        return batch_norm()(x)

    x = layers.Dense(height * width * widths[0], use_bias=False, **dcgan_init())(x)
    x = layers.Reshape((height, width, widths[0]))(x)
    x = attended(layers.ReLU()(normalize(x)), attention, None)
    for width in widths[1:]:
        x = Conv2DTranspose(width, 4, 2, "same", use_bias=False, **dcgan_init())(x)
        x = attended(layers.ReLU()(normalize(x)), attention, None)
    x = Conv2DTranspose(
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
    image_shape,
    latent_dim,
    widths,
    num_classes=None,
    normalization="batch",
    conditioning="concatenation",
    attention=None,
    minibatch_stddev=False,
):
    """Images in [0, 1] to a logit: a halving for each width, the last ones first.

    Args:
        normalization: `"batch"` or `"layer"`, of what every layer but the first and the
            last puts out; `"spectral"`, of the kernel of every layer; or None.
        attention: height of the hidden maps after which self-attention comes, or None.
        minibatch_stddev: whether the last layer sees how much images differ.
    """
    normalize = {"batch": batch_norm, "layer": layer_norm}.get(normalization)
    halved(image_shape, len(widths), "dcgan")
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(2.0, -1.0)(images)
    label_inputs, x = image_and_label(x, num_classes, conditioning)
    for i, width in enumerate(reversed(widths)):
        normal = normalize if i else None
        bias = normal is None
        conv = Conv2D(width, 4, 2, "same", use_bias=bias, **dcgan_init())
        x = normalized(conv, normalization)(x)
        x = layers.LeakyReLU(0.2)(normal()(x) if normal else x)
        x = attended(x, attention, normalization)
    x = MinibatchStandardDeviation()(x) if minibatch_stddev else x
    features = layers.Flatten(dtype="float32")(x)
    last = layers.Dense(1, dtype="float32", **dcgan_init())
    logits = normalized(last, normalization)(features)
    if conditioning == "projection":
        logits += projection(features, *label_inputs, num_classes, normalization)
    return network([images, *label_inputs], logits, "discriminator")


def dcgan_init():
    """A fresh initializer each time: Keras draws the same numbers from a shared one."""
    return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}


def batch_norm():
    gamma = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)
