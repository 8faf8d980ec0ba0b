"""A small very deep VAE's networks: Child, arXiv:2011.10650.

Written from the paper and the constants of its code. As there: pre-activated residual
bottlenecks, averages on the way up, repetition on the way down, last convolutions that
start smaller by the root of the depth, and priors that start as N(0, I). Differs: few
blocks; the top layer is a vector with the prior N(0, I), which a dense layer turns into
the smallest map, so that no map of biases is learned; the posterior is a change of the
prior (Vahdat and Kautz, arXiv:2007.03898, section 3.2).
"""

import keras
from keras import initializers, layers

from kzoo import checks
from kzoo.layers import Conv2D
from kzoo.networks.autoencoder import parameters_shape, with_scale
from kzoo.networks.blocks import (
    AveragePooling2D,
    Flatten,
    UpSampling2D,
    given,
    halved,
    image_and_label,
    network,
    of_width,
    vector_and_label,
)
from kzoo.networks.hierarchy import HierarchyNetworks, TopDown, density_layers


@keras.saving.register_keras_serializable("kzoo")
class VDVAENetworks(HierarchyNetworks):
    """Residual blocks at each resolution, half the sides of the one before.

    Each block adds a layer of latents, a map; the top layer is a vector.

    Args:
        latent_dims: channels of the maps of latents at each resolution, from the
            image's, and last the number of latents at the top.
        widths: channels at each resolution, and last the features of the top layer.
        activation: of the hidden layers, a name that Keras knows.
        blocks: layers of latents at each resolution.
    """

    fewest = 2
    rows = 1024  # as its maps fill the memory sooner

    def __init__(
        self,
        latent_dims=(1, 2, 4, 16),
        widths=(32, 32, 32, 64),
        activation="gelu",
        blocks=2,
    ):
        super().__init__(latent_dims, widths, activation)
        self.blocks = checks.positive_int("blocks", blocks)

    def layer_shapes(self, image_shape):
        levels = range(len(self.latent_dims) - 1)
        maps = [map_shape(image_shape, self.latent_dims, level) for level in levels]
        repeated = [shape for shape in maps for _ in range(self.blocks)]
        return [*repeated, self.latent_dims[-1:]]

    def encoder(self, image_shape, num_classes=None):
        """Images to a map of each resolution, and the top layer's density."""
        *widths, top = self.widths
        halved(image_shape, len(widths) - 1, "deep")
        images = keras.Input(image_shape, name="images")
        label_inputs, x = image_and_label(images, num_classes)
        x = Conv2D(widths[0], 3, padding="same")(x)
        features, scale = [], 1 / (self.blocks * len(widths))
        for level, width in enumerate(widths):
            x = of_width(AveragePooling2D(2)(x) if level else x, width)
            for _ in range(self.blocks):
                x = layers.Add()([x, bottleneck(x, width, self.activation, scale)])
            features.append(x)
        x = layers.Activation(self.activation)(Flatten()(x))
        x = layers.Dense(top, activation=self.activation)(x)
        outputs = [*features, density_layers(x, self.latent_dims[-1])]
        return network([images, *label_inputs], outputs, "encoder")

    def decoder(self, image_shape, num_classes=None, likelihood=None):
        return DeepDecoder(self, image_shape, num_classes, likelihood)

    def optimizer(self):
        return keras.optimizers.AdamW(
            1e-3, weight_decay=0.01, beta_2=0.9, global_clipnorm=200.0
        )


