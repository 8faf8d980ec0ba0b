"""SNGAN's residual networks (Miyato et al., arXiv:1802.05957, appendix B).

The networks of the paper's tables for 32 pixels, CIFAR-10, and 128 pixels, ImageNet,
with as many doublings as other sizes allow. Differs from the paper: the convolutions in
the generator's blocks have no bias, as batch normalisation would take it away again.
"""

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    Conv2D,
    MinibatchStandardDeviation,
)
from kzoo.networks.blocks import (
    CONDITIONINGS,
    NORMALIZATIONS,
    AveragePooling2D,
    GANNetworks,
    UpSampling2D,
    attended,
    attention_height,
    attention_setting,
    check_attention,
    halved,
    halved_sizes,
    image_and_label,
    layer_norm,
    network,
    normalized,
    projection,
    vector_and_label,
)


@keras.saving.register_keras_serializable("kzoo")
class ResNetNetworks(GANNetworks):
    """Residual blocks: the generator doubles the sides once for each width but one.

    For widths `(256, 256, 256)` and 28 pixels its stem is 7x7x256. The discriminator
    (see `discriminator_blocks`) ends in a sum over all pixels.

    Args:
        widths: channels of the generator's stem, then of a block for each doubling.
            None means `resnet_widths`: `(256, 256, 256)` for 28 pixels.
        normalization: of the discriminator: `"batch"` or `"layer"`, before each
            activation in all blocks but the first; `"spectral"`, of the kernel of every
            layer (arXiv:1802.05957); or None.
        conditioning: how labels enter, where there are any, as in `DCGANNetworks`.
        attention: height of the hidden maps, half the images' or less, after which
            both networks have self-attention (arXiv:1805.08318), or None. `\"auto\"`
            means `attention_height`, 32 or less. Where several
            of the discriminator's blocks put out such maps, after the first of them.
        minibatch_stddev: whether the discriminator sees how much the images of a group
            of four differ (arXiv:1710.10196, section 3).
        generator_normalization: `"spectral"`, of the kernel of each of the generator's
            layers too (SAGAN, arXiv:1805.08318), or None.
    """

    def __init__(
        self,
        widths=None,
        normalization="batch",
        conditioning="concatenation",
        attention=None,
        minibatch_stddev=False,
        generator_normalization=None,
    ):
        super().__init__(widths)
        self.normalization = checks.one_of(
            "normalization", normalization, NORMALIZATIONS
        )
        self.conditioning = checks.one_of("conditioning", conditioning, CONDITIONINGS)
        self.attention = attention_setting(attention)
        self.minibatch_stddev = minibatch_stddev
        self.generator_normalization = checks.one_of(
            "generator_normalization", generator_normalization, ("spectral", None)
        )

    def default_widths(self, image_shape):
        return resnet_widths(image_shape)

    def generator(self, image_shape, latent_dim, num_classes=None):
        attention = attention_height(self.attention, image_shape)
        widths, kernels = self.widths_for(image_shape), self.generator_normalization
        height, width = halved(image_shape, len(widths) - 1, "resnet")
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes, self.conditioning)

        def normalize(x):
            if label_inputs and self.conditioning == "projection":
                return ConditionalBatchNormalization(num_classes)(x, *label_inputs)
            return batch_norm()(x)

        x = normalized(layers.Dense(height * width * widths[0]), kernels)(x)
        x = layers.Reshape((height, width, widths[0]))(x)
        x = attended(x, attention, kernels)
        for width in widths[1:]:
            x = up_block(x, width, normalize, kernels)
            x = attended(x, attention, kernels)
        x = layers.ReLU()(batch_norm()(x))
        x = normalized(
            Conv2D(image_shape[-1], 3, padding="same", dtype="float32"), kernels
        )(x)
        x = layers.Activation("tanh", dtype="float32")(x)
        images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
        generator = network([latents, *label_inputs], images, "generator")
        return check_attention(attention, generator)

    def discriminator(self, image_shape, num_classes=None):
        attention = attention_height(self.attention, image_shape)
        widths, normalization = self.widths_for(image_shape), self.normalization
        halved(image_shape, len(widths) - 1, "resnet")
        images = keras.Input(image_shape, name="images")
        x = layers.Rescaling(2.0, -1.0)(images)
        label_inputs, x = image_and_label(x, num_classes, self.conditioning)
        for i, (width, halves) in enumerate(discriminator_blocks(image_shape, widths)):
            height = x.shape[1]
            x = down_block(x, width, halves, normalization, first=i == 0)
            x = attended(x, attention, normalization) if x.shape[1] < height else x
        x = MinibatchStandardDeviation()(x) if self.minibatch_stddev else x
        features = ops.sum(layers.ReLU(dtype="float32")(x), axis=(1, 2))
        logits = normalized(layers.Dense(1, dtype="float32"), normalization)(features)
        if label_inputs and self.conditioning == "projection":
            logits += projection(features, *label_inputs, num_classes, normalization)
        discriminator = network([images, *label_inputs], logits, "discriminator")
        return check_attention(attention, discriminator)


