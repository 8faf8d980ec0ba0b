"""Variational autoencoder: Kingma and Welling, arXiv:1312.6114.

The encoder maps an image to a density over latents, the decoder maps latents to a
density over images, and both minimise the negative ELBO. The paper trains by Adagrad;
Adam is what everyone has used since.
"""

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.base import LikelihoodModel
from kzoo.networks.autoencoder import ENCODER_DECODERS, EncoderDecoder
from kzoo.parts.divergences import DIVERGENCES, Divergence
from kzoo.parts.likelihoods import LIKELIHOODS, Likelihood
from kzoo.parts.posteriors import POSTERIORS, Posterior, VonMisesFisher
from kzoo.parts.priors import PRIORS, Prior, Sphere, StandardNormal


@keras.saving.register_keras_serializable("kzoo")
class VAE(LikelihoodModel):
    """Variational autoencoder (arXiv:1312.6114): a density with an encoder.

    Logs `loss` (reconstruction + beta * kl), `reconstruction` (negative log-likelihood)
    and `kl`, in nats an image: summed over pixels and latents, mean over images. With
    `beta=1` the loss is the negative ELBO.

    What it is put together from is a name, or an object with settings:

    >>> VAE((28, 28, 1), architecture=MLPEncoderDecoder((500,)), prior=VampPrior(100))

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"`, or `"conv"`, which halves the sides once for each width;
            or an object of `kzoo.networks.autoencoder`.
        likelihood: of pixels: `"bernoulli"`, `"categorical"` (of 256 levels),
            `"continuous_bernoulli"`, `"gaussian"`, `"laplace"` or
            `"logistic_mixture"` (of 256 levels); or an object of
            `kzoo.parts.likelihoods`, such as `Gaussian("learned")`.
        beta: weight of the divergence (beta-VAE, Higgins et al. 2017).
        divergence: of the posterior from the prior: `"kl"`, or an object of
            `kzoo.parts.divergences`, such as `KL(warmup_steps=5000, free_bits=0.1)`.
        prior: of the latents: `"normal"`; or learned: `"mixture"` of normal densities,
            `"vamp"`, the mean posterior of learned images (arXiv:1705.07120), `"flow"`,
            an autoregressive one (arXiv:1705.07057); or `"sphere"`, uniform on the
            unit sphere; or an object of `kzoo.parts.priors`.
        posterior: `"normal"`, with variances but no covariances; `"iaf"`, bent by
            inverse autoregressive flows (arXiv:1606.04934); `"planar"`, bent by
            planar flows (arXiv:1505.05770); or, with the prior `"sphere"` and only
            there, `"von_mises_fisher"` (arXiv:1804.00891); or an object of
            `kzoo.parts.posteriors`.
        num_classes: number of labels to condition encoder and decoder on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            `[mean, log_var]`, each `(batch, latent_dim)`; with `posterior="iaf"` also
            a context `(batch, 32)`, with `"von_mises_fisher"` a concentration
            `(batch, 1)` instead of the log variances.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to the
            parameters of the likelihood, `(batch, *image_shape)`: logits for
            `"bernoulli"`, means for `"gaussian"` and `"laplace"`. Other likelihoods
            have more numbers in the last axis: `model.likelihood.parameters(channels)`.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VAE(image_shape=(8, 8, 1), latent_dim=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=20,
        architecture="mlp",
        likelihood="bernoulli",
        beta=1.0,
        divergence="kl",
        prior="normal",
        posterior="normal",
        num_classes=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, EncoderDecoder, ENCODER_DECODERS
        )
        self.likelihood = config.part("likelihood", likelihood, Likelihood, LIKELIHOODS)
        self.beta = checks.number("beta", beta, least=0)
        self.divergence = config.part("divergence", divergence, Divergence, DIVERGENCES)
        self.posterior = config.part("posterior", posterior, Posterior, POSTERIORS)
        self.posterior.connect(self.latent_dim)
        prior = config.part("prior", prior, Prior, PRIORS)
        normal = type(prior) is StandardNormal
        self.add_networks(encoder, decoder, "codes" if normal else None)
        self.set_prior(prior)
        self.check_densities()
        self.watch("loss", "reconstruction", *self.divergence.logs)
        self.built = True

    def check_densities(self):
        on_sphere = isinstance(self.prior, Sphere)
        if on_sphere != isinstance(self.posterior, VonMisesFisher):
            raise ValueError(
                "Both densities of the latents are on the sphere, or neither is. "
                "Expected prior='sphere' and posterior='von_mises_fisher'. Received: "
                f"prior={self.prior!r}, posterior={self.posterior!r}."
            )
        self.divergence.check(self.prior, self.posterior)

    def add_networks(self, encoder, decoder, mean):
        code, (height, width, channels) = (self.latent_dim,), self.image_shape
        context, concentrated = self.posterior.context_dim, self.posterior.concentrated
        codes = [code, (1,) if concentrated else code]
        codes += [(context,)] if context else []
        kinds = [mean, None if concentrated else "log_var", None][: len(codes)]
        self.add_network(
            "encoder",
            encoder,
            lambda: self.architecture.encoder(
                self.image_shape,
                self.latent_dim,
                self.num_classes,
                context_dim=context,
                concentrated=concentrated,
            ),
            self.image_shape,
            codes,
            self.num_classes,
            kinds,
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: self.architecture.decoder(
                self.image_shape, self.latent_dim, self.num_classes, self.likelihood
            ),
            code,
            (height, width, self.likelihood.parameters(channels)),
            self.num_classes,
            self.likelihood.kind,
        )

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
        images = self.likelihood.binarized(images, self.noise)
        parameters = self.posterior_parameters(
            self.seen(images, training), labels, training
        )
        noise = self.noise(ops.shape(parameters[0]))
        latents, log_density = self.posterior(parameters, noise)
        outputs = self.outputs(latents, labels, training)

        nats = self.likelihood.negative_log_likelihood(images, outputs)
        reconstruction = ops.mean(nats)
        drawn = parameters, latents, log_density
        regularization, logs = self.regularization(*drawn, labels, training)
        loss = reconstruction + regularization
        return loss, {"loss": loss, "reconstruction": reconstruction, **logs}

    def regularization(self, parameters, latents, log_density, labels, training):
        """What the loss adds to the reconstruction, a scalar, and its logs."""
        return self.divergence(self, parameters, latents, log_density, training)

    def seen(self, images, training):
        """What the encoder gets of the images."""
        return images

    def posterior_parameters(self, images, labels=None, training=False):
        """Mean and log variance of q(latents | images), each `(batch, latent_dim)`.

        With flows that see the image, also their context. On the sphere, one number
        for the concentration, `(batch, 1)`, instead of log variances.
        """
        outputs = self.encoder(self.given(images, labels), training=training)
        return self.posterior.bounded([ops.cast(x, "float32") for x in outputs])

    def outputs(self, latents, labels=None, training=False):
        """Parameters of p(images | latents), `(batch, height, width, parameters)`."""
        outputs = self.decoder(self.given(latents, labels), training=training)
        return ops.cast(outputs, "float32")

    def log_weights_batch(self, images, noise, labels=None):
        """log p(images | latents) and log p(latents) - log q(latents | images)."""
        return ops.stack(self.log_weights(images, noise, labels))

    def log_weights(self, images, noise, labels=None, training=False):
        """Both in a list, `(batch, samples)`; noise `(batch, samples, latent_dim)`."""
        _, latents, log_density = self.draws(images, noise, labels, training)
        return self.weigh(images, latents, log_density, labels, training)

    def draws(self, images, noise, labels, training):
        """Parameters of the posterior, latents and their log densities, a row a draw"""
        samples = ops.shape(noise)[1]
        parameters = [
            ops.repeat(p, samples, axis=0)
            for p in self.posterior_parameters(images, labels, training)
        ]
        noise = ops.reshape(noise, (-1, self.latent_dim))
        return parameters, *self.posterior(parameters, noise)

    def weigh(self, images, latents, log_density, labels, training):
        """`log_weights` of given latents, with as many rows for each image."""
        samples = ops.shape(latents)[0] // ops.shape(images)[0]
        images, labels = (
            None if x is None else ops.repeat(x, samples, axis=0)
            for x in (images, labels)
        )
        outputs = self.outputs(latents, labels, training)
        evidence = -self.likelihood.negative_log_likelihood(images, outputs)
        prior = self.prior.log_density(latents) - log_density
        return [ops.reshape(part, (-1, samples)) for part in (evidence, prior)]

    def encode_batch(self, images, labels=None):
        return self.posterior.centre(self.posterior_parameters(images, labels))

    def posterior_batch(self, images, noise, labels=None):
        return self.posterior(self.posterior_parameters(images, labels), noise)[0]

    def generate_batch(self, latents, labels=None):
        return self.likelihood.mean(
            self.outputs(self.posterior.project(latents), labels)
        )
