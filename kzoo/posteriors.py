"""Posteriors: densities of latents given an image, of which an encoder computes parts.

A posterior is a layer that maps the encoder's outputs and standard normal `noise`
`(batch, latent_dim)` to latents of that shape and the log density of each, `(batch,)`
in nats. Its `context_dim` is how many numbers about the image it takes beside mean and
log variance.
"""

from keras import layers, ops

from kzoo import losses
from kzoo.flows import InverseAutoregressiveFlow, PlanarFlow


class DiagonalNormal(layers.Layer):
    """N(mean, exp(log_var)): Kingma and Welling, arXiv:1312.6114, section 2.4."""

    context_dim = 0

    def __init__(self, latent_dim):
        super().__init__(dtype="float32")
        self.built = True

    def call(self, parameters, noise):
        mean, log_var = parameters
        latents = mean + ops.exp(0.5 * log_var) * noise
        return latents, losses.normal_log_density(latents, mean, log_var)


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
}
