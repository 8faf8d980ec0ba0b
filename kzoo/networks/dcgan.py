"""DCGAN's networks (Radford et al., arXiv:1511.06434): strided convolutions."""

import keras
from keras import layers

from kzoo import checks
from kzoo.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    Conv2D,
    Conv2DTranspose,
    MinibatchStandardDeviation,
)
from kzoo.networks.blocks import (
    CONDITIONINGS,
    NORMALIZATIONS,
    Flatten,
    GANNetworks,
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
class DCGANNetworks(GANNetworks):
    """Strided convolutions: the generator doubles the sides once for each width.

    For widths `(256, 128)` and 28 pixels its stem is 7x7x256. The discriminator halves
    the sides, the last widths first.

    Args:
        widths: channels from latents to images. None means `dcgan_widths`:
            `(256, 128)` for 28 pixels.
        normalization: of the discriminator: `"batch"` or `"layer"`, of what every layer
            but the first and the last puts out; `"spectral"`, of the kernel of every
            layer (arXiv:1802.05957); or None. `"batch"` mixes the slopes of a batch's
            images, which a gradient penalty is to keep apart.
        conditioning: how labels enter, where there are any: by `"concatenation"` with
            latents and images, or by `"projection"` (arXiv:1802.05637): conditional
            batch normalisation, and an inner product of features and embedded label.
        attention: height of the hidden maps, half the images' or less, after which
            both networks have self-attention (arXiv:1805.08318), or None. `\"auto\"`
            means `attention_height`, 32 or less.
        minibatch_stddev: whether the discriminator sees how much the images of a group
            of four differ (arXiv:1710.10196, section 3).
    """

    def __init__(
        self,
        widths=None,
        normalization="batch",
        conditioning="concatenation",
        attention=None,
        minibatch_stddev=False,
    ):
        super().__init__(widths)
        self.normalization = checks.one_of(
            "normalization", normalization, NORMALIZATIONS
        )
        self.conditioning = checks.one_of("conditioning", conditioning, CONDITIONINGS)
        self.attention = attention_setting(attention)
        self.minibatch_stddev = minibatch_stddev

    def default_widths(self, image_shape):
        return dcgan_widths(image_shape)

    def generator(self, image_shape, latent_dim, num_classes=None):
        attention = attention_height(self.attention, image_shape)
        widths, conditioning = self.widths_for(image_shape), self.conditioning
        height, width = halved(image_shape, len(widths), "dcgan")
        latents = keras.Input((latent_dim,), name="latents")
        label_inputs, x = vector_and_label(latents, num_classes, conditioning)

        def normalize(x):
            if label_inputs and conditioning == "projection":
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
        generator = network([latents, *label_inputs], images, "generator")
        return check_attention(attention, generator)

    def discriminator(self, image_shape, num_classes=None):
        attention = attention_height(self.attention, image_shape)
        widths, normalization = self.widths_for(image_shape), self.normalization
        normalize = {"batch": batch_norm, "layer": layer_norm}.get(normalization)
        halved(image_shape, len(widths), "dcgan")
        images = keras.Input(image_shape, name="images")
        x = layers.Rescaling(2.0, -1.0)(images)
        label_inputs, x = image_and_label(x, num_classes, self.conditioning)
        for i, width in enumerate(reversed(widths)):
            normal = normalize if i else None
            bias = normal is None
            conv = Conv2D(width, 4, 2, "same", use_bias=bias, **dcgan_init())
            x = normalized(conv, normalization)(x)
            x = layers.LeakyReLU(0.2)(normal()(x) if normal else x)
            x = attended(x, attention, normalization)
        x = MinibatchStandardDeviation()(x) if self.minibatch_stddev else x
        features = Flatten(dtype="float32")(x)
        last = layers.Dense(1, dtype="float32", **dcgan_init())
        logits = normalized(last, normalization)(features)
        if label_inputs and self.conditioning == "projection":
            logits += projection(features, *label_inputs, num_classes, normalization)
        discriminator = network([images, *label_inputs], logits, "discriminator")
        return check_attention(attention, discriminator)


def dcgan_widths(image_shape):
    """Widths of a DCGAN: 128 at half the image's size, doubled at each further half.

    Halves as `halved_sizes` does, at most four times, so `(1024, 512, 256, 128)` for 64
    pixels, as in the paper, and `(256, 128)` for 28.
    """
    halvings = min(4, len(halved_sizes(image_shape)) - 1)
    return tuple(128 * 2**i for i in reversed(range(max(halvings, 1))))


def dcgan_init():
    """A fresh initializer each time: Keras draws the same numbers from a shared one."""
    return {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.02)}


def batch_norm():
    gamma = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
    return BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma)