class DeepDecoder(TopDown):
    """Adds blocks to maps of growing sides, each with a map of latents.

    Args:
        networks: `VDVAENetworks`, whose settings it has.
        image_shape, num_classes, likelihood: as of `VDVAENetworks.decoder`.
    """

    def __init__(self, networks, image_shape, num_classes, likelihood):
        super().__init__()
        latent_dims, widths = networks.latent_dims, networks.widths
        self.blocks, activation = networks.blocks, networks.activation
        self.priors, self.posteriors, self.merges = [], [], []
        depth = self.blocks * (len(widths) - 1)
        for i in range(depth):
            level = i // self.blocks
            shape, dim = map_shape(image_shape, widths, level), latent_dims[level]
            last = i % self.blocks == 0 and level > 0
            wider = widths[level - 1] if last else None
            self.priors.append(build_prior(shape, dim, activation))
            self.posteriors.append(build_posterior(shape, dim, activation))
            self.merges.append(build_merge(shape, dim, activation, depth, wider))
        smallest = map_shape(image_shape, widths, len(widths) - 2)
        self.merges.append(build_top(latent_dims[-1], smallest, num_classes))
        maps = map_shape(image_shape, widths, 0)
        self.to_pixels = build_pixels(maps, image_shape, likelihood)

    def prior(self, i, state, labels, training):
        *density, added = self.priors[i](state, training=training)
        return density, state + added

    def posterior(self, i, state, prior, features, training):
        inputs = [state, features[i // self.blocks]]
        changes = self.posteriors[i](inputs, training=training)
        return [a + b for a, b in zip(prior, changes, strict=True)]

    def merged(self, i, latents, state, labels, training):
        if state is None:
            return self.merges[i](given(latents, labels), training=training)
        return self.merges[i]([state, latents], training=training)

    def pixels(self, state, labels, training):
        return self.to_pixels(state, training=training)


def map_shape(image_shape, channels, level):
    """Shape of the map at a resolution, level 0 the image's; `channels` of each."""
    height, width, _ = image_shape
    return height // 2**level, width // 2**level, channels[level]


def build_prior(shape, latent_dim, activation):
    """A map to mean, log variance, and a map to be added to it; all start as 0."""
    inputs = keras.Input(shape)
    x = bottleneck(inputs, shape[-1], activation)
    added = layers.Dense(shape[-1], kernel_initializer="zeros")(x)
    density = density_layers(x, latent_dim, mean="zeros")
    return network([inputs], [*density, added], None)


def build_posterior(shape, latent_dim, activation):
    """A map, and one of the encoder, to changes of the prior."""
    inputs = [keras.Input(shape), keras.Input(shape)]
    x = bottleneck(layers.Concatenate()(inputs), shape[-1], activation)
    return network(inputs, density_layers(x, latent_dim), None)


def build_merge(shape, latent_dim, activation, depth, wider):
    """A map and latents to a map, of the next resolution if its width is given."""
    inputs = keras.Input(shape), keras.Input((*shape[:2], latent_dim))
    start = scaled(1 / depth)
    x = layers.Dense(shape[-1], kernel_initializer=start)(inputs[1])
    x = layers.Add()([inputs[0], x])
    x = layers.Add()([x, bottleneck(x, shape[-1], activation, 1 / depth)])
    if wider is not None:
        x = of_width(UpSampling2D()(x), wider)
    return network(list(inputs), x, None)


def build_top(latent_dim, shape, num_classes):
    """The latents of the top layer, and labels, to the smallest map."""
    latents = keras.Input((latent_dim,))
    label_inputs, x = vector_and_label(latents, num_classes)
    x = layers.Dense(shape[0] * shape[1] * shape[2])(x)
    return network([latents, *label_inputs], layers.Reshape(shape)(x), None)


def build_pixels(shape, image_shape, likelihood):
    """The last map to parameters of the pixels."""
    inputs = keras.Input(shape)
    *_, channels = parameters_shape(image_shape, likelihood)
    outputs = layers.Dense(channels, dtype="float32")(inputs)
    return network([inputs], with_scale(outputs, likelihood), None)


def bottleneck(x, width, activation, scale=1.0):
    """Four convolutions, of which those in the middle are a quarter as wide.

    Figure 3 of the paper. Kernels of the last one start with `scale` of the variance.
    """
    inner = max(1, width // 4)
    for kernel_size in 1, 3, 3:
        x = layers.Activation(activation)(x)
        x = Conv2D(inner, kernel_size, padding="same")(x)
    x = layers.Activation(activation)(x)
    return layers.Dense(width, kernel_initializer=scaled(scale))(x)


def scaled(scale):
    """Keras's own initial weights, with `scale` times the variance."""
    return initializers.VarianceScaling(scale, "fan_avg", "uniform")
