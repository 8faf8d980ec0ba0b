"""Posteriors: densities of latents given an image, of which an encoder computes parts.

A posterior is a layer that maps the encoder's outputs and standard normal `noise`
`(batch, latent_dim)` to latents of that shape and the log density of each, `(batch,)`
in nats. Its `context_dim` is how many numbers about the image it takes beside mean and
log variance; with `concentrated`, one number takes the place of the log variances.
`connect` tells it how many latents there are, and makes its weights.
"""

import keras
from keras import layers, ops

from kzoo import checks, config
from kzoo.parts import sphere
from kzoo.parts.densities import (
    normal_cdf,
    normal_draw,
    normal_kl_of_latents,
    normal_log_density,
)
from kzoo.parts.flows import InverseAutoregressiveFlow, PlanarFlow


class Posterior(config.Settable, layers.Layer):
    """A density of latents given an image. See the module for what it has."""

    context_dim = 0
    concentrated = False

    def __init__(self):
        super().__init__(dtype="float32")

    def connect(self, latent_dim):
        """Makes the weights for so many latents. Returns the posterior."""
        self.latent_dim = latent_dim
        self.built = True
        return self

    def bounded(self, parameters):
        """The encoder's outputs, made parameters of the density where they are not."""
        return parameters

    def centre(self, parameters):
        """The latents that stand for an image: those without noise."""
        return self(parameters, ops.zeros_like(parameters[0]))[0]

    def project(self, latents):
        """Any latents `(batch, latent_dim)`, moved to where the density is not 0."""
        return latents

    def get_config(self):
        return config.serialized(config.arguments(self, last=Posterior))


@keras.saving.register_keras_serializable("kzoo")
class DiagonalNormal(Posterior):
    """N(mean, exp(log_var)): Kingma and Welling, arXiv:1312.6114, section 2.4.

    Args:
        log_var_range: `(lowest, highest)` that log variances are clipped to, or None.
    """

    def __init__(self, log_var_range=None):
        super().__init__()
        self.log_var_range = log_var_range
        if log_var_range is not None:
            low, high = log_var_range
            high = checks.number("the second of log_var_range", high)
            low = checks.number("the first of log_var_range", low, below=high)
            self.log_var_range = low, high

    def bounded(self, parameters):
        if self.log_var_range is None:
            return parameters
        mean, log_var = parameters
        return [mean, ops.clip(log_var, *self.log_var_range)]

    def call(self, parameters, noise):
        mean, log_var = parameters
        latents = normal_draw(mean, log_var, noise)
        return latents, normal_log_density(latents, mean, log_var)

    def kl(self, parameters):
        """KL divergence to N(0, I) of each latent in nats: `(batch, latent_dim)`."""
        return normal_kl_of_latents(*parameters)


@keras.saving.register_keras_serializable("kzoo")
class VonMisesFisher(Posterior):
    """On the unit sphere, around a mean direction: Davidson et al., arXiv:1804.00891.

    The encoder's mean gives the direction by its own; `1 + softplus` of its other
    number is the concentration, as in the authors' code. Densities are per area.
    Differs from the paper, which draws by rejection: the first number of the noise
    becomes, by quantiles, the angle to the mean direction; see `kzoo.parts.sphere`.
    """

    concentrated = True

    def connect(self, latent_dim):
        if latent_dim < 2:
            raise ValueError(
                "posterior='von_mises_fisher' is on a sphere. Expected latent_dim of "
                f"at least 2, a circle. Received: latent_dim={latent_dim}."
            )
        return super().connect(latent_dim)

    def call(self, parameters, noise):
        polar = self.polar(parameters)
        uniform = normal_cdf(-noise[:, :1])
        logit = polar.quantile(uniform)  # of (1 - cosine) / 2
        cosine, sine = -ops.tanh(logit / 2), 1 / ops.cosh(logit / 2)
        around_first = [cosine, sine * sphere.unit(noise[:, 1:])]
        around_first = ops.concatenate(around_first, axis=-1)
        latents = sphere.turned(around_first, self.centre(parameters))
        log_density = polar.log_ratio(ops.sigmoid(logit))[:, 0]
        return latents, log_density - sphere.log_area(self.latent_dim)

    def polar(self, parameters):
        concentration = 1 + ops.softplus(parameters[1])
        return sphere.PolarDensity(concentration, self.latent_dim)

    def centre(self, parameters):
        """The mean direction."""
        return sphere.unit(parameters[0])

    def kl(self, parameters):
        """KL divergence to the uniform density of all latents in nats: `(batch, 1)`."""
        return self.polar(parameters).kl()

    def project(self, latents):
        return sphere.unit(latents)


class Flows(Posterior):
    """A diagonal normal density, bent by `steps`: arXiv:1505.05770."""

    reverse = False  # whether latents are reversed between them

    def call(self, parameters, noise):
        mean, log_var, *context = parameters
        latents = normal_draw(mean, log_var, noise)
        density = normal_log_density(latents, mean, log_var)
        for step in self.steps:
            latents, log_determinant = step(latents, *context)
            density = density - log_determinant
            latents = ops.flip(latents, axis=-1) if self.reverse else latents
        return latents, density


@keras.saving.register_keras_serializable("kzoo")
class IAF(Flows):
    """Inverse autoregressive flows: Kingma et al., arXiv:1606.04934.

    Every second one sees the latents in reverse.

    Args:
        flows: how many.
    """

    context_dim = 32
    reverse = True

    def __init__(self, flows=2):
        super().__init__()
        self.flows = checks.positive_int("flows", flows)

    def connect(self, latent_dim):
        self.steps = [
            InverseAutoregressiveFlow(latent_dim, self.context_dim)
            for _ in range(self.flows)
        ]
        return super().connect(latent_dim)


@keras.saving.register_keras_serializable("kzoo")
class Planar(Flows):
    """Planar flows, the same for all images: Rezende and Mohamed, arXiv:1505.05770.

    Args:
        flows: how many.
    """

    def __init__(self, flows=10):
        super().__init__()
        self.flows = checks.positive_int("flows", flows)

    def connect(self, latent_dim):
        self.steps = [PlanarFlow(latent_dim) for _ in range(self.flows)]
        return super().connect(latent_dim)


POSTERIORS = {
    "iaf": IAF,
    "normal": DiagonalNormal,
    "planar": Planar,
    "von_mises_fisher": VonMisesFisher,
}
