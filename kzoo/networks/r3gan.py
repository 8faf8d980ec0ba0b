"""R3GAN's networks: Huang et al., arXiv:2501.05441, section 3, "Config E".

Residual networks without normalisation. Written from the paper's text; the deviations
of initial label embeddings, which it leaves open, are those of the authors' code
(brownvc/R3GAN). What is beyond the border repeats the edge when maps are resampled,
which it leaves open too.
"""

import math

import keras
from keras import initializers, layers, ops

from kzoo import checks, media
from kzoo.layers import Conv2D
from kzoo.networks.blocks import (
    AveragePooling2D,
    GANNetworks,
    UpSampling2D,
    embedded,
    halved_sizes,
    label_input,
    network,
    of_width,
)


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
        return smoothed(images)


def smoothed(images):
    """What `Smooth` does."""
    for axis in (1, 2):
        first, tail = ops.split(images, [1], axis)
        head, last = ops.split(images, [images.shape[axis] - 1], axis)
        before = ops.concatenate([first, head], axis)
        after = ops.concatenate([tail, last], axis)
        images = (before + 2 * images + after) / 4
    return images


def upsampled(x):
    """Bilinear: `(batch, h, w, c)` to `(batch, 2h, 2w, c)`."""
    return Smooth()(UpSampling2D(2)(x))


def downsampled(x):
    """Bilinear with a low-pass filter: `(batch, 2h, 2w, c)` to `(batch, h, w, c)`."""
    return AveragePooling2D(2)(Smooth()(x))


def pointwise(width, **kwargs):
    """A linear 1x1 convolution. The counts in the paper's table 2 imply no bias."""
    kernel = initializers.LecunNormal()
    return Conv2D(width, 1, use_bias=False, kernel_initializer=kernel, **kwargs)


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


@keras.saving.register_keras_serializable("kzoo")
class R3GANNetworks(GANNetworks):
    """Residual networks of grouped convolutions, without normalisation.

    The generator starts at a learned map, each channel times a linear function of the
    latents, then has stages of residual blocks, each twice as large as the one before,
    and no squashing last activation. The discriminator mirrors it, and ends in a
    depthwise convolution over the whole map and a linear layer. With labels, the
    generator takes an embedding beside its latents, and the discriminator's logit is
    the product with a vector for the label (projection, arXiv:1802.05637).

    Args:
        widths: channels of each resolution from latents to images. The first map is the
            image halved once for each width but one. None means `r3gan_widths`:
            `(64, 32, 16)` for 28 pixels.
        blocks: residual blocks at each resolution; the paper has 2.
        group_size: channels of a group in the 3x3 convolutions, which are twice as wide
            as `widths`. The paper has 16, and 32 for ImageNet.
    """

    def __init__(self, widths=None, blocks=1, group_size=16):
        super().__init__(widths)
        self.blocks = checks.positive_int("blocks", blocks)
        self.group_size = checks.positive_int("group_size", group_size)

    def default_widths(self, image_shape):
        return r3gan_widths(image_shape)

    def settings_for(self, image_shape):
        """Widths, blocks and group size; a `ValueError` if they do not fit."""
        widths = self.widths_for(image_shape)
        if any(2 * width % self.group_size for width in widths):
            raise ValueError(
                "Expected twice every width to be a multiple of group_size. Received: "
                f"group_size={self.group_size}, widths={widths}. Change either."
            )
        return widths, self.blocks, self.group_size

    def generator(self, image_shape, latent_dim, num_classes=None):
        widths, blocks, group_size = self.settings_for(image_shape)
        stem = stem_size(image_shape, widths)
        latents = code = keras.Input((latent_dim,), name="latents")
        labels = label_input(num_classes)
        if labels:
            stddev = num_classes**-0.5
            vector = embedded(labels[0], num_classes, latent_dim, stddev)
            code = layers.Concatenate()([latents, vector])
        linear = initializers.LecunNormal()
        x = layers.Dense(widths[0], use_bias=False, kernel_initializer=linear)(code)
        normal = initializers.RandomNormal(stddev=1.0)
        x = layers.EinsumDense(
            "nc,hwc->nhwc", (*stem, widths[0]), kernel_initializer=normal
        )(x)
        for i, width in enumerate(widths):
            x = upsampled(of_width(x, width, pointwise)) if i else x
            x = residual_blocks(x, blocks, group_size, blocks * len(widths))
        x = pointwise(image_shape[-1], dtype="float32")(x)
        images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
        return network([latents, *labels], images, "generator")

    def discriminator(self, image_shape, num_classes=None):
        widths, blocks, group_size = self.settings_for(image_shape)
        stem = stem_size(image_shape, widths)
        images = keras.Input(image_shape, name="images")
        labels = label_input(num_classes)
        x = pointwise(widths[-1])(layers.Rescaling(2.0, -1.0)(images))
        for i, width in enumerate(reversed(widths)):
            x = of_width(downsampled(x), width, pointwise) if i else x
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
            stddev = (num_classes * widths[0]) ** -0.5
            vector = embedded(labels[0], num_classes, widths[0], stddev)
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

    Halves as `halved_sizes` does: to 7x7 from 28, to 4x4 from 32, 64 or 128.
    """
    halvings = len(halved_sizes(media.image_shape(image_shape)))
    return tuple(min(64, 16 * 2**i) for i in reversed(range(halvings)))
