"""Networks of hierarchical autoencoders, which have several layers of latents.

Layers are counted from the image up, and so are all lists here. A normal density is a
list of its mean and log variance.
"""

import functools
import math

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.networks import network, vector_and_label
from kzoo.networks.autoencoder import parameters_shape, with_scale
from kzoo.networks.mlp import normalize


def draw(density, noise):
    """From a normal density, made of standard normal `noise` of the latents' shape."""
    mean, log_var = density
    return mean + ops.exp(0.5 * log_var) * noise


def standardized(latents, density):
    """The standard normal noise that a normal density makes these latents of, flat."""
    mean, log_var = density
    noise = (latents - mean) * ops.exp(-0.5 * log_var)
    return ops.reshape(noise, (-1, math.prod(latents.shape[1:])))


def product(density, other):
    """Of two normal densities, up to its integral: precisions add and weigh the means.

    How the ladder's posterior is made: Sønderby et al., arXiv:1602.02282.
    """
    (mean, log_var), (other_mean, other_log_var) = density, other
    gap = log_var - other_log_var
    mean = mean + ops.sigmoid(gap) * (other_mean - mean)
    return [mean, other_log_var + ops.log_sigmoid(gap)]


class TopDown(layers.Layer):
    """Draws latents from the top layer down, each given those above it.

    The prior of the top layer is N(0, I). For the others a subclass has `prior` and
    `posterior`, given a state, which is what `merged` makes of the latents above.
    `prior` also returns the state for `merged`. `pixels` makes parameters of the image
    of the last state.

    Call arguments:
        noise: of each layer, standard normal numbers of the shape of its latents.
        labels: `(batch,)` if there are classes.
        features: what the posteriors see of the image; None draws from the prior.

    Returns:
        Parameters of the image, and of each layer (latents, posterior, prior).
    """

    def __init__(self):
        super().__init__(dtype="float32")
        self.built = True

    def call(self, noise, labels=None, features=None, training=False):
        top = len(noise) - 1
        prior = [ops.zeros_like(noise[top])] * 2
        posterior = prior if features is None else features[-1]
        latents = draw(posterior, noise[top])
        drawn = [(latents, posterior, prior)]
        state = self.merged(top, latents, None, labels, training)
        for i in reversed(range(top)):
            prior, further = self.prior(i, state, labels, training)
            posterior = prior
            if features is not None:
                posterior = self.posterior(i, state, prior, features, training)
            latents = draw(posterior, noise[i])
            drawn.append((latents, posterior, prior))
            state = self.merged(i, latents, further, labels, training)
        return self.pixels(state, labels, training), drawn[::-1]


class DenseDecoder(TopDown):
    """Each layer's mean and variance come by dense layers from the layer above.

    Args:
        combine: `combine(prior, features)`, the posterior of a layer.
        build: `build(shape, width, outputs)`, a network; `outputs` maps its features.
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
        shapes = [image_shape, *((dim,) for dim in latent_dims[:-1])]
        self.steps = [
            build(shape, width, functools.partial(posterior_layers, latent_dim=dim))
            for shape, width, dim in zip(shapes, widths, latent_dims, strict=True)
        ]
        self.built = True

    def call(self, inputs, training=False):
        return [self.steps[0](inputs, training=training)]

    def upward(self, densities, noise, labels, training):
        """All layers' densities, given the first and the noise of each."""
        densities = list(densities)
        for step, normal in zip(self.steps[1:], noise[:-1], strict=True):
            latents = draw(densities[-1], normal)
            densities.append(step(given(latents, labels), training=training))
        return densities


def build_chain(image_shape, latent_dims, widths, num_classes, likelihood, **dense):
    """Encoder and decoder; `dense` are the arguments of `dense_layers`."""
    build = functools.partial(build_dense, num_classes=num_classes, **dense)
    sizes = image_shape, latent_dims, widths
    decoder = DenseDecoder(*sizes, likelihood, as_it_is, build)
    return ChainEncoder(*sizes, build), decoder


def build_ladder(image_shape, latent_dims, widths, num_classes, likelihood, **dense):
    """Encoder and decoder; `dense` are the arguments of `dense_layers`."""
    images = keras.Input(image_shape, name="images")
    label_inputs, x = vector_and_label(layers.Flatten()(images), num_classes)
    densities = []
    for width, dim in zip(widths, latent_dims, strict=True):
        x = dense_layers(x, width, **dense)
        densities.append(posterior_layers(x, dim))
    encoder = network([images, *label_inputs], densities, "encoder")
    build = functools.partial(build_dense, num_classes=num_classes, **dense)
    decoder = DenseDecoder(image_shape, latent_dims, widths, likelihood, product, build)
    return encoder, decoder


def check_layers(architecture, latent_dims, widths):
    """Returns `latent_dims` as a tuple of positive ints, as many as widths."""
    dims = tuple(latent_dims) if hasattr(latent_dims, "__iter__") else (latent_dims,)
    least = 2 if architecture == "deep" else 1
    if len(dims) != len(widths) or len(dims) < least:
        raise ValueError(
            "Expected as many latent_dims as widths, one for each layer of latents; "
            "for architecture='deep' one for each resolution and one for the top. "
            f"Received: architecture={architecture!r}, latent_dims={dims}, "
            f"widths={widths}."
        )
    return tuple(checks.positive_int("every number in latent_dims", n) for n in dims)


def layer_shapes(architecture, image_shape, latent_dims, blocks):
    """Shape of each layer's latents, without the batch axis."""
    if architecture != "deep":
        return [(dim,) for dim in latent_dims]
    levels = range(len(latent_dims) - 1)
    maps = [map_shape(image_shape, latent_dims, level) for level in levels]
    return [shape for shape in maps for _ in range(blocks)] + [latent_dims[-1:]]


def map_shape(image_shape, channels, level):
    """Of a resolution, level 0 that of the images; `channels` of each."""
    height, width, _ = image_shape
    return height // 2**level, width // 2**level, channels[level]


def as_it_is(prior, density):
    return density


def build_dense(shape, width, outputs, num_classes, **dense):
    """From a vector or an image, and labels, to what `outputs` makes of features."""
    inputs = keras.Input(shape)
    label_inputs, x = vector_and_label(layers.Flatten()(inputs), num_classes)
    outputs = outputs(dense_layers(x, width, **dense))
    return network([inputs, *label_inputs], outputs, None)


def dense_layers(x, width, activation, normalization=None):
    """Two of them."""
    for _ in range(2):
        x = normalize(layers.Dense(width)(x), normalization)
        x = layers.Activation(activation)(x)
    return x


def density_layers(features, latent_dim, mean="glorot_uniform", log_var=0.0):
    """Mean and log variance, of the initial kernel `mean` and the value `log_var`."""
    means = layers.Dense(latent_dim, kernel_initializer=mean, dtype="float32")
    log_vars = layers.Dense(
        latent_dim,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(log_var),
        dtype="float32",
    )
    return [means(features), log_vars(features)]


def posterior_layers(features, latent_dim):
    """As narrow as the VAE's at first, where noise would hide the latents."""
    return density_layers(features, latent_dim, log_var=-2.0)


def dense_pixels(features, shape, likelihood):
    """Parameters of the pixels, `(batch, *shape)`."""
    x = layers.Dense(math.prod(shape), dtype="float32")(features)
    return with_scale(layers.Reshape(shape, dtype="float32")(x), likelihood)


def given(inputs, labels):
    """What a network takes: `inputs`, or `[inputs, labels]` under a condition."""
    return inputs if labels is None else [inputs, labels]
