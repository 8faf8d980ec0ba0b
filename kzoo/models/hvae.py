"""Hierarchical VAE: several layers of latents, of which each is given those above it.

The ladder of Sønderby et al., arXiv:1602.02282: the posterior of a layer is the product
of its prior, given the layers above, and of what the image says of it. The very deep
one of Child, arXiv:2011.10650, small: kzoo/networks/vdvae.py. The chain of Burda et
al., arXiv:1509.00519: the posterior of a layer sees only the layer below.

Differs from the ladder's paper: a layer gives log variances, not variances through a
softplus; leaky rectifiers have Keras's slope, 0.2; the variances of the posterior start
narrow, as the VAE's. From the very deep one's: Adam's rate is that of a small network,
and the norm of the gradient is clipped but no step is left out.
"""

import math

import keras
import numpy as np
from keras import ops

from kzoo import backend, checks, losses, networks
from kzoo.likelihoods import likelihood as likelihood_called
from kzoo.networks import check_widths
from kzoo.networks.hierarchy import (
    build_chain,
    build_ladder,
    check_layers,
    layer_shapes,
    standardized,
)
from kzoo.networks.vdvae import build_deep
from kzoo.training import GenerativeModel
from kzoo.verbs import LikelihoodVerbs

NORMALIZATIONS = ("batch", "layer", None)
BUILDERS = {"chain": build_chain, "deep": build_deep, "ladder": build_ladder}
DEFAULTS = {
    "chain": {
        "latent_dims": (100, 50),
        "widths": (200, 100),
        "activation": "tanh",
        "normalization": None,
    },
    "deep": {
        "latent_dims": (1, 2, 4, 16),
        "widths": (32, 32, 32, 64),
        "activation": "gelu",
        "normalization": None,
    },
    "ladder": {
        "latent_dims": (64, 32, 16, 8, 4),
        "widths": (512, 256, 128, 64, 32),
        "activation": "leaky_relu",
        "normalization": "batch",
    },
}


