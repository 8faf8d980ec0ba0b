"""R3GAN's networks: Huang et al., arXiv:2501.05441, section 3, "Config E".

Residual networks without normalisation. Written from the paper's text alone. What is
beyond the border repeats the edge when maps are resampled, which the paper leaves open.
"""

import math

import keras
from keras import initializers, layers, ops

from kzoo import checks
from kzoo.layers import Conv2D
from kzoo.networks import network


@keras.saving.register_keras_serializable("kzoo")
class GroupedConv2D(Conv2D):
    """`Conv2D` that runs its groups as convolutions of their own, if it has up to 32.

    The result is the same; gradients of gradients of many small convolutions are
    quicker on a CPU than those of a grouped one.
    """

    def convolution_op(self, inputs, kernel):
        convolve = super().convolution_op
        if not 1 < self.groups <= 32:
            return convolve(inputs, kernel)
        parts = (ops.split(x, self.groups, axis=-1) for x in (inputs, kernel))
        return ops.concatenate(list(map(convolve, *parts)), axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class Smooth(layers.Layer):
    """The filter [1, 2, 1] / 4 along height and width; the edges are repeated.

    After doubling, or before averaging, pixels it makes the resampling bilinear
    (appendix E). Unlike TensorFlow's resize it can be differentiated twice.
    """

    def call(self, images):
        for axis in (1, 2):
            first, tail = ops.split(images, [1], axis)
            head, last = ops.split(images, [images.shape[axis] - 1], axis)
            before = ops.concatenate([first, head], axis)
            after = ops.concatenate([tail, last], axis)
            images = (before + 2 * images + after) / 4
        return images


def upsampled(x):
    """Bilinear: `(batch, h, w, c)` to `(batch, 2h, 2w, c)`."""
    return Smooth()(layers.UpSampling2D(2)(x))


def downsampled(x):
    """Bilinear with a low-pass filter: `(batch, 2h, 2w, c)` to `(batch, h, w, c)`."""
    return layers.AveragePooling2D(2)(Smooth()(x))


def pointwise(width, **kwargs):
    """A linear 1x1 convolution. The counts in the paper's table 2 imply no bias."""
    kernel = initializers.LecunNormal()
    return Conv2D(width, 1, use_bias=False, kernel_initializer=kernel, **kwargs)


def of_width(x, width):
    return x if x.shape[-1] == width else pointwise(width)(x)


def residual_blocks(x, blocks, group_size, total):
    """Blocks 1x1 - 3x3 - 1x1, twice as wide inside; each starts as the identity.

    Fix-up initialisation: zeros in the last convolution, the other two scaled by
    `total`^-0.25, where `total` is the number of blocks in the network.
    """

    def fixup():  # a variance, hence the square
        return initializers.VarianceScaling(2 / (1 + 0.2**2) * total**-0.5)

    width = x.shape[-1]
    inner, groups = 2 * width, 2 * width // group_size
    for _ in range(blocks):
        y = Conv2D(inner, 1, kernel_initializer=fixup())(x)
        y = layers.LeakyReLU(0.2)(y)
        y = GroupedConv2D(
            inner, 3, padding="same", groups=groups, kernel_initializer=fixup()
        )(y)
        y = layers.LeakyReLU(0.2)(y)
        y = Conv2D(width, 1, use_bias=False, kernel_initializer="zeros")(y)
        x = layers.Add()([x, y])
    return x


def embedded(labels, num_classes, width, stddev):
    """A learned vector for each label: `(batch,)` to `(batch, width)`."""
    normal = initializers.RandomNormal(stddev=stddev)
    embed = layers.Dense(width, use_bias=False, kernel_initializer=normal)
    return embed(ops.one_hot(labels, num_classes))


def label_input(num_classes):
    """A list of no or one `keras.Input`."""
    return [keras.Input((), dtype="int32", name="labels")] if num_classes else []


def build_r3gan_generator(
    image_shape, latent_dim, widths, num_classes=None, blocks=1, group_size=16
):
    """Latents to images about [0, 1], without a squashing last activation.

    A learned map of `stem_size`, each channel times a linear function of the latents,
    then stages of residual blocks, each twice as large as the one before.
    """
    stem = stem_size(image_shape, widths)
    latents = code = keras.Input((latent_dim,), name="latents")
    labels = label_input(num_classes)
    if labels:
        vector = embedded(labels[0], num_classes, latent_dim, stddev=1.0)
        code = layers.Concatenate()([latents, vector])
    linear = initializers.LecunNormal()
    x = layers.Dense(widths[0], use_bias=False, kernel_initializer=linear)(code)
    normal = initializers.RandomNormal(stddev=1.0)
    x = layers.EinsumDense(
        "nc,hwc->nhwc", (*stem, widths[0]), kernel_initializer=normal
    )(x)
    for i, width in enumerate(widths):
        x = upsampled(of_width(x, width)) if i else x
        x = residual_blocks(x, blocks, group_size, blocks * len(widths))
    x = pointwise(image_shape[-1], dtype="float32")(x)
    images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
    return network([latents, *labels], images, "generator")


def build_r3gan_discriminator(
    image_shape, latent_dim, widths, num_classes=None, blocks=1, group_size=16
):
    """Images in [0, 1] to a logit: the generator's mirror image.

    Ends in a depthwise convolution over the whole map and a linear layer; with labels,
    in its product with a vector for the label (projection, arXiv:1802.05637).
    """
    stem = stem_size(image_shape, widths)
    images = keras.Input(image_shape, name="images")
    labels = label_input(num_classes)
    x = pointwise(widths[-1])(layers.Rescaling(2.0, -1.0)(images))
    for i, width in enumerate(reversed(widths)):
        x = of_width(downsampled(x), width) if i else x
        x = residual_blocks(x, blocks, group_size, blocks * len(widths))
    normal = initializers.RandomNormal(stddev=math.prod(stem) ** -0.5)
    x = layers.EinsumDense("nhwc,hwc->nc", widths[0], kernel_initializer=normal)(x)
    linear = layers.Dense(
        widths[0] if labels else 1,
        use_bias=False,
        kernel_initializer=initializers.LecunNormal(),
        dtype="float32",
    )
    logits = linear(x)
    if labels:
        vector = embedded(labels[0], num_classes, widths[0], widths[0] ** -0.5)
        logits = layers.Dot(axes=1, dtype="float32")([logits, vector])
    return network([images, *labels], logits, "discriminator")


def stem_size(image_shape, widths):
    """Height and width of the generator's first map.

    Raises:
        ValueError: if a side cannot be halved once for each width but one.
    """
    height, width, _ = image_shape
    factor = 2 ** (len(widths) - 1)
    if height % factor or width % factor:
        raise ValueError(
            f"R3GAN halves the images once for each width but one. Expected sides "
            f"divisible by {factor}. Received: image_shape={tuple(image_shape)}, "
            f"widths={tuple(widths)}. Pad or resize the images, or pass fewer widths."
        )
    return height // factor, width // factor


def r3gan_widths(image_shape):
    """Widths for a CPU: 16 at the image's size, doubled at each halving up to 64.

    Halves while both sides are even and the larger is above 7: to 7x7 from 28, to 4x4
    from 32, 64 or 128.
    """
    height, width, _ = checks.image_shape(image_shape)
    widths = [16]
    while height % 2 == width % 2 == 0 and max(height, width) > 7:
        widths.insert(0, min(64, 2 * widths[0]))
        height, width = height // 2, width // 2
    return tuple(widths)
