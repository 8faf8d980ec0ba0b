"""Adversarial autoencoder: Makhzani et al., arXiv:1511.05644.

An autoencoder whose codes come to be spread like the prior: a discriminator tells codes
from draws of the prior, and the encoder learns to fool it. The encoder is
deterministic, the first of the three kinds in section 2. Differs from the paper: the
prior is N(0, I), not of standard deviation 5, unless another is passed; initial
weights are Keras's; the rates of momentum stay as they are, and that of the
reconstruction is lower, as codes soon left the prior at 0.005. Labels, if there are
any, are given to all three networks: to the decoder as in section 4, to the
discriminator as in section 2.3.
"""

import math

import keras
from keras import layers, ops

from kzoo import backend, config
from kzoo.base import AutoencoderModel
from kzoo.networks.autoencoder import (
    ENCODER_DECODERS,
    EncoderDecoder,
    MLPEncoderDecoder,
)
from kzoo.networks.blocks import check_widths, network, vector_and_label
from kzoo.parts.losses import NonSaturating
from kzoo.parts.priors import Prior, StandardNormal


def build_discriminator(latent_dim, widths, num_classes=None):
    """Codes to a logit, through dense layers."""
    codes = keras.Input((latent_dim,), name="codes")
    label_inputs, x = vector_and_label(codes, num_classes)
    for width in widths:
        x = layers.Dense(width, activation="relu")(x)
    logits = layers.Dense(1, dtype="float32")(x)
    return network([codes, *label_inputs], logits, "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class AAE(AutoencoderModel):
    """Adversarial autoencoder (arXiv:1511.05644): an autoencoder to draw from.

    Logs `autoencoder_loss`, the squared error summed over pixels, mean over images, and
    in nats `discriminator_loss` and `encoder_loss`, which are log 4 and log 2 while
    codes and prior cannot be told apart. It has no likelihood. Only draws of the prior
    are needed, no density: the prior may be a layer of your own, say a swiss roll.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents. A deterministic encoder cannot fill more
            dimensions than the images have: the paper takes 8 for MNIST.
        architecture: of encoder and decoder: `"mlp"`, with the paper's widths `(1000,
            1000)`, or `"conv"`, which halves the sides once for each width; or an
            object of `kzoo.networks.autoencoder`.
        discriminator_widths: layer widths of the discriminator.
        prior: of the codes: `"normal"`, or a `Prior` of `kzoo.parts.priors` without
            weights: nothing here would train them.
        num_classes: number of labels to condition all three networks on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            codes `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to logits
            of pixels `(batch, *image_shape)`, without a sigmoid.
        discriminator: your own `keras.Model` from latents, or `[latents, labels]`, to
            one logit, `(batch, 1)`, without a sigmoid.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.AAE(image_shape=(8, 8, 1), latent_dim=8)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=8,
        architecture="mlp",
        discriminator_widths=(1000, 1000),
        prior="normal",
        num_classes=None,
        encoder=None,
        decoder=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        if architecture == "mlp":
            architecture = MLPEncoderDecoder((1000, 1000))
        self.architecture = config.part(
            "architecture", architecture, EncoderDecoder, ENCODER_DECODERS
        )
        self.discriminator_widths = check_widths(
            discriminator_widths, "discriminator_widths"
        )
        self.loss = NonSaturating()
        self.set_prior(config.part("prior", prior, Prior, {"normal": StandardNormal}))
        check_fixed(self.prior)
        self.add_networks(encoder, decoder, discriminator)
        self.autoencoder = self.chained()
        self.watch("autoencoder_loss", "discriminator_loss", "encoder_loss")
        self.built = True

    def add_networks(self, encoder, decoder, discriminator):
        sizes = self.image_shape, self.latent_dim, self.num_classes
        code, pixels, classes = (self.latent_dim,), self.image_shape, self.num_classes
        build = self.architecture
        self.add_network(
            "encoder",
            encoder,
            lambda: build.code_encoder(*sizes),
            pixels,
            code,
            classes,
            "codes" if type(self.prior) is StandardNormal else None,
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: build.decoder(*sizes),
            code,
            pixels,
            classes,
            "logits",
        )
        self.add_network(
            "discriminator",
            discriminator,
            lambda: build_discriminator(
                self.latent_dim, self.discriminator_widths, classes
            ),
            code,
            (1,),
            classes,
            "logits",
        )

    def chained(self):
        """Encoder and decoder as one network, which the reconstruction phase trains."""
        images, labels = keras.Input(self.image_shape), None
        if self.num_classes:
            labels = keras.Input((), dtype="int32")
        inputs = self.given(images, labels)
        outputs = self.decoder(self.given(self.encoder(inputs), labels))
        return keras.Model(inputs, outputs, name="autoencoder")

    def default_optimizer(self):
        # Of a sum over pixels, so that the rate of their mean is the same at any size.
        rate = 0.8 / math.prod(self.image_shape)
        return {
            "autoencoder": keras.optimizers.SGD(rate, momentum=0.9),
            "discriminator": keras.optimizers.SGD(0.1, momentum=0.1),
            "encoder": keras.optimizers.SGD(0.1, momentum=0.1),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        # Section 2: the reconstruction phase, then the regularisation phase.
        logs = self.minimize(self.autoencoder_loss, images, labels, over="autoencoder")
        logs |= self.minimize(
            self.discriminator_loss, images, labels, over="discriminator"
        )
        logs |= self.minimize(self.encoder_loss, images, labels, over="encoder")
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.autoencoder_loss(images, labels, training=False)
        logs |= self.discriminator_loss(images, labels, training=False)[1]
        logs |= self.encoder_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def autoencoder_loss(self, images, labels=None, training=True):
        outputs = self.reconstruct_batch(images, labels, training)
        loss = ops.mean(ops.sum(ops.square(images - outputs), axis=(1, 2, 3)))
        return loss, {"autoencoder_loss": loss}

    def discriminator_loss(self, images, labels=None, training=True):
        codes = ops.stop_gradient(self.encode_batch(images, labels, training))
        prior = self.latents_like(codes, labels)
        real = self.logits(prior, labels, training)
        fake = self.logits(codes, labels, training)
        loss = self.loss.discriminator(real, fake)
        return loss, {"discriminator_loss": loss}

    def encoder_loss(self, images, labels=None, training=True):
        codes = self.encode_batch(images, labels, training)
        loss = self.loss.generator(None, self.logits(codes, labels, training))
        return loss, {"encoder_loss": loss}

    def logits(self, latents, labels, training):
        """The discriminator's score `(batch, 1)`: large for draws of the prior."""
        logits = self.discriminator(self.given(latents, labels), training=training)
        return ops.cast(logits, "float32")

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(self.medium.normalized(images), labels, training)

    def encode_batch(self, images, labels=None, training=False):
        codes = self.encoder(self.given(images, labels), training=training)
        return ops.cast(codes, "float32")

    def generate_batch(self, latents, labels=None):
        outputs = self.decoder(self.given(latents, labels), training=False)
        return ops.sigmoid(ops.cast(outputs, "float32"))

    def reconstruct_batch(self, images, labels=None, training=False):
        outputs = self.autoencoder(self.given(images, labels), training=training)
        return ops.sigmoid(ops.cast(outputs, "float32"))


def check_fixed(prior):
    """Raises a `ValueError` for a prior whose weights no phase would train."""
    if prior.weights:
        raise ValueError(
            "AAE draws from its prior and does not train it. Expected a prior without "
            f"weights. Received: prior={type(prior).__name__}()."
        )
