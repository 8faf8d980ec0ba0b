"""JointVAE: Dupont, arXiv:1804.00104.

Continuous latents and categories side by side: a category is drawn by the
Gumbel-softmax (arXiv:1611.01144, arXiv:1611.00712), soft enough for a gradient, and
each of the two kinds has a capacity of its own that grows while the model is trained.
On MNIST the paper's categories come to mean the digits, without labels.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from kzoo import backend, checks, config
from kzoo.base import AutoencoderModel
from kzoo.networks.autoencoder import ENCODER_DECODERS, EncoderDecoder
from kzoo.networks.blocks import check_widths, network
from kzoo.parts.densities import normal_draw, normal_kl
from kzoo.parts.likelihoods import LIKELIHOODS, Likelihood
from kzoo.parts.priors import Prior


class JointPrior(Prior):
    """N(0, I) and uniform one-hot categories, side by side.

    Args:
        continuous_dim: number of continuous latents.
        categories: how many values each category has.
    """

    def __init__(self, continuous_dim, categories):
        super().__init__()
        self.continuous_dim, self.categories = continuous_dim, categories

    def call(self, normal, labels=None):
        continuous, others = ops.split(normal, [self.continuous_dim], axis=-1)
        # The largest of the numbers in a category's places is each equally often.
        one_hot = [
            ops.one_hot(ops.argmax(part, axis=-1), part.shape[-1])
            for part in split(others, self.categories)
        ]
        return ops.concatenate([continuous, *one_hot], axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class JointVAE(AutoencoderModel):
    """JointVAE (arXiv:1804.00104): categories found beside continuous latents.

    Logs `loss`, `reconstruction`, `kl` of the continuous latents and `category_kl`, in
    nats an image. A latent vector is the continuous latents, then each category's
    shares: one-hot when it is drawn from the prior, soft as `encode` returns it.

    Args:
        image_shape: `(height, width, channels)`.
        continuous_dim: number of continuous latents.
        categories: how many values each category has: `(10,)` is one of ten.
        architecture: `"mlp"`, or `"conv"`, which halves the sides once for each width;
            or an object of `kzoo.networks.autoencoder`.
        likelihood: of pixels, as in `VAE`.
        gamma: weight of what the two divergences differ from their capacities by.
        capacity, category_capacity: nats that they are held at in the end. A category
            of n values holds at most log n: `category_capacity` grows as it is, and is
            capped there when it arrives, as in the author's code (log 10 after 11,513
            steps by default).
        capacity_steps: steps over which the capacities grow linearly from 0.
        temperature: of the Gumbel-softmax: the smaller, the nearer draws are to
            one-hot, and the wilder is their gradient.
        encoder: your own `keras.Model` from images in [0, 1] to
            `[mean, log_var, logits]`, the last one of all categories in a row.
        decoder: your own `keras.Model` from latents to the parameters of the
            likelihood, as in `VAE`.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.JointVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.encode(images)[:, -10:].argmax(axis=1)  # the category of each image
    """

    def __init__(
        self,
        image_shape,
        continuous_dim=10,
        categories=(10,),
        architecture="conv",
        likelihood="bernoulli",
        gamma=30.0,
        capacity=5.0,
        category_capacity=5.0,
        capacity_steps=25_000,
        temperature=0.67,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        continuous_dim = checks.positive_int("continuous_dim", continuous_dim)
        categories = check_widths(categories, "categories")
        super().__init__(image_shape, continuous_dim + sum(categories), **kwargs)
        self.continuous_dim, self.categories = continuous_dim, categories
        self.architecture = config.part(
            "architecture", architecture, EncoderDecoder, ENCODER_DECODERS
        )
        self.likelihood = config.part("likelihood", likelihood, Likelihood, LIKELIHOODS)
        self.gamma = checks.number("gamma", gamma, least=0)
        self.temperature = checks.number("temperature", temperature, above=0)
        self.capacity = checks.number("capacity", capacity, least=0)
        self.category_capacity = checks.number(
            "category_capacity", category_capacity, least=0
        )
        self.capacity_steps = checks.whole_number("capacity_steps", capacity_steps)
        self.set_prior(JointPrior(continuous_dim, categories))
        self.add_networks(encoder, decoder)
        self.watch("loss", "reconstruction", "kl", "category_kl")
        self.built = True

    def add_networks(self, encoder, decoder):
        code, (height, width, channels) = (self.continuous_dim,), self.image_shape
        self.add_network(
            "encoder",
            encoder,
            lambda: with_categories(
                self.architecture.encoder(self.image_shape, self.continuous_dim),
                self.categories,
            ),
            self.image_shape,
            [code, code, (sum(self.categories),)],
            kinds=["codes", "log_var", "scores"],
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: self.architecture.decoder(
                self.image_shape, self.latent_dim, likelihood=self.likelihood
            ),
            (self.latent_dim,),
            (height, width, self.likelihood.parameters(channels)),
            kinds=self.likelihood.kind,
        )

    def default_optimizer(self):
        return keras.optimizers.Adam(5e-4)

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.cost, images), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        return self.report(self.cost(images, training=False)[1], images)

    def cost(self, images, training=True):
        images = self.likelihood.binarized(images, self.noise)
        mean, log_var, logits = self.posterior_parameters(images, training)
        latents = self.drawn(mean, log_var, logits)
        outputs = ops.cast(self.decoder(latents, training=training), "float32")
        nats = self.likelihood.negative_log_likelihood(images, outputs)
        reconstruction = ops.mean(nats)
        kl = ops.mean(normal_kl(mean, log_var))
        category_kl = sum(map(uniform_kl, split(logits, self.categories)))
        loss = reconstruction + self.gamma * self.excess(kl, category_kl, training)
        logs = {"loss": loss, "reconstruction": reconstruction}
        return loss, {**logs, "kl": kl, "category_kl": category_kl}

    def excess(self, kl, category_kl, training):
        """How far both divergences are from their capacities, in nats: a scalar."""
        most = sum(math.log(n) for n in self.categories)
        ramp = self.ramp(self.capacity_steps, training)
        category_capacity = ops.minimum(self.category_capacity * ramp, most)
        return ops.abs(kl - self.capacity * ramp) + ops.abs(
            category_kl - category_capacity
        )

    def drawn(self, mean, log_var, logits):
        """Latents of one draw an image, `(batch, latent_dim)`, with gradients."""
        continuous = normal_draw(mean, log_var, self.noise(ops.shape(mean)))
        draws = self.noise(ops.shape(logits), backend.uniform)
        gumbel = -ops.log(-ops.log(ops.clip(draws, 1e-7, 1 - 1e-7)))
        soft = [
            ops.softmax(part / self.temperature)
            for part in split(logits + gumbel, self.categories)
        ]
        return ops.concatenate([continuous, *soft], axis=-1)

    def posterior_parameters(self, images, training=False):
        """Mean and log variance `(batch, continuous_dim)`, and all logits in a row."""
        outputs = self.encoder(images, training=training)
        return [ops.cast(output, "float32") for output in outputs]

    def encode_batch(self, images, labels=None):
        """Posterior means: the categories' are their shares."""
        mean, _, logits = self.posterior_parameters(images)
        shares = [ops.softmax(part) for part in split(logits, self.categories)]
        return ops.concatenate([mean, *shares], axis=-1)

    def generate_batch(self, latents, labels=None):
        outputs = self.decoder(latents, training=False)
        return self.likelihood.mean(ops.cast(outputs, "float32"))


def with_categories(encoder, categories):
    """A VAE's encoder that also puts out the logits of each category, in a row."""
    features = encoder.get_layer("mean").input
    heads = [layers.Dense(n, dtype="float32")(features) for n in categories]
    logits = ops.concatenate(heads, axis=-1) if len(heads) > 1 else heads[0]
    return network(encoder.inputs, [*encoder.outputs, logits], "encoder")


def split(values, categories):
    """The columns of each category, of a tensor with all of them in a row."""
    ends = np.cumsum(categories)[:-1].tolist()
    return ops.split(values, ends, axis=-1) if ends else [values]


def uniform_kl(logits):
    """KL from a categorical distribution to the uniform one: a mean in nats."""
    log_shares = ops.log_softmax(logits, axis=-1)
    negative_entropy = ops.sum(ops.exp(log_shares) * log_shares, axis=-1)
    return ops.mean(negative_entropy) + math.log(logits.shape[-1])
