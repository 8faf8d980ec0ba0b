"""StyleGAN2's networks: Karras et al., arXiv:1912.04958, figures 2c and 7, appendix B.

A mapping network turns latents into styles, which scale the inputs of the generator's
convolutions; the discriminator is residual. Written from the papers. Differs from them:
maps are enlarged before a convolution and shrunk after one, as the figures have it, by
a filter that repeats the edge beyond the border. Bias and activation come last, as in
the authors' code (NVlabs/stylegan2).
"""

import math

import keras
from keras import initializers, layers, ops

from kzoo import checks, media
from kzoo.layers import MinibatchStandardDeviation
from kzoo.networks.blocks import (
    Flatten,
    GANNetworks,
    embedded,
    halved,
    halved_sizes,
    label_input,
    network,
)
from kzoo.networks.modulation import (
    EqualizedConv2D,
    EqualizedDense,
    ModulatedConv2D,
    StyledConv2D,
    scaled_leaky_relu,
)
from kzoo.networks.r3gan import Smooth, downsampled, smoothed


@keras.saving.register_keras_serializable("kzoo")
class BilinearUpsampling(Smooth):
    """`(batch, h, w, c)` to `(batch, 2h, 2w, c)`, differentiable twice."""

    def call(self, images):
        return super().call(ops.repeat(ops.repeat(images, 2, axis=1), 2, axis=2))


@keras.saving.register_keras_serializable("kzoo")
class Synthesis(layers.Layer):
    """Styles to images about [0, 1]: a learned map, styled convolutions, their sum.

    The skip generator of figure 7b: at each resolution a 1x1 convolution makes an
    image, to which the enlarged one of the resolution before is added.

    Args:
        image_shape: `(height, width, channels)`.
        widths: channels of each resolution, the smallest first.
        noisy: whether there are strengths of the noise to train.

    Call arguments:
        styles: `(batch, 2 * len(widths), features)`, one for each convolution; the one
            that makes an image shares the next convolution's.
        noise: a map `(batch, height, width, 1)` of each of `noise_sizes`, or None.
    """

    def __init__(self, image_shape, widths, noisy=True, **kwargs):
        super().__init__(**kwargs)
        self.image_shape, self.widths = tuple(image_shape), tuple(widths)
        self.noisy = noisy
        self.styles = 2 * len(self.widths)
        policy = self.dtype_policy
        doubled = [w for width in self.widths for w in (width, width)]
        self.convolutions = [
            StyledConv2D(w, 3, noisy=noisy, dtype=policy) for w in doubled[1:]
        ]
        self.to_images = [
            ModulatedConv2D(self.image_shape[-1], 1, demodulate=False, dtype="float32")
            for _ in self.widths
        ]
        self.enlarge = BilinearUpsampling(dtype=policy)
        self.enlarge_image = BilinearUpsampling(dtype="float32")
        height, width = halved(self.image_shape, len(self.widths) - 1, "stylegan")
        sizes = [(height * 2**i, width * 2**i) for i in range(len(self.widths))]
        self.noise_sizes = [size for size in sizes for _ in range(2)][1:]

    def build(self, styles_shape):
        self.constant = self.add_weight(
            (*self.noise_sizes[0], self.widths[0]),
            initializers.RandomNormal(stddev=1.0),
            name="constant",
        )
        style, channels = (None, styles_shape[-1]), self.widths[0]
        for convolution in self.convolutions:
            convolution.build((None, None, None, channels), style)
            channels = convolution.filters
        for to_image, channels in zip(self.to_images, self.widths, strict=True):
            to_image.build((None, None, None, channels), style)
        for unused in (self.enlarge, self.enlarge_image):  # by a single width
            unused.built = True

    def call(self, styles, noise=None):
        noise = [None] * len(self.convolutions) if noise is None else noise
        x = ops.zeros_like(styles[:, :1, :1, None]) + self.constant
        images = None
        for i, to_image in enumerate(self.to_images):
            if i:
                x, images = self.enlarge(x), self.enlarge_image(images)
            for j in range(max(2 * i - 1, 0), 2 * i + 1):
                x = self.convolutions[j](x, styles[:, j], noise[j])
            image = to_image(x, styles[:, 2 * i + 1])
            images = images + image if i else image
        return 0.5 * images + 0.5

    def get_config(self):
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "widths": self.widths,
            "noisy": self.noisy,
        }


