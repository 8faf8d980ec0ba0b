"""Variational autoencoder: Kingma and Welling, arXiv:1312.6114.

The encoder maps an image to a normal distribution over latents, the decoder maps
latents to a distribution over images, and both minimise the negative ELBO. The paper
trains by Adagrad; Adam is what everyone has used since.
"""

import functools
import math

import keras
from keras import layers, ops

from kzoo import backend, checks, losses
from kzoo.layers import Conv2D, Conv2DTranspose, Sampling
from kzoo.networks import (
    check_widths,
    halved,
    image_and_label,
    network,
    vector_and_label,
)
from kzoo.training import GenerativeModel
from kzoo.verbs import LikelihoodVerbs


def build_mlp_encoder(
    image_shape, latent_dim, widths, num_classes=None, activation="relu"
):
    images = keras.Input(image_shape, name="images")
    label_inputs, x = vector_and_label(layers.Flatten()(images), num_classes)
    for width in widths:
        x = layers.Dense(width, activation=activation)(x)
    return network([images, *label_inputs], posterior_layers(x, latent_dim), "encoder")


def build_mlp_decoder(
    image_shape, latent_dim, widths, num_classes=None, activation="relu"
):
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    for width in reversed(widths):
        x = layers.Dense(width, activation=activation)(x)
    x = layers.Dense(math.prod(image_shape), dtype="float32")(x)
    outputs = layers.Reshape(image_shape, dtype="float32")(x)
    return network([latents, *label_inputs], outputs, "decoder")


def build_conv_encoder(
    image_shape, latent_dim, widths, num_classes=None, activation="relu"
):
    halved(image_shape, len(widths), "conv")
    images = keras.Input(image_shape, name="images")
    label_inputs, x = image_and_label(images, num_classes)
    for width in widths:
        x = Conv2D(width, 3, 2, "same", activation=activation)(x)
    x = layers.Dense(max(16, 2 * latent_dim), activation=activation)(
        layers.Flatten()(x)
    )
    return network([images, *label_inputs], posterior_layers(x, latent_dim), "encoder")


def build_conv_decoder(
    image_shape, latent_dim, widths, num_classes=None, activation="relu"
):
    height, width = halved(image_shape, len(widths), "conv")
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    x = layers.Dense(height * width * widths[-1], activation=activation)(x)
    x = layers.Reshape((height, width, widths[-1]))(x)
    for width in reversed(widths):
        x = Conv2DTranspose(width, 3, 2, "same", activation=activation)(x)
    outputs = Conv2DTranspose(image_shape[-1], 3, padding="same", dtype="float32")(x)
    return network([latents, *label_inputs], outputs, "decoder")


def posterior_layers(features, latent_dim):
    """The outputs of an encoder: mean and log variance, each `(batch, latent_dim)`.

    Every posterior starts with a standard deviation of exp(-1). From Keras's own
    initial weights the noise hides the latents at first, and some die: of the two of
    the convolutional VAE on MNIST, one did in three seeds of four.
    """
    mean = layers.Dense(latent_dim, name="mean", dtype="float32")
    log_var = layers.Dense(
        latent_dim,
        name="log_var",
        dtype="float32",
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(-2.0),
    )
    return [mean(features), log_var(features)]