@keras.saving.register_keras_serializable("kzoo")
class HVAE(LikelihoodVerbs, GenerativeModel):
    """Hierarchical VAE (arXiv:1602.02282, arXiv:2011.10650): layers of latents.

    Layers are counted from the image up. Logs `loss`, the negative bound of `samples`
    samples; of the bound of one sample `reconstruction` and `kl`; and `kl_1`, `kl_2`
    and so on, the part of each layer. All are in nats an image, means over images.

    The `latent_dim` latents of `generate` and `encode` are the standard normal noise
    that each layer is made of, given the layers above, all layers in one row. `encode`
    returns the noise that leads to the means of the posteriors.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dims: number of latents of each layer; for `"deep"` channels of the maps
            of latents at each resolution, and last the number of latents at the top.
        architecture: `"ladder"`, dense; `"deep"`, convolutional, where each resolution
            has half the sides of the one before and several layers, and the top layer
            is a vector; or `"chain"`, dense, whose posterior goes from the image up.
        likelihood: of pixels, as in `VAE`.
        widths: of the two hidden layers of each layer of latents; for `"deep"` the
            channels at each resolution, and last the features of the top layer.
        samples: latents drawn for an image in a step, as in `IWAE`. 1 is the ELBO.
        likelihood_scale: of `"gaussian"` or `"laplace"`, as in `VAE`.
        activation: of the hidden layers, a name that Keras knows.
        normalization: of the hidden layers of `"ladder"` and `"chain"`: `"batch"`,
            `"layer"` or None. `"auto"` is the papers': `"batch"` for the ladder.
        blocks: layers of latents at each resolution of `"deep"`.
        binarize: whether pixels are drawn as 0 or 1 in each step, as in `VAE`.
        warmup_steps: steps over which the weight of the KL divergence grows from 0.
        free_bits: nats of the KL divergence that each layer has for free, on average
            over the batch (Kingma et al., arXiv:1606.04934).
        num_classes: number of labels to condition all networks on, or None.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.HVAE(
    ...     image_shape=(8, 8, 1), latent_dims=(16, 8), widths=(128, 64)
    ... )
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dims=None,
        architecture="ladder",
        likelihood="bernoulli",
        widths=None,
        samples=1,
        likelihood_scale=None,
        activation=None,
        normalization="auto",
        blocks=2,
        binarize=False,
        warmup_steps=0,
        free_bits=0.0,
        num_classes=None,
        **kwargs,
    ):
        defaults = DEFAULTS[checks.one_of("architecture", architecture, DEFAULTS)]
        latent_dims = defaults["latent_dims"] if latent_dims is None else latent_dims
        widths = check_widths(defaults["widths"] if widths is None else widths)
        latent_dims = check_layers(architecture, latent_dims, widths)
        image_shape = checks.image_shape(image_shape)
        blocks = checks.positive_int("blocks", blocks)
        shapes = layer_shapes(architecture, image_shape, latent_dims, blocks)
        latent_dim = sum(math.prod(shape) for shape in shapes)
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = architecture
        self.latent_dims, self.widths, self.blocks = latent_dims, widths, blocks
        self.layer_shapes = shapes
        self.samples = checks.positive_int("samples", samples)
        self.likelihood, self.likelihood_scale = likelihood, likelihood_scale
        self.pixels = likelihood_called(likelihood, likelihood_scale)
        self.activation = defaults["activation"] if activation is None else activation
        if normalization == "auto":
            normalization = defaults["normalization"]
        self.normalization = normalization
        self.binarize = bool(binarize)
        self.warmup_steps, self.free_bits = warmup_steps, free_bits
        self.check_options()
        self.encoder, self.decoder = self.build_networks()
        names = [f"kl_{i + 1}" for i in range(len(shapes))]
        self.watch("loss", "reconstruction", "kl", *names)
        self.built = True

    def check_options(self):
        known = (None,) if self.architecture == "deep" else NORMALIZATIONS
        checks.one_of("normalization", self.normalization, known)
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError(
                "binarize=True makes pixels 0 or 1. Expected likelihood='bernoulli'. "
                f"Received: likelihood={self.likelihood!r}."
            )

    def build_networks(self):
        own = {"normalization": self.normalization}
        if self.architecture == "deep":
            own = {"blocks": self.blocks}
        with networks.precision(self.dtype_policy):
            return BUILDERS[self.architecture](
                self.image_shape,
                self.latent_dims,
                self.widths,
                self.num_classes,
                self.pixels,
                activation=self.activation,
                **own,
            )

    def default_optimizer(self):
        if self.architecture == "deep":
            return keras.optimizers.AdamW(
                1e-3, weight_decay=0.01, beta_2=0.9, global_clipnorm=200.0
            )
        # The chain's is that of IWAE.
        epsilon = 1e-4 if self.architecture == "chain" else 1e-7
        return keras.optimizers.Adam(1e-3, epsilon=epsilon)

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.negative_bound, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.negative_bound(images, labels, training=False)
        return self.report(logs, images)

    def negative_bound(self, images, labels=None, training=True):
        if self.binarize:
            draws = self.noise(ops.shape(images), backend.uniform)
            images = ops.cast(draws < images, "float32")
        noise = self.noise((ops.shape(images)[0], self.samples, self.latent_dim))
        evidence, kls = self.parts(images, noise, labels, training, self.closed_form)
        beta = self.grown(self.warmup_steps, training)
        bound = ops.mean(losses.log_mean_exp(evidence - beta * sum(kls)))
        by_layer = [ops.mean(kl) for kl in kls]
        missing = [ops.relu(self.free_bits - kl) for kl in by_layer]
        loss = beta * sum(missing) - bound
        logs = {"loss": loss, "reconstruction": -ops.mean(evidence)}
        logs |= {f"kl_{i + 1}": kl for i, kl in enumerate(by_layer)}
        return loss, {**logs, "kl": sum(by_layer)}

    @property
    def closed_form(self):
        """Whether KL divergences are taken given the layers above, without sampling."""
        return self.samples == 1 and self.architecture != "chain"

    def parts(self, images, noise, labels, training=False, closed_form=False):
        """log p(images | latents) and each layer's KL, `(batch, samples)` in nats."""
        samples = ops.shape(noise)[1]
        outputs, drawn = self.inferred(images, noise, labels, training)
        images = ops.repeat(images, samples, axis=0)
        evidence = -self.pixels.negative_log_likelihood(images, outputs)
        kls = [divergence(*layer, closed_form) for layer in drawn]
        evidence, *kls = [ops.reshape(x, (-1, samples)) for x in (evidence, *kls)]
        return evidence, kls

    def inferred(self, images, noise, labels=None, training=False):
        """Parameters of pixels, and of each layer (latents, posterior, prior).

        The noise is `(batch, samples, latent_dim)`; results have a row for each draw.
        """
        samples = ops.shape(noise)[1]
        features = self.encoder(self.given(images, labels), training=training)
        features = keras.tree.map_structure(
            lambda x: ops.repeat(ops.cast(x, "float32"), samples, axis=0), features
        )
        labels = None if labels is None else ops.repeat(labels, samples, axis=0)
        noise = self.by_layer(ops.reshape(noise, (-1, self.latent_dim)))
        if self.architecture == "chain":
            features = self.encoder.upward(features, noise, labels, training)
        outputs, drawn = self.decoder(noise, labels, features, training=training)
        return ops.cast(outputs, "float32"), drawn

    def by_layer(self, noise):
        """`(batch, latent_dim)` to a list of the shapes that the layers have."""
        ends = np.cumsum([math.prod(shape) for shape in self.layer_shapes]).tolist()
        layers = zip([0, *ends[:-1]], ends, self.layer_shapes, strict=True)
        return [ops.reshape(noise[:, a:b], (-1, *shape)) for a, b, shape in layers]

    def log_weights_batch(self, images, noise, labels=None):
        evidence, kls = self.parts(images, noise, labels)
        return ops.stack([evidence, -sum(kls)])

    def _log_weights(self, images, samples, labels, seed):
        # The maps of the deep one fill the memory sooner.
        rows = 1024 if self.architecture == "deep" else 4096
        return super()._log_weights(images, samples, labels, seed, rows)

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None):
        noise = ops.zeros((ops.shape(images)[0], 1, self.latent_dim))
        _, drawn = self.inferred(images, noise, labels)
        return ops.concatenate([standardized(z, prior) for z, _, prior in drawn], -1)

    def generate_batch(self, latents, labels=None):
        outputs, _ = self.decoder(self.by_layer(latents), labels)
        return self.pixels.mean(ops.cast(outputs, "float32"))

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]
        return {
            **config,
            "latent_dims": self.latent_dims,
            "architecture": self.architecture,
            "likelihood": self.likelihood,
            "widths": self.widths,
            "samples": self.samples,
            "likelihood_scale": self.likelihood_scale,
            "activation": self.activation,
            "normalization": self.normalization,
            "blocks": self.blocks,
            "binarize": self.binarize,
            "warmup_steps": self.warmup_steps,
            "free_bits": self.free_bits,
        }


def divergence(latents, posterior, prior, closed_form):
    """KL of a layer's posterior from its prior in nats, `(batch,)`.

    In closed form, or log q - log p of the latents, whose mean it is.
    """
    size = math.prod(latents.shape[1:])
    latents, *parameters = [
        ops.reshape(x, (-1, size)) for x in (latents, *posterior, *prior)
    ]
    if closed_form:
        return normal_kl_between(*parameters)
    posterior, prior = parameters[:2], parameters[2:]
    log_density = losses.normal_log_density
    return log_density(latents, *posterior) - log_density(latents, *prior)


def normal_kl_between(mean, log_var, prior_mean, prior_log_var):
    """KL of one normal density from another in nats: `(batch, latents)` to `(batch,)`.

    The formula for N(0, I), in units of the prior.
    """
    mean = standardized(mean, (prior_mean, prior_log_var))
    return losses.normal_kl(mean, log_var - prior_log_var)
