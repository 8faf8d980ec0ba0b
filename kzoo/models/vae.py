"""Variational autoencoder: Kingma and Welling, arXiv:1312.6114.

The encoder maps an image to a density over latents, the decoder maps latents to a
density over images, and both minimise the negative ELBO. The paper trains by Adagrad;
Adam is what everyone has used since.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks, priors
from kzoo.likelihoods import likelihood as likelihood_called
from kzoo.networks import check_widths
from kzoo.networks.autoencoder import ARCHITECTURES
from kzoo.posteriors import POSTERIORS
from kzoo.training import GenerativeModel
from kzoo.verbs import LikelihoodVerbs

PRIORS = ("flow", "mixture", "normal", "sphere", "vamp")
SPHERICAL = ("sphere", "von_mises_fisher")  # prior and posterior
COMPONENTS = {"mixture": 10, "vamp": 500}


@keras.saving.register_keras_serializable("kzoo")
class VAE(LikelihoodVerbs, GenerativeModel):
    """Variational autoencoder (arXiv:1312.6114): a density with an encoder.

    Logs `loss` (reconstruction + beta * kl), `reconstruction` (negative log-likelihood)
    and `kl`, in nats an image: summed over pixels and latents, mean over images. With
    `beta=1` the loss is the negative ELBO.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, which halves the sides once for each width.
        likelihood: of pixels: `"bernoulli"`, `"categorical"` (of 256 levels),
            `"continuous_bernoulli"`, `"gaussian"`, `"laplace"` or
            `"logistic_mixture"` (of 256 levels); see `kzoo.likelihoods`.
        beta: weight of the KL divergence (beta-VAE, Higgins et al. 2017).
        kl: `"analytic"` in closed form, or `"sampled"` from the same latents as the
            reconstruction. Default: in closed form where there is one, for a normal
            posterior and a normal prior, or for those on the sphere.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to `(400,)` for `"mlp"`, `(32, 64)` for `"conv"`.
        likelihood_scale: standard deviation of `"gaussian"` or scale of `"laplace"`, in
            units of the pixel range [0, 1], or `"learned"`, one for all pixels (of your
            own decoder: one for each). Defaults to 1.
        activation: of the hidden layers, a name that Keras knows.
        binarize: whether a pixel is drawn as 0 or 1 with its grey level as the
            probability, anew in each step (Salakhutdinov and Murray 2008). It makes
            the Bernoulli likelihood a proper one, to be compared with published ones.
        warmup_steps: steps over which `beta` grows from 0 (Bowman et al.,
            arXiv:1511.06349).
        capacity: nats that the KL divergence is held at, by `beta * |kl - capacity|` in
            the loss (Burgess et al., arXiv:1804.03599), or None.
        capacity_steps: steps over which the capacity grows from 0.
        free_bits: nats of the KL divergence that each latent has for free, on average
            over the batch (Kingma et al., arXiv:1606.04934); on the sphere, that all
            have together.
        prior: of the latents: `"normal"`; or learned: `"mixture"` of normal densities,
            `"vamp"`, the mean posterior of learned images (arXiv:1705.07120), `"flow"`,
            an autoregressive one (arXiv:1705.07057); or `"sphere"`, uniform on the
            unit sphere. See `kzoo.priors`.
        components: of the prior `"mixture"` or `"vamp"`.
        posterior: `"normal"`, with variances but no covariances; `"iaf"`, bent by
            inverse autoregressive flows (arXiv:1606.04934); `"planar"`, bent by
            planar flows (arXiv:1505.05770); or, with the prior `"sphere"` and only
            there, `"von_mises_fisher"` (arXiv:1804.00891). See `kzoo.posteriors`.
        num_classes: number of labels to condition encoder and decoder on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            `[mean, log_var]`, each `(batch, latent_dim)`; with `posterior="iaf"` also
            a context `(batch, 32)`, with `"von_mises_fisher"` a concentration
            `(batch, 1)` instead of the log variances.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to the
            parameters of the likelihood, `(batch, *image_shape)`: logits for
            `"bernoulli"`, means for `"gaussian"` and `"laplace"`. Other likelihoods
            have more numbers in the last axis: `model.pixels.parameters(channels)`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VAE(image_shape=(8, 8, 1), latent_dim=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    fixed = ()  # names of arguments that a subclass does not have

    def __init__(
        self,
        image_shape,
        latent_dim=20,
        architecture="mlp",
        likelihood="bernoulli",
        beta=1.0,
        kl=None,
        widths=None,
        likelihood_scale=None,
        activation="relu",
        binarize=False,
        warmup_steps=0,
        capacity=None,
        capacity_steps=0,
        free_bits=0.0,
        prior="normal",
        components=None,
        posterior="normal",
        num_classes=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        *_, default_widths = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.widths = check_widths(default_widths if widths is None else widths)
        self.likelihood = likelihood
        self.likelihood_scale = likelihood_scale
        self.pixels = likelihood_called(likelihood, likelihood_scale)
        self.activation = activation
        self.binarize = bool(binarize)
        self.beta = beta
        self.warmup_steps, self.free_bits = warmup_steps, free_bits
        self.capacity, self.capacity_steps = capacity, capacity_steps
        self.prior_name = checks.one_of("prior", prior, PRIORS)
        self.posterior_name = checks.one_of("posterior", posterior, POSTERIORS)
        self.components = components
        self.kl = self.check_kl(kl)
        self.check_objective()
        self.add_networks(encoder, decoder)
        self.watch("loss", "reconstruction", "kl")
        self.built = True

    @classmethod
    def refuse(cls, arguments):
        """Raises a `ValueError` for arguments of `VAE` that a subclass has `fixed`."""
        for name in cls.fixed:
            if name in arguments:
                raise ValueError(
                    f"{cls.__name__} has an objective of its own. Expected no {name}. "
                    f"Received: {name}={arguments[name]!r}. Leave it out, or take VAE."
                )

    def check_kl(self, kl):
        """Which of `"analytic"` and `"sampled"`; the first is not always there."""
        densities = self.prior_name, self.posterior_name
        closed = densities in (("normal", "normal"), SPHERICAL)
        if kl is None:
            return "analytic" if closed else "sampled"
        checks.one_of("kl", kl, ("analytic", "sampled"))
        if kl == "analytic" and not closed:
            raise ValueError(
                "kl='analytic' is between normal densities, or on the sphere. Expected "
                "prior='normal' and posterior='normal', or prior='sphere' and "
                f"posterior='von_mises_fisher'. Received: prior={self.prior_name!r}, "
                f"posterior={self.posterior_name!r}. Leave kl out to sample it."
            )
        return kl

    def check_objective(self):
        sphere, von_mises_fisher = SPHERICAL
        if (self.prior_name == sphere) != (self.posterior_name == von_mises_fisher):
            raise ValueError(
                "Both densities of the latents are on the sphere, or neither is. "
                "Expected prior='sphere' and posterior='von_mises_fisher'. Received: "
                f"prior={self.prior_name!r}, posterior={self.posterior_name!r}."
            )
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError(
                "binarize=True makes pixels 0 or 1. Expected likelihood='bernoulli'. "
                f"Received: likelihood={self.likelihood!r}."
            )
        if self.free_bits and self.kl == "sampled":
            raise ValueError(
                "free_bits are of each latent's KL divergence in closed form. Expected "
                f"kl='analytic'. Received: kl={self.kl!r}, prior={self.prior_name!r}, "
                f"posterior={self.posterior_name!r}, free_bits={self.free_bits!r}."
            )
        if self.components is not None and self.prior_name not in COMPONENTS:
            raise ValueError(
                "Expected components=None where the prior has none. Received: "
                f"prior={self.prior_name!r}, components={self.components!r}. Pass "
                "prior='mixture' or prior='vamp', or leave components out."
            )

    def add_networks(self, encoder, decoder):
        code, pixels = (self.latent_dim,), self.image_shape
        self.latent_posterior = POSTERIORS[self.posterior_name](self.latent_dim)
        context_dim = self.latent_posterior.context_dim
        concentrated = self.latent_posterior.concentrated
        codes = [code, (1,) if concentrated else code]
        codes += [(context_dim,)] if context_dim else []
        shape = (*pixels[:2], self.pixels.parameters(pixels[-1]))
        build_encoder, build_decoder, _ = ARCHITECTURES[self.architecture]
        build = functools.partial(
            build_encoder,
            activation=self.activation,
            context_dim=context_dim,
            concentrated=concentrated,
        )
        self.add_network("encoder", encoder, build, pixels, codes)
        build = functools.partial(
            build_decoder, activation=self.activation, likelihood=self.pixels
        )
        self.add_network("decoder", decoder, build, code, shape)
        self.latent_prior = self.build_prior()

    def build_prior(self):
        components = self.components or COMPONENTS.get(self.prior_name)
        match self.prior_name:
            case "flow":
                return priors.AutoregressiveFlow(self.latent_dim)
            case "sphere":
                return priors.Sphere(self.latent_dim)
            case "mixture":
                return priors.NormalMixture(self.latent_dim, components)
            case "vamp":
                return priors.VampPrior(
                    self.image_shape, self.latent_dim, components, self.pseudo_posterior
                )
        return priors.StandardNormal(self.latent_dim)

    def pseudo_posterior(self, images):
        """Of the images that a VampPrior learns, whose labels follow one another."""
        labels = None
        if self.num_classes:
            labels = ops.arange(images.shape[0], dtype="int32") % self.num_classes
        mean, log_var, *_ = self.posterior(images, labels)
        return mean, log_var

    def prior(self, normal):
        """Latents from the prior: `(n, prior_size)` to `(n, latent_dim)`."""
        return self.latent_prior(normal)

    @property
    def prior_size(self):
        return self.latent_prior.size

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3)

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.negative_elbo, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.negative_elbo(images, labels, training=False)
        return self.report(logs, images)

    def negative_elbo(self, images, labels=None, training=True):
        images = self.binarized(images)
        parameters = self.posterior(self.seen(images, training), labels, training)
        noise = self.noise(ops.shape(parameters[0]))
        latents, log_density = self.latent_posterior(parameters, noise)
        outputs = self.outputs(latents, labels, training)

        reconstruction = ops.mean(self.pixels.negative_log_likelihood(images, outputs))
        drawn = parameters, latents, log_density
        regularization, logs = self.regularization(*drawn, labels, training)
        loss = reconstruction + regularization
        return loss, {"loss": loss, "reconstruction": reconstruction, **logs}

    def seen(self, images, training):
        """What the encoder gets of the images."""
        return images

    def regularization(self, parameters, latents, log_density, labels, training):
        """What the loss adds to the reconstruction, a scalar, and its logs."""
        kl, floored = self.divergence(parameters, latents, log_density)
        if self.capacity is not None:
            capacity = self.capacity * self.grown(self.capacity_steps, training)
            floored = ops.abs(kl - capacity)
        beta = self.beta * self.grown(self.warmup_steps, training)
        return beta * floored, {"kl": kl}

    def binarized(self, images):
        if not self.binarize:
            return images
        draws = self.noise(ops.shape(images), backend.uniform)
        return ops.cast(draws < images, "float32")

    def divergence(self, parameters, latents, log_density):
        """KL from posterior to prior in nats, and with its free bits: batch means."""
        if self.kl == "sampled":
            kl = ops.mean(log_density - self.latent_prior.log_density(latents))
            return kl, kl
        by_latent = ops.mean(self.latent_posterior.kl(parameters), axis=0)
        kl = ops.sum(by_latent)
        if not self.free_bits:
            return kl, kl
        return kl, ops.sum(ops.maximum(by_latent, self.free_bits))

    def posterior(self, images, labels=None, training=False):
        """Mean and log variance of q(latents | images), each `(batch, latent_dim)`.

        With flows that see the image, also their context. On the sphere, one number
        for the concentration, `(batch, 1)`, instead of log variances.
        """
        outputs = self.encoder(self.given(images, labels), training=training)
        return [ops.cast(output, "float32") for output in outputs]

    def outputs(self, latents, labels=None, training=False):
        """Parameters of p(images | latents), `(batch, height, width, parameters)`."""
        outputs = self.decoder(self.given(latents, labels), training=training)
        return ops.cast(outputs, "float32")

    def log_weights_batch(self, images, noise, labels=None):
        """log p(images | latents) and log p(latents) - log q(latents | images)."""
        return ops.stack(self.log_weights(images, noise, labels))

    def log_weights(self, images, noise, labels=None, training=False):
        """The same, `(batch, samples)` each, of noise `(batch, samples, latent_dim)`"""
        _, latents, log_density = self.draws(images, noise, labels, training)
        return self.weigh(images, latents, log_density, labels, training)

    def draws(self, images, noise, labels, training):
        """Parameters of the posterior, latents and their log densities, a row a draw"""
        samples = ops.shape(noise)[1]
        parameters = [
            ops.repeat(p, samples, axis=0)
            for p in self.posterior(images, labels, training)
        ]
        noise = ops.reshape(noise, (-1, self.latent_dim))
        return parameters, *self.latent_posterior(parameters, noise)

    def weigh(self, images, latents, log_density, labels, training):
        """What `log_weights` returns, of latents with as many rows for each image."""
        samples = ops.shape(latents)[0] // ops.shape(images)[0]
        images, labels = (
            None if x is None else ops.repeat(x, samples, axis=0)
            for x in (images, labels)
        )
        outputs = self.outputs(latents, labels, training)
        evidence = -self.pixels.negative_log_likelihood(images, outputs)
        prior = self.latent_prior.log_density(latents) - log_density
        return [ops.reshape(part, (-1, samples)) for part in (evidence, prior)]

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None):
        return self.latent_posterior.centre(self.posterior(images, labels))

    def posterior_batch(self, images, noise, labels=None):
        latents, _ = self.latent_posterior(self.posterior(images, labels), noise)
        return latents

    def generate_batch(self, latents, labels=None):
        latents = self.latent_posterior.project(latents)
        return self.pixels.mean(self.outputs(latents, labels))

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        on_sphere = self.prior_name == "sphere" and self.sampler is None
        if on_sphere and truncation is not None:
            raise ValueError(
                "The uniform prior on the sphere has no middle to stay near. Expected "
                f"truncation=None. Received: truncation={truncation!r}."
            )
        return super().draw_latents(n, seed, truncation, labels)

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        config = {
            **super().get_config(),
            "architecture": self.architecture,
            "likelihood": self.likelihood,
            "beta": self.beta,
            "kl": self.kl,
            "widths": self.widths,
            "likelihood_scale": self.likelihood_scale,
            "activation": self.activation,
            "binarize": self.binarize,
            "warmup_steps": self.warmup_steps,
            "capacity": self.capacity,
            "capacity_steps": self.capacity_steps,
            "free_bits": self.free_bits,
            "prior": self.prior_name,
            "components": self.components,
            "posterior": self.posterior_name,
        }
        return {k: v for k, v in config.items() if k not in self.fixed}