ARCHITECTURES = {
    "conv": (build_conv_encoder, build_conv_decoder, (32, 64)),
    "mlp": (build_mlp_encoder, build_mlp_decoder, (400,)),
}


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
        likelihood: of pixels: `"bernoulli"`, `"gaussian"` or `"laplace"`.
        beta: weight of the KL divergence (beta-VAE, Higgins et al. 2017).
        kl: `"analytic"` in closed form, or `"sampled"` from the same latents as the
            reconstruction.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to `(400,)` for `"mlp"`, `(32, 64)` for `"conv"`.
        likelihood_scale: standard deviation of `"gaussian"` or scale of `"laplace"`, in
            units of the pixel range [0, 1]. Defaults to 1.
        activation: of the hidden layers, a name that Keras knows.
        binarize: whether a pixel is drawn as 0 or 1 with its grey level as the
            probability, anew in each step (Salakhutdinov and Murray 2008). It makes
            the Bernoulli likelihood a proper one, to be compared with published ones.
        num_classes: number of labels to condition encoder and decoder on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            `[mean, log_var]`, each `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to
            `(batch, *image_shape)`: logits for `"bernoulli"`, means for the others.

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
        kl="analytic",
        widths=None,
        likelihood_scale=None,
        activation="relu",
        binarize=False,
        num_classes=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        build_encoder, build_decoder, default_widths = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.widths = check_widths(default_widths if widths is None else widths)
        self.likelihood = likelihood
        self.likelihood_scale = likelihood_scale
        self.pixels = losses.likelihood(likelihood, likelihood_scale)
        self.beta = beta
        self.kl = checks.one_of("kl", kl, ("analytic", "sampled"))
        self.activation = activation
        self.binarize = bool(binarize)
        if self.binarize and likelihood != "bernoulli":
            raise ValueError(
                "binarize=True makes pixels 0 or 1. Expected likelihood='bernoulli'. "
                f"Received: likelihood={likelihood!r}."
            )

        build_encoder = functools.partial(build_encoder, activation=activation)
        build_decoder = functools.partial(build_decoder, activation=activation)
        code, pixels = (self.latent_dim,), self.image_shape
        self.add_network("encoder", encoder, build_encoder, pixels, [code, code])
        self.add_network("decoder", decoder, build_decoder, code, pixels)
        self.sampling = Sampling(dtype="float32")
        self.watch("loss", "reconstruction", "kl")
        self.built = True

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
        if self.binarize:
            draws = self.noise(ops.shape(images), backend.uniform)
            images = ops.cast(draws < images, "float32")
        mean, log_var = self.posterior(images, labels, training)
        latents = self.sampling(mean, log_var, self.noise(ops.shape(mean)))
        outputs = self.outputs(latents, labels, training)

        reconstruction = ops.mean(self.pixels.negative_log_likelihood(images, outputs))
        kl = ops.mean(self.divergence(latents, mean, log_var))
        loss = reconstruction + self.beta * kl
        return loss, {"loss": loss, "reconstruction": reconstruction, "kl": kl}

    def posterior(self, images, labels=None, training=False):
        """Mean and log variance of q(latents | images), each `(batch, latent_dim)`."""
        mean, log_var = self.encoder(self.given(images, labels), training=training)
        return ops.cast(mean, "float32"), ops.cast(log_var, "float32")

    def outputs(self, latents, labels=None, training=False):
        """Parameters of p(images | latents), `(batch, *image_shape)`."""
        outputs = self.decoder(self.given(latents, labels), training=training)
        return ops.cast(outputs, "float32")

    def divergence(self, latents, mean, log_var):
        """KL from posterior to prior in nats `(batch,)`, by formula or by a sample."""
        if self.kl == "analytic":
            return losses.normal_kl(mean, log_var)
        log_q = losses.normal_log_density(latents, mean, log_var)
        return log_q - losses.normal_log_density(latents)

    def log_weights_batch(self, images, noise, labels=None):
        """log p(images | latents) and log p(latents) - log q(latents | images)."""
        samples = ops.shape(noise)[1]
        mean, log_var = (p[:, None] for p in self.posterior(images, labels))
        latents = mean + ops.exp(0.5 * log_var) * noise
        images, labels = (
            None if x is None else ops.repeat(x, samples, axis=0)
            for x in (images, labels)
        )
        outputs = self.outputs(ops.reshape(latents, (-1, self.latent_dim)), labels)
        evidence = -self.pixels.negative_log_likelihood(images, outputs)
        prior = losses.normal_log_density(latents)
        prior = prior - losses.normal_log_density(latents, mean, log_var)
        return ops.stack([ops.reshape(evidence, ops.shape(prior)), prior])

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None):
        return self.posterior(images, labels)[0]

    def generate_batch(self, latents, labels=None):
        return self.pixels.mean(self.outputs(latents, labels))

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture,
            "likelihood": self.likelihood,
            "beta": self.beta,
            "kl": self.kl,
            "widths": self.widths,
            "likelihood_scale": self.likelihood_scale,
            "activation": self.activation,
            "binarize": self.binarize,
        }
