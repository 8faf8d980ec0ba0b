"""Posteriors: densities of latents given an image, of which an encoder computes parts.

A posterior is a layer that maps the encoder's outputs and standard normal `noise`
`(batch, latent_dim)` to latents of that shape and the log density of each, `(batch,)`
in nats. Its `context_dim` is how many numbers about the image it takes beside mean and
log variance; with `concentrated`, one number takes the place of the log variances.
"""

import math

from keras import layers, ops

from kzoo import losses, sphere
from kzoo.flows import InverseAutoregressiveFlow, PlanarFlow


class DiagonalNormal(layers.Layer):
    """N(mean, exp(log_var)): Kingma and Welling, arXiv:1312.6114, section 2.4."""

    context_dim = 0
    concentrated = False

    def __init__(self, latent_dim):
        super().__init__(dtype="float32")
        self.built = True

    def call(self, parameters, noise):
        mean, log_var = parameters
        latents = mean + ops.exp(0.5 * log_var) * noise
        return latents, losses.normal_log_density(latents, mean, log_var)

    def centre(self, parameters):
        """The latents that stand for an image: those without noise."""
        return self(parameters, ops.zeros_like(parameters[0]))[0]

    def kl(self, parameters):
        """To the prior that goes with it, in nats, `(batch, latent_dim)`."""
        return losses.normal_kl_of_latents(*parameters)

    def project(self, latents):
        """Any latents `(batch, latent_dim)`, moved to where the density is not 0."""
        return latents


class VonMisesFisher(DiagonalNormal):
    """On the unit sphere, around a mean direction: Davidson et al., arXiv:1804.00891.

    The encoder's mean gives the direction by its own; `1 + softplus` of its other
    number is the concentration, as in the authors' code. Densities are per area.
    Differs from the paper, which draws by rejection: the first number of the noise
    becomes, by quantiles, the angle to the mean direction; see `kzoo.sphere`.
    """

    concentrated = True

    def __init__(self, latent_dim):
        if latent_dim < 2:
            raise ValueError(
                "posterior='von_mises_fisher' is on a sphere. Expected latent_dim of "
                f"at least 2, a circle. Received: latent_dim={latent_dim}."
            )
        super().__init__(latent_dim)
        self.latent_dim = latent_dim

    def call(self, parameters, noise):
        polar = self.polar(parameters)
        uniform = 0.5 - 0.5 * ops.erf(noise[:, :1] / math.sqrt(2))
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
        """The same, `(batch, 1)`: of all latents together."""
        return self.polar(parameters).kl()

    def project(self, latents):
        return sphere.unit(latents)


class Flows(DiagonalNormal):
    """A diagonal normal density, bent by `flows`: arXiv:1505.05770."""

    def __init__(self, latent_dim, flows, reverse):
        super().__init__(latent_dim)
        self.flows, self.reverse = flows, reverse

    def call(self, parameters, noise):
        mean, log_var, *context = parameters
        latents, density = super().call([mean, log_var], noise)
        for flow in self.flows:
            latents, log_determinant = flow(latents, *context)
            density = density - log_determinant
            latents = ops.flip(latents, axis=-1) if self.reverse else latents
        return latents, density


class InverseAutoregressive(Flows):
    """Inverse autoregressive flows, two of them: Kingma et al., arXiv:1606.04934.

    Every second one sees the latents in reverse.
    """

    context_dim = 32

    def __init__(self, latent_dim, flows=2):
        size = self.context_dim
        steps = [InverseAutoregressiveFlow(latent_dim, size) for _ in range(flows)]
        super().__init__(latent_dim, steps, reverse=True)


class Planar(Flows):
    """Planar flows, ten of them, the same for all images: arXiv:1505.05770."""

    def __init__(self, latent_dim, flows=10):
        steps = [PlanarFlow(latent_dim) for _ in range(flows)]
        super().__init__(latent_dim, steps, reverse=False)


POSTERIORS = {
    "iaf": InverseAutoregressive,
    "normal": DiagonalNormal,
    "planar": Planar,
    "von_mises_fisher": VonMisesFisher,
}
