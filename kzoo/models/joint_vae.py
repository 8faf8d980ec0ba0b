"""JointVAE: Dupont, arXiv:1804.00104.

Continuous latents and categories side by side: a category is drawn by the
Gumbel-softmax (arXiv:1611.01144, arXiv:1611.00712), soft enough for a gradient, and
each of the two kinds has a capacity of its own that grows while the model is trained.
On MNIST the paper's categories come to mean the digits, without labels.
"""

import functools
import math

import keras
from keras import layers, ops

from kzoo import backend, checks, losses
from kzoo.likelihoods import likelihood as likelihood_called
from kzoo.networks import check_widths, network
from kzoo.networks.autoencoder import ARCHITECTURES
from kzoo.training import GenerativeModel
from kzoo.verbs import AutoencoderVerbs


def build_encoder(
    image_shape, latent_dim, widths, num_classes=None, build=None, categories=()
):
    """A VAE's encoder of the continuous latents, and logits of each category."""
    continuous = latent_dim - sum(categories)
    encoder = build(image_shape, continuous, widths, num_classes)
    mean, log_var = encoder.outputs
    features = encoder.get_layer("mean").input
    heads = [layers.Dense(n, dtype="float32")(features) for n in categories]
    logits = ops.concatenate(heads, axis=-1) if len(heads) > 1 else heads[0]
    return network(encoder.inputs, [mean, log_var, logits], "encoder")


@keras.saving.register_keras_serializable("kzoo")
class JointVAE(AutoencoderVerbs, GenerativeModel):
    """JointVAE (arXiv:1804.00104): categories found beside continuous latents.

    Logs `loss`, `reconstruction`, `kl` of the continuous latents and `category_kl`, in
    nats an image. A latent vector is the continuous latents, then each category's
    shares: one-hot when it is drawn from the prior, soft as `encode` returns it.

    Args:
        image_shape: `(height, width, channels)`.
        continuous_dim: number of continuous latents.
        categories: how many values each category has: `(10,)` is one of ten.
        architecture: `"mlp"` or `"conv"`, which halves the sides once for each width.
        likelihood: of pixels, as in `VAE`.
        gamma: weight of what the two divergences differ from their capacities by.
        capacity, category_capacity: nats that they are held at in the end. A category
            of n values holds at most log n.
        capacity_steps: steps over which the capacities grow from 0.
        temperature: of the Gumbel-softmax: the smaller, the nearer draws are to
            one-hot, and the wilder is their gradient.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to `(400,)` for `"mlp"`, `(32, 64)` for `"conv"`.
        encoder: your own `keras.Model` from images in [0, 1] to
            `[mean, log_var, logits]`, the last one of all categories in a row.
        decoder: your own `keras.Model` from latents to the parameters of the
            likelihood, as in `VAE`.

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
        widths=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        self.continuous_dim = checks.positive_int("continuous_dim", continuous_dim)
        self.categories = check_widths(categories)
        latent_dim = self.continuous_dim + sum(self.categories)
        super().__init__(image_shape, latent_dim, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        from_images, build_decoder, default_widths = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.widths = check_widths(default_widths if widths is None else widths)
        self.likelihood, self.pixels = likelihood, likelihood_called(likelihood)
        self.gamma, self.temperature = gamma, temperature
        self.capacity, self.category_capacity = capacity, category_capacity
        self.capacity_steps = capacity_steps

        code, shape = (self.continuous_dim,), self.image_shape
        build = functools.partial(
            build_encoder, build=from_images, categories=self.categories
        )
        outputs = [code, code, (sum(self.categories),)]
        self.add_network("encoder", encoder, build, shape, outputs)
        build = functools.partial(build_decoder, likelihood=self.pixels)
        shape = (*shape[:2], self.pixels.parameters(shape[-1]))
        self.add_network("decoder", decoder, build, (self.latent_dim,), shape)
        self.watch("loss", "reconstruction", "kl", "category_kl")
        self.built = True

    def default_optimizer(self):
        return keras.optimizers.Adam(5e-4)

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.cost, images), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        return self.report(self.cost(images, training=False)[1], images)

    def cost(self, images, training=True):
        mean, log_var, logits = self.posterior(images, training)
        latents = self.drawn(mean, log_var, logits)
        outputs = ops.cast(self.decoder(latents, training=training), "float32")
        reconstruction = ops.mean(self.pixels.negative_log_likelihood(images, outputs))
        kl = ops.mean(losses.normal_kl(mean, log_var))
        category_kl = sum(map(uniform_kl, self.split(logits)))
        most = sum(math.log(n) for n in self.categories)
        category_capacity = min(self.category_capacity, most)
        grown = self.grown(self.capacity_steps, training)
        excess = ops.abs(kl - self.capacity * grown)
        excess = excess + ops.abs(category_kl - category_capacity * grown)
        loss = reconstruction + self.gamma * excess
        logs = {"loss": loss, "reconstruction": reconstruction}
        return loss, {**logs, "kl": kl, "category_kl": category_kl}

    def drawn(self, mean, log_var, logits):
        """Latents of one draw an image, `(batch, latent_dim)`, with gradients."""
        normal = self.noise(ops.shape(mean))
        continuous = mean + ops.exp(0.5 * log_var) * normal
        draws = self.noise(ops.shape(logits), backend.uniform)
        gumbel = -ops.log(-ops.log(ops.clip(draws, 1e-7, 1 - 1e-7)))
        soft = [
            ops.softmax(part / self.temperature) for part in self.split(logits + gumbel)
        ]
        return ops.concatenate([continuous, *soft], axis=-1)

    def split(self, logits):
        """Those of each category, of tensors with all in a row."""
        ends = [sum(self.categories[:i]) for i in range(1, len(self.categories))]
        return ops.split(logits, ends, axis=-1) if ends else [logits]

    def prior(self, normal):
        """The largest of the numbers in a category's places is each alike often."""
        continuous, others = ops.split(normal, [self.continuous_dim], axis=-1)
        one_hot = [
            ops.one_hot(ops.argmax(part, axis=-1), part.shape[-1])
            for part in self.split(others)
        ]
        return ops.concatenate([continuous, *one_hot], axis=-1)

    def posterior(self, images, training=False):
        outputs = self.encoder(images, training=training)
        return [ops.cast(output, "float32") for output in outputs]

    def call(self, inputs, training=False):
        return self.reconstruct_batch(checks.unit_range(inputs))

    def encode_batch(self, images, labels=None):
        """Posterior means: the categories' are their shares."""
        mean, _, logits = self.posterior(images)
        shares = [ops.softmax(part) for part in self.split(logits)]
        return ops.concatenate([mean, *shares], axis=-1)

    def generate_batch(self, latents, labels=None):
        outputs = self.decoder(latents, training=False)
        return self.pixels.mean(ops.cast(outputs, "float32"))

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images))

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"], config["num_classes"]  # a sum of these; none
        return {
            **config,
            "continuous_dim": self.continuous_dim,
            "categories": self.categories,
            "architecture": self.architecture,
            "likelihood": self.likelihood,
            "gamma": self.gamma,
            "capacity": self.capacity,
            "category_capacity": self.category_capacity,
            "capacity_steps": self.capacity_steps,
            "temperature": self.temperature,
            "widths": self.widths,
        }


def uniform_kl(logits):
    """KL from a categorical distribution to the uniform one: a mean in nats."""
    log_shares = ops.log_softmax(logits, axis=-1)
    negative_entropy = ops.sum(ops.exp(log_shares) * log_shares, axis=-1)
    return ops.mean(negative_entropy) + math.log(logits.shape[-1])