def sagan_networks(widths=None, attention="auto"):
    """SAGAN's `ResNetNetworks` (Zhang et al., arXiv:1805.08318, section 4).

    Spectral normalisation in both networks, labels by projection, and self-attention.

    Args:
        widths, attention: as in `ResNetNetworks`.
    """
    return ResNetNetworks(
        widths,
        normalization="spectral",
        conditioning="projection",
        attention=attention,
        generator_normalization="spectral",
    )


def resnet_widths(image_shape):
    """Widths of a resnet: of the generator's stem, then of a block for each doubling.

    The stem is the last of `halved_sizes`. Up to 32 pixels all are 256, so `(256, 256,
    256, 256)` for 32 and `(256, 256, 256)` for 28. For larger images they are 64 at the
    images' size, doubled at each halving up to 1024: `(1024, 512, 256, 128, 64)` for 64
    pixels.
    """
    doublings = max(1, len(halved_sizes(image_shape)) - 1)
    if max(image_shape[:2]) <= 32:
        return (256,) * (doublings + 1)
    return tuple(min(1024, 64 * 2**i) for i in reversed(range(doublings + 1)))


def discriminator_blocks(image_shape, widths):
    """A pair `(width, whether it halves)` for each block, the images' end first.

    Up to 32 pixels four blocks half as wide as the stem, of which at most two halve;
    for larger images the generator's widths, of which all but the last halve.
    """
    halvings = len(widths) - 1
    if max(image_shape[:2]) <= 32:
        width = max(widths[0] // 2, 1)
        return [(width, i < min(halvings, 2)) for i in range(4)]
    return [(width, i < halvings) for i, width in enumerate(reversed(widths))]


def up_block(x, width, normalize, kernels=None):
    """Doubles the sides, of the shortcut after its convolution, where that is cheap."""

    def convolved(x, kernel_size):
        return normalized(convolution(width, kernel_size, use_bias=False), kernels)(x)

    shortcut = convolved(x, 1)
    shortcut = UpSampling2D(2)(shortcut)
    x = layers.ReLU()(normalize(x))
    x = convolved(UpSampling2D(2)(x), 3)
    x = convolved(layers.ReLU()(normalize(x)), 3)
    return layers.Add()([x, shortcut])


def down_block(x, width, halves, normalization, first):
    """Halves the sides if `halves`. The first block does not activate its input."""
    hidden = width if first else x.shape[-1]
    shortcut = AveragePooling2D(2)(x) if halves else x
    if first or halves or x.shape[-1] != width:
        shortcut = normalized(convolution(width, 1), normalization)(shortcut)
    x = x if first else activated(x, normalization)
    x = normalized(convolution(hidden, 3), normalization)(x)
    x = activated(x, None if first else normalization)
    x = normalized(convolution(width, 3), normalization)(x)
    x = AveragePooling2D(2)(x) if halves else x
    return layers.Add()([x, shortcut])


def activated(x, normalization):
    normalize = {"batch": batch_norm, "layer": layer_norm}.get(normalization)
    return layers.ReLU()(normalize()(x) if normalize else x)


def convolution(width, kernel_size, **settings):
    """Glorot and Bengio's uniform weights, as in the authors' code.

    Those of 3x3 kernels have twice the variance, as a ReLU comes before.
    """
    initializer = keras.initializers.VarianceScaling(
        2.0 if kernel_size == 3 else 1.0, "fan_avg", "uniform"
    )
    return Conv2D(
        width, kernel_size, padding="same", kernel_initializer=initializer, **settings
    )


def batch_norm():
    return BatchNormalization(momentum=0.9, epsilon=2e-5)
