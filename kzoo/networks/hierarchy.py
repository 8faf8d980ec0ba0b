"""Networks of hierarchical autoencoders, which have several layers of latents.

Layers are counted from the image up, and so are all lists here. A normal density is a
list of its mean and log variance.
"""

import math

import keras
from keras import layers, ops

from kzoo.config import Part
from kzoo.networks.blocks import check_widths
from kzoo.parts.densities import normal_draw


class HierarchyNetworks(Part):
    """An encoder and a decoder with layers of latents: for `HVAE`.

    One of your own is a subclass with their methods.

    Args:
        latent_dims: number of latents of each layer, from the image up.
        widths: of the hidden layers of each layer of latents.
        activation: of the hidden layers, a name that Keras knows.
    """

    fewest = 1  # layers
    closed_form = True  # whether KL divergences are, given the layers above
    rows = 4096  # draws that are decoded at a time

    def __init__(self, latent_dims, widths, activation):
        self.widths = check_widths(widths)
        self.latent_dims = check_widths(latent_dims, "latent_dims")
        self.activation = activation
        if len(self.latent_dims) != len(self.widths) or len(self.widths) < self.fewest:
            raise ValueError(
                "Expected as many latent_dims as widths, one for each layer of "
                "latents; for VDVAENetworks one for each resolution and one for the "
                f"top. Received: latent_dims={self.latent_dims}, "
                f"widths={self.widths}."
            )

    def layer_shapes(self, image_shape):
        """Shape of each layer's latents, without the batch axis."""
        raise NotImplementedError

    def encoder(self, image_shape, num_classes=None):
        """Images in [0, 1], or `[images, labels]`, to features for the decoder."""
        raise NotImplementedError

    def decoder(self, image_shape, num_classes=None, likelihood=None):
        """A `TopDown` layer."""
        raise NotImplementedError

    def upward(self, encoder, features, noise, labels, training):
        """What the decoder is given, where the noise of each layer matters to it."""
        return features

    def optimizer(self):
        """The paper's optimizer."""
        return keras.optimizers.Adam(1e-3)


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
        latents = normal_draw(*posterior, noise[top])
        drawn = [(latents, posterior, prior)]
        state = self.merged(top, latents, None, labels, training)
        for i in reversed(range(top)):
            prior, further = self.prior(i, state, labels, training)
            posterior = prior
            if features is not None:
                posterior = self.posterior(i, state, prior, features, training)
            latents = normal_draw(*posterior, noise[i])
            drawn.append((latents, posterior, prior))
            state = self.merged(i, latents, further, labels, training)
        return self.pixels(state, labels, training), drawn[::-1]


def standardized(latents, density):
    """The standard normal noise that a normal density makes these latents of, flat."""
    mean, log_var = density
    noise = (latents - mean) * ops.exp(-0.5 * log_var)
    return ops.reshape(noise, (-1, math.prod(latents.shape[1:])))


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
