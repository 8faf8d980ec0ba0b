"""Dense networks of hierarchical autoencoders: the ladder and the chain.

Sønderby et al., arXiv:1602.02282, and Burda et al., arXiv:1509.00519.
"""

import functools
import math

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.networks.autoencoder import parameters_shape, with_scale
from kzoo.networks.blocks import Flatten, given, network, vector_and_label
from kzoo.networks.hierarchy import (
    HierarchyNetworks,
    TopDown,
    density_layers,
)
from kzoo.networks.mlp import normalize
from kzoo.parts.densities import normal_draw

START = -2.0  # log variances of posteriors, as the VAE's: see `posterior_layers`


class DenseNetworks(HierarchyNetworks):
    """Two dense layers for each density: what the chain and the ladder share."""

    def __init__(self, latent_dims, widths, activation, normalization):
        super().__init__(latent_dims, widths, activation)
        self.normalization = checks.one_of(
            "normalization", normalization, ("batch", "layer", None)
        )

    def combine(self, prior, features):
        """The posterior of a layer."""
        raise NotImplementedError

    def layer_shapes(self, image_shape):
        return [(dim,) for dim in self.latent_dims]

    def decoder(self, image_shape, num_classes=None, likelihood=None):
        sizes = image_shape, self.latent_dims, self.widths
        build = functools.partial(self.build, num_classes=num_classes)
        return DenseDecoder(*sizes, likelihood, self.combine, build)

    def build(self, shape, width, outputs, num_classes):
        """From a vector or an image, and labels, to what `outputs` makes of features"""
        inputs = keras.Input(shape)
        label_inputs, x = vector_and_label(Flatten()(inputs), num_classes)
        return network([inputs, *label_inputs], outputs(self.hidden(x, width)), None)

    def hidden(self, x, width):
        """Two dense layers, each normalised and activated."""
        for _ in range(2):
            x = normalize(layers.Dense(width)(x), self.normalization)
            x = layers.Activation(self.activation)(x)
        return x


@keras.saving.register_keras_serializable("kzoo")
class ChainNetworks(DenseNetworks):
    """Each layer's posterior sees only the layer below: Burda et al., arXiv:1509.00519.

    Args:
        latent_dims: number of latents of each layer, from the image up.
        widths: of the two hidden layers of each layer of latents.
        activation: of the hidden layers, a name that Keras knows.
        normalization: of the hidden layers: `"batch"`, `"layer"` or None.
    """

    closed_form = False

    def __init__(
        self,
        latent_dims=(100, 50),
        widths=(200, 100),
        activation="tanh",
        normalization=None,
    ):
        super().__init__(latent_dims, widths, activation, normalization)

    def combine(self, prior, features):
        return features

    def encoder(self, image_shape, num_classes=None):
        build = functools.partial(self.build, num_classes=num_classes)
        return ChainEncoder(image_shape, self.latent_dims, self.widths, build)

    def upward(self, encoder, features, noise, labels, training):
        return encoder.upward(features, noise, labels, training)

    def optimizer(self):
        """IWAE's optimizer."""
        return keras.optimizers.Adam(1e-3, epsilon=1e-4)


@keras.saving.register_keras_serializable("kzoo")
class LadderNetworks(DenseNetworks):
    """The posterior is the product of the prior and of what the image says of a layer.

    Sønderby et al., arXiv:1602.02282.

    Args:
        latent_dims: number of latents of each layer, from the image up.
        widths: of the two hidden layers of each layer of latents.
        activation: of the hidden layers, a name that Keras knows.
        normalization: of the hidden layers: `"batch"`, `"layer"` or None.
    """

    def __init__(
        self,
        latent_dims=(64, 32, 16, 8, 4),
        widths=(512, 256, 128, 64, 32),
        activation="leaky_relu",
        normalization="batch",
    ):
        super().__init__(latent_dims, widths, activation, normalization)

    def combine(self, prior, features):
        return product(prior, features)

    def encoder(self, image_shape, num_classes=None):
        images = keras.Input(image_shape, name="images")
        label_inputs, x = vector_and_label(Flatten()(images), num_classes)
        densities = []
        for width, dim in zip(self.widths, self.latent_dims, strict=True):
            x = self.hidden(x, width)
            densities.append(density_layers(x, dim, log_var=START))
        return network([images, *label_inputs], densities, "encoder")


class DenseDecoder(TopDown):
    """Each layer's mean and variance come by dense layers from the layer above.

    Args:
        combine: `combine(prior, features)`, the posterior of a layer.
        build: `build(shape, width, outputs)`, a network; `outputs` is a function of
            its features.
    """

    def __init__(self, image_shape, latent_dims, widths, likelihood, combine, build):
        super().__init__()
        self.combine = combine
        self.priors = [
            build((above,), width, functools.partial(density_layers, latent_dim=dim))
            for dim, above, width in zip(
                latent_dims[:-1], latent_dims[1:], widths[1:], strict=True
            )
        ]
        shape = parameters_shape(image_shape, likelihood)
        outputs = functools.partial(dense_pixels, shape=shape, likelihood=likelihood)
        self.to_pixels = build(latent_dims[:1], widths[0], outputs)

    def prior(self, i, state, labels, training):
        return self.priors[i](given(state, labels), training=training), state

    def posterior(self, i, state, prior, features, training):
        return self.combine(prior, features[i])

    def merged(self, i, latents, state, labels, training):
        return latents

    def pixels(self, state, labels, training):
        return self.to_pixels(given(state, labels), training=training)


class ChainEncoder(layers.Layer):
    """Each layer's posterior sees only the layer below: Burda et al., arXiv:1509.00519.

    Called on images it returns the density of the first layer; `upward` goes on.
    """

    def __init__(self, image_shape, latent_dims, widths, build):
        super().__init__(dtype="float32")
        posterior = functools.partial(density_layers, log_var=START)
        shapes = [image_shape, *((dim,) for dim in latent_dims[:-1])]
        self.steps = [
            build(shape, width, functools.partial(posterior, latent_dim=dim))
            for shape, width, dim in zip(shapes, widths, latent_dims, strict=True)
        ]
        self.built = True

    def call(self, inputs, training=False):
        return [self.steps[0](inputs, training=training)]

    def upward(self, densities, noise, labels, training):
        """All layers' densities, given the first and the noise of each."""
        densities = list(densities)
        for step, normal in zip(self.steps[1:], noise[:-1], strict=True):
            latents = normal_draw(*densities[-1], normal)
            densities.append(step(given(latents, labels), training=training))
        return densities


def product(density, other):
    """Two normal densities multiplied, up to the integral: precisions add.

    How the ladder's posterior is made: Sønderby et al., arXiv:1602.02282.
    """
    (mean, log_var), (other_mean, other_log_var) = density, other
    gap = log_var - other_log_var
    mean = mean + ops.sigmoid(gap) * (other_mean - mean)
    return [mean, other_log_var + ops.log_sigmoid(gap)]


def dense_pixels(features, shape, likelihood):
    """Parameters of the pixels, `(batch, *shape)`."""
    x = layers.Dense(math.prod(shape), dtype="float32")(features)
    return with_scale(layers.Reshape(shape, dtype="float32")(x), likelihood)
