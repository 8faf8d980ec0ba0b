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

from kzoo import backend, checks, config, media
from kzoo.base import LikelihoodModel
from kzoo.networks.blocks import precision
from kzoo.networks.hierarchy import HierarchyNetworks, standardized
from kzoo.networks.ladder import ChainNetworks, LadderNetworks
from kzoo.networks.vdvae import VDVAENetworks
from kzoo.parts.densities import log_mean_exp, normal_kl, normal_log_density
from kzoo.parts.likelihoods import LIKELIHOODS, Likelihood

NETWORKS = {"chain": ChainNetworks, "deep": VDVAENetworks, "ladder": LadderNetworks}


@keras.saving.register_keras_serializable("kzoo")
class HVAE(LikelihoodModel):
    """Hierarchical VAE (arXiv:1602.02282, arXiv:2011.10650): layers of latents.

    Layers are counted from the image up. Logs `loss`, the negative bound of `samples`
    samples; of the bound of one sample `reconstruction` and `kl`; and `kl_1`, `kl_2`
    and so on, the part of each layer. All are in nats an image, means over images.

    The `latent_dim` latents of `generate` and `encode` are the standard normal noise
    that each layer is made of, given the layers above, all layers in one row. `encode`
    returns the noise that leads to the means of the posteriors.

    Args:
        image_shape: `(height, width, channels)`.
        architecture: `"ladder"`, dense; `"deep"`, convolutional, where each resolution
            has half the sides of the one before and several layers, and the top layer
            is a vector; or `"chain"`, dense, whose posterior goes from the image up.
            Or an object with other sizes: `LadderNetworks((16, 8), (128, 64))` or
            `ChainNetworks` of `kzoo.networks.ladder`, `VDVAENetworks` of
            `kzoo.networks.vdvae`.
        likelihood: of pixels, as in `VAE`.
        samples: latents drawn for an image in a step, as in `IWAE`. 1 is the ELBO.
        warmup_steps: steps over which the weight of the KL divergence grows linearly
            from 0.
        free_bits: nats of the KL divergence that each layer has for free, on average
            over the batch (Kingma et al., arXiv:1606.04934).
        num_classes: number of labels to condition all networks on, or None.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> networks = LadderNetworks(latent_dims=(16, 8), widths=(128, 64))
    >>> model = kzoo.models.HVAE(image_shape=(8, 8, 1), architecture=networks)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        architecture="ladder",
        likelihood="bernoulli",
        samples=1,
        warmup_steps=0,
        free_bits=0.0,
        num_classes=None,
        **kwargs,
    ):
        shape = media.image_shape(image_shape)
        networks = config.part(
            "architecture", architecture, HierarchyNetworks, NETWORKS
        )
        layer_shapes = networks.layer_shapes(shape)
        latent_dim = sum(map(math.prod, layer_shapes))
        super().__init__(shape, latent_dim, num_classes, **kwargs)
        self.architecture, self.layer_shapes = networks, layer_shapes
        self.likelihood = config.part("likelihood", likelihood, Likelihood, LIKELIHOODS)
        self.samples = checks.positive_int("samples", samples)
        self.warmup_steps = checks.whole_number("warmup_steps", warmup_steps)
        self.free_bits = checks.number("free_bits", free_bits, least=0)
        with precision(self.dtype_policy):
            self.encoder = networks.encoder(shape, num_classes)
            self.decoder = networks.decoder(shape, num_classes, self.likelihood)
        names = [f"kl_{i + 1}" for i in range(len(layer_shapes))]
        self.watch("loss", "reconstruction", "kl", *names)
        self.built = True

    def default_optimizer(self):
        return self.architecture.optimizer()

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.negative_bound, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.negative_bound(images, labels, training=False)
        return self.report(logs, images)

    def negative_bound(self, images, labels=None, training=True):
        images = self.likelihood.binarized(images, self.noise)
        noise = self.noise((ops.shape(images)[0], self.samples, self.latent_dim))
        evidence, kls = self.parts(images, noise, labels, training, self.closed_form)
        beta = self.ramp(self.warmup_steps, training)
        bound = ops.mean(log_mean_exp(evidence - beta * sum(kls)))
        by_layer = [ops.mean(kl) for kl in kls]
        missing = [ops.relu(self.free_bits - kl) for kl in by_layer]
        loss = beta * sum(missing) - bound
        logs = {"loss": loss, "reconstruction": -ops.mean(evidence)}
        logs |= {f"kl_{i + 1}": kl for i, kl in enumerate(by_layer)}
        return loss, {**logs, "kl": sum(by_layer)}

    @property
    def closed_form(self):
        """Whether KL divergences are taken given the layers above, without sampling."""
        return self.samples == 1 and self.architecture.closed_form

    def parts(self, images, noise, labels, training=False, closed_form=False):
        """log p(images | latents) and each layer's KL, `(batch, samples)` in nats."""
        samples = ops.shape(noise)[1]
        outputs, drawn = self.inferred(images, noise, labels, training)
        images = ops.repeat(images, samples, axis=0)
        evidence = -self.likelihood.negative_log_likelihood(images, outputs)
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
        features = self.architecture.upward(
            self.encoder, features, noise, labels, training
        )
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
        rows = self.architecture.rows
        return super()._log_weights(images, samples, labels, seed, rows)

    def encode_batch(self, images, labels=None):
        noise = ops.zeros((ops.shape(images)[0], 1, self.latent_dim))
        _, drawn = self.inferred(images, noise, labels)
        return ops.concatenate([standardized(z, prior) for z, _, prior in drawn], -1)

    def generate_batch(self, latents, labels=None):
        outputs, _ = self.decoder(self.by_layer(latents), labels)
        return self.likelihood.mean(ops.cast(outputs, "float32"))


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
    log_density = normal_log_density
    return log_density(latents, *posterior) - log_density(latents, *prior)


def normal_kl_between(mean, log_var, prior_mean, prior_log_var):
    """KL of one normal density from another in nats: `(batch, latents)` to `(batch,)`.

    The formula for N(0, I), in units of the prior.
    """
    mean = standardized(mean, (prior_mean, prior_log_var))
    return normal_kl(mean, log_var - prior_log_var)
