"""Priors: densities of latents that can be drawn from.

A prior is a layer that maps `(batch, size)` standard normal numbers, and labels where
there are classes, to latents `(batch, latent_dim)`, and has `log_density(latents)` in
nats, `(batch,)`. Its `size` is how many numbers a draw takes. `connect` tells it of
which model it is, and makes its weights.
"""

import keras
import scipy.special
from keras import layers, ops

from kzoo import checks, config
from kzoo.parts import sphere
from kzoo.parts.densities import normal_cdf, normal_draw, normal_log_density
from kzoo.parts.flows import MaskedAutoregressiveFlow


class Prior(config.Settable, layers.Layer):
    """A density of latents. One of your own is a subclass, registered with Keras."""

    def __init__(self):
        super().__init__(dtype="float32")

    def connect(self, latent_dim, model=None):
        """Makes the weights for so many latents. Returns the prior."""
        self.latent_dim = self.size = latent_dim
        self.built = True
        return self

    def call(self, normal, labels=None):
        """Numbers `(batch, size)` from N(0, 1) to latents `(batch, latent_dim)`."""
        raise NotImplementedError

    def log_density(self, latents):
        """In nats: `(batch, latent_dim)` to `(batch,)`."""
        raise NotImplementedError

    def truncated(self, normal, limit):
        """Numbers `(n, size)` from N(0, 1), NumPy's, truncated at ±limit, in order.

        Those beyond the first `latent_dim` stay: they choose, say, a component.

        Raises:
            ValueError: unless `limit` is above 0.
        """
        limit = checks.number("truncation", limit, above=0)
        low, high = scipy.special.ndtr([-limit, limit])
        share = scipy.special.ndtr(normal[:, : self.latent_dim].astype("float64"))
        normal = normal.copy()
        normal[:, : self.latent_dim] = scipy.special.ndtri(low + share * (high - low))
        return normal

    def get_config(self):
        return config.serialized(config.arguments(self, last=Prior))


@keras.saving.register_keras_serializable("kzoo")
class StandardNormal(Prior):
    """N(0, I)."""

    def call(self, normal, labels=None):
        return normal

    def log_density(self, latents):
        return normal_log_density(latents)


@keras.saving.register_keras_serializable("kzoo")
class Sphere(Prior):
    """Uniform on the unit sphere: arXiv:1804.00891. Densities are per area."""

    def call(self, normal, labels=None):
        return sphere.unit(normal)

    def log_density(self, latents):
        return ops.zeros_like(latents[:, 0]) - sphere.log_area(self.size)

    def truncated(self, normal, limit):
        raise ValueError(
            "The uniform prior on the sphere has no middle to stay near. Expected "
            f"truncation=None. Received: truncation={limit!r}."
        )


class Mixture(Prior):
    """A mixture of normal densities, whose `parameters()` a subclass has.

    They are logits `(components,)`, means and log variances `(components, latents)`.
    """

    def connect(self, latent_dim, model=None):
        self.latent_dim = latent_dim
        self.size = latent_dim + 1  # the last number chooses the component
        self.built = True
        return self

    def call(self, normal, labels=None):
        logits, means, log_vars = self.parameters()
        normal, chosen = chosen_component(normal, ops.softmax(logits))
        mean, log_var = (ops.take(x, chosen, axis=0) for x in (means, log_vars))
        return normal_draw(mean, log_var, normal)

    def log_density(self, latents):
        logits, means, log_vars = self.parameters()
        components = normal_log_density(latents[:, None], means, log_vars)
        return ops.logsumexp(components + ops.log_softmax(logits), axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class NormalMixture(Mixture):
    """A learned mixture of normal densities, each with variances of its own.

    Args:
        components: how many normal densities.
    """

    def __init__(self, components=10):
        super().__init__()
        self.components = checks.positive_int("components", components)

    def connect(self, latent_dim, model=None):
        shape = (self.components, latent_dim)
        self.logits = self.add_weight((self.components,), "zeros", name="logits")
        spread = keras.initializers.RandomNormal(stddev=1.0)
        self.means = self.add_weight(shape, spread, name="means")
        self.log_vars = self.add_weight(shape, "zeros", name="log_vars")
        return super().connect(latent_dim)

    def parameters(self):
        return [ops.convert_to_tensor(v) for v in self.weights]


@keras.saving.register_keras_serializable("kzoo")
class VampPrior(Mixture):
    """The mean posterior of images that are learned: Tomczak and Welling.

    arXiv:1705.07120. The learned images, `pseudo_inputs`, stay in [0, 1]. Where the
    model has classes, their labels are 0, 1, 2 and so on in turn.

    Args:
        components: how many images.
        mean, stddev: of the pixels that they start with. The authors' code
            (jmtomczak/vae_vampprior) has 0.05 and 0.01 for images that are mostly
            black, such as MNIST's, and 0.2 and 0.05 for faces and CIFAR-10.
    """

    def __init__(self, components=500, mean=0.05, stddev=0.01):
        super().__init__()
        self.components = checks.positive_int("components", components)
        self.mean = checks.probability("mean", mean)
        self.stddev = checks.number("stddev", stddev, least=0)

    def connect(self, latent_dim, model=None):
        self.posterior = model.posterior_parameters
        self.num_classes = model.num_classes
        self.pseudo_inputs = self.add_weight(
            (self.components, *model.image_shape),
            initializer=keras.initializers.RandomNormal(self.mean, self.stddev),
            name="pseudo_inputs",
        )
        return super().connect(latent_dim)

    def parameters(self):
        images, labels = ops.clip(self.pseudo_inputs, 0.0, 1.0), None
        if self.num_classes:
            labels = ops.arange(self.components, dtype="int32") % self.num_classes
        mean, log_var, *_ = self.posterior(images, labels)
        return ops.zeros_like(mean[:, 0]), mean, log_var


@keras.saving.register_keras_serializable("kzoo")
class AutoregressiveFlow(Prior):
    """N(0, I) bent by autoregressive flows: Papamakarios et al., arXiv:1705.07057.

    Every second flow sees the latents in reverse. Drawing takes `latent_dim` passes.

    Args:
        flows: how many.
        widths: layer widths of each flow's network.
    """

    def __init__(self, flows=4, widths=(64,)):
        super().__init__()
        self.flows = checks.positive_int("flows", flows)
        self.widths = checks.positive_ints("widths", widths)

    def connect(self, latent_dim, model=None):
        self.steps = [
            MaskedAutoregressiveFlow(latent_dim, self.widths) for _ in range(self.flows)
        ]
        return super().connect(latent_dim)

    def call(self, normal, labels=None):
        latents = normal
        for flow in reversed(self.steps):
            latents = flow.inverse(ops.flip(latents, axis=-1))
        return latents

    def log_density(self, latents):
        total = 0.0
        for flow in self.steps:
            latents, log_determinant = flow(latents)
            latents = ops.flip(latents, axis=-1)
            total = total + log_determinant
        return normal_log_density(latents) + total


def chosen_component(normal, shares):
    """All numbers but the last, and the component that the last one draws.

    Args:
        normal: standard normal numbers `(batch, latent_dim + 1)`.
        shares: `(components,)`, with the sum 1.
    """
    normal, choice = normal[:, :-1], normal[:, -1:]
    ends = ops.cumsum(shares)[:-1]
    return normal, ops.sum(ops.cast(normal_cdf(choice) > ends, "int32"), axis=-1)


PRIORS = {
    "flow": AutoregressiveFlow,
    "mixture": NormalMixture,
    "normal": StandardNormal,
    "sphere": Sphere,
    "vamp": VampPrior,
}
