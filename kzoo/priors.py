"""Priors: densities of latents that can be drawn from.

A prior is a layer that maps `(batch, size)` standard normal numbers to latents
`(batch, latent_dim)`, and has `log_density(latents)` in nats, `(batch,)`. Its `size` is
how many numbers a draw takes.
"""

import keras
from keras import layers, ops

from kzoo import losses, sphere
from kzoo.flows import MaskedAutoregressiveFlow


class StandardNormal(layers.Layer):
    """N(0, I)."""

    def __init__(self, latent_dim):
        super().__init__(dtype="float32")
        self.size = latent_dim
        self.built = True

    def call(self, normal):
        return normal

    def log_density(self, latents):
        return losses.normal_log_density(latents)


class Sphere(StandardNormal):
    """Uniform on the unit sphere: arXiv:1804.00891. Densities are per area."""

    def call(self, normal):
        return sphere.unit(normal)

    def log_density(self, latents):
        return ops.zeros_like(latents[:, 0]) - sphere.log_area(self.size)


class NormalMixture(layers.Layer):
    """A learned mixture of normal densities, each with variances of its own.

    Args:
        latent_dim: number of latents.
        components: how many normal densities.
    """

    def __init__(self, latent_dim, components=10):
        super().__init__(dtype="float32")
        self.size = latent_dim + 1  # the last number chooses the component
        self.logits = self.add_weight(shape=(components,), initializer="zeros")
        spread = keras.initializers.RandomNormal(stddev=1.0)
        self.means = self.add_weight((components, latent_dim), initializer=spread)
        self.log_vars = self.add_weight((components, latent_dim), initializer="zeros")
        self.built = True

    def call(self, normal):
        return draw(normal, *self.parameters())

    def log_density(self, latents):
        return log_density(latents, *self.parameters())

    def parameters(self):
        """Logits `(components,)`, means and log variances `(components, latent_dim)`"""
        return [ops.convert_to_tensor(v) for v in self.weights]


class VampPrior(layers.Layer):
    """The mean posterior of images that are learned: Tomczak and Welling.

    arXiv:1705.07120. The learned images stay in [0, 1].

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        components: how many images.
        posterior: function of images that returns means and log variances.
    """

    def __init__(self, image_shape, latent_dim, components, posterior):
        super().__init__(dtype="float32")
        self.size = latent_dim + 1
        self.posterior = posterior
        self.pseudo_inputs = self.add_weight(
            (components, *image_shape),
            initializer=keras.initializers.RandomNormal(0.5, 0.05),
            name="pseudo_inputs",
        )
        self.built = True

    def call(self, normal):
        return draw(normal, *self.parameters())

    def log_density(self, latents):
        return log_density(latents, *self.parameters())

    def parameters(self):
        images = ops.clip(self.pseudo_inputs, 0.0, 1.0)
        mean, log_var = self.posterior(images)
        return ops.zeros_like(mean[:, 0]), mean, log_var


@keras.saving.register_keras_serializable("kzoo")
class AutoregressiveFlow(layers.Layer):
    """N(0, I) bent by autoregressive flows: Papamakarios et al., arXiv:1705.07057.

    Every second flow sees the latents in reverse. Drawing takes `latent_dim` passes.

    Args:
        latent_dim: number of latents.
        flows: how many.
        widths: layer widths of each flow's network.
    """

    def __init__(self, latent_dim, flows=4, widths=(64,)):
        super().__init__(dtype="float32")
        self.size = self.latent_dim = latent_dim
        self.widths = tuple(widths)
        self.flows = [
            MaskedAutoregressiveFlow(latent_dim, widths) for _ in range(flows)
        ]
        self.built = True

    def call(self, normal):
        latents = normal
        for flow in reversed(self.flows):
            latents = flow.inverse(ops.flip(latents, axis=-1))
        return latents

    def log_density(self, latents):
        total = 0.0
        for flow in self.flows:
            latents, log_determinant = flow(latents)
            latents = ops.flip(latents, axis=-1)
            total = total + log_determinant
        return losses.normal_log_density(latents) + total

    def get_config(self):
        count = len(self.flows)
        return {"latent_dim": self.latent_dim, "flows": count, "widths": self.widths}


def log_density(latents, logits, means, log_vars):
    """Of a mixture of normal densities: `(batch, latent_dim)` to `(batch,)` in nats."""
    components = losses.normal_log_density(latents[:, None], means, log_vars)
    return ops.logsumexp(components + ops.log_softmax(logits), axis=-1)


def draw(normal, logits, means, log_vars):
    """From the mixture: the last of the numbers chooses the component."""
    normal, chosen = chosen_component(normal, ops.softmax(logits))
    mean, log_var = ops.take(means, chosen, axis=0), ops.take(log_vars, chosen, axis=0)
    return mean + ops.exp(0.5 * log_var) * normal


def chosen_component(normal, shares):
    """All numbers but the last, and the component that the last one draws.

    Args:
        normal: standard normal numbers `(batch, latent_dim + 1)`.
        shares: `(components,)`, with the sum 1.
    """
    normal, choice = normal[:, :-1], normal[:, -1:]
    uniform = 0.5 * (1 + ops.erf(choice / 2**0.5))
    ends = ops.cumsum(shares)[:-1]
    return normal, ops.sum(ops.cast(uniform > ends, "int32"), axis=-1)