def unit_second_moment(x):
    """Vectors `(batch, n)` with a mean square of 1: arXiv:1710.10196, section 4.2."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-8)


@keras.saving.register_keras_serializable("kzoo")
class StyleGANNetworks(GANNetworks):
    """Modulated convolutions, and a residual discriminator.

    The generator has the layers `mapping`, latents to styles, and `synthesis`, styles
    to images about [0, 1]. Called as a whole it has one style an image and no noise.
    With labels, the mapping takes an embedding beside its latents, and the
    discriminator's logit is the product with a label's vector. The discriminator always
    sees how much images differ.

    Args:
        widths: channels of each resolution from latents to images; the discriminator
            mirrors them. The first map is the image halved once for each width but
            one. None means `stylegan_widths`: `(64, 32, 16)` for 28 pixels.
        mapping_layers: dense layers from latents to styles.
        mapping_rate: learning rate of these layers, relative to that of others.
        noisy: whether a model passes noise to the layer `synthesis`.
    """

    # Weights that are scaled in use move as far at ten times the rate.
    learning_rate = 2e-3

    def __init__(self, widths=None, mapping_layers=8, mapping_rate=0.01, noisy=False):
        super().__init__(widths)
        self.mapping_layers = checks.positive_int("mapping_layers", mapping_layers)
        self.mapping_rate = checks.number("mapping_rate", mapping_rate, above=0)
        self.noisy = noisy

    def default_widths(self, image_shape):
        return stylegan_widths(image_shape)

    def mapping(self, latent_dim, num_classes=None):
        """Latents to styles of the same size."""
        latents = keras.Input((latent_dim,), name="latents")
        labels = label_input(num_classes)
        x = unit_second_moment(latents)
        if labels:
            vector = embedded(labels[0], num_classes, latent_dim, stddev=1.0)
            x = layers.Concatenate()([x, unit_second_moment(vector)])
        for _ in range(self.mapping_layers):
            x = EqualizedDense(
                latent_dim, self.mapping_rate, activation=scaled_leaky_relu
            )(x)
        return network([latents, *labels], x, "mapping")

    def generator(self, image_shape, latent_dim, num_classes=None):
        widths = self.widths_for(image_shape)
        mapping = self.mapping(latent_dim, num_classes)
        synthesis = Synthesis(image_shape, widths, self.noisy, name="synthesis")
        inputs = [keras.Input((latent_dim,), name="latents"), *label_input(num_classes)]
        style = mapping(inputs if num_classes else inputs[0])
        images = synthesis(layers.RepeatVector(synthesis.styles)(style))
        return network(inputs, images, "generator")

    def discriminator(self, image_shape, num_classes=None):
        widths = self.widths_for(image_shape)
        halved(image_shape, len(widths) - 1, "stylegan")
        images = keras.Input(image_shape, name="images")
        labels = label_input(num_classes)
        x = convolution(widths[-1], 1)(layers.Rescaling(2.0, -1.0)(images))
        for width in widths[-2::-1]:
            x = down_block(x, width)
        x = convolution(widths[0], 3)(MinibatchStandardDeviation()(x))
        x = Flatten()(x)
        x = EqualizedDense(widths[0], activation=scaled_leaky_relu)(x)
        features = widths[0] if labels else 1
        logits = EqualizedDense(features, dtype="float32")(x)
        if labels:
            vector = embedded(labels[0], num_classes, features, features**-0.5)
            logits = layers.Dot(axes=1, dtype="float32")([logits, vector])
        return network([images, *labels], logits, "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class HalvingConv2D(EqualizedConv2D):
    """`EqualizedConv2D`, blur and stride, then bias and activation.

    `(batch, 2h, 2w, c)` to `(batch, h, w, filters)`.
    """

    def convolution_op(self, inputs, kernel):
        x = smoothed(super().convolution_op(inputs, kernel))
        return ops.average_pool(x, 2, 2, data_format="channels_last")

    def compute_output_shape(self, input_shape):
        batch, height, width, filters = super().compute_output_shape(input_shape)
        return batch, *(side and side // 2 for side in (height, width)), filters


def convolution(width, kernel_size, kind=EqualizedConv2D):
    return kind(width, kernel_size, activation=scaled_leaky_relu)


def down_block(x, width):
    """Two convolutions and a linear shortcut, to half the sides and equal variance."""
    shortcut = EqualizedConv2D(width, 1, use_bias=False)(downsampled(x))
    x = convolution(width, 3, HalvingConv2D)(convolution(x.shape[-1], 3)(x))
    return layers.Rescaling(0.5**0.5)(layers.Add()([x, shortcut]))


def stylegan_widths(image_shape):
    """Widths for a CPU: 64 up to 8 pixels, halved at each doubling beyond, down to 16.

    The first map is the last of `halved_sizes`: 7x7 from 28, 4x4 from 32, 64 or 128.
    """
    sizes = halved_sizes(media.image_shape(image_shape))
    return tuple(width_at(max(size)) for size in reversed(sizes))


def width_at(side):
    return max(16, 64 >> max(0, math.ceil(math.log2(side / 8))))
