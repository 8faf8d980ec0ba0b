"""Bidirectional GAN: Donahue et al., arXiv:1605.09782.

A GAN with an encoder: the discriminator sees pairs, of an image and its code or of
latents and the image drawn from them, and where it cannot tell them apart the encoder
inverts the generator (section 3.2). No loss compares images by their pixels, so that
reconstructions keep what an image shows rather than where its strokes are. Differs from
the paper: normal latents instead of uniform ones, a learning rate that stays, and no
weight decay. The networks of `"mlp"` are those of its MNIST experiments, those of
`"dcgan"` are DCGAN's.
"""

import functools
import math

import keras
from keras import layers, ops

from kzoo import backend, checks, losses
from kzoo.layers import BatchNormalization
from kzoo.networks import check_widths, features, network, vector_and_label
from kzoo.networks.dcgan import (
    build_dcgan_discriminator,
    build_dcgan_generator,
    dcgan_init,
    dcgan_widths,
)
from kzoo.training import GenerativeModel
from kzoo.verbs import AutoencoderVerbs


def dense_layers(x, widths, slope):
    """Dense layers, the last one batch-normalised without a gain and a bias.

    `slope` is that of their leaky ReLU below 0.
    """
    for width in widths[:-1]:
        x = layers.LeakyReLU(slope)(layers.Dense(width, **dcgan_init())(x))
    x = layers.Dense(widths[-1], **dcgan_init())(x)
    normalization = BatchNormalization(
        momentum=0.9, epsilon=1e-5, center=False, scale=False
    )
    return layers.LeakyReLU(slope)(normalization(x))


def build_mlp_generator(image_shape, latent_dim, widths, num_classes=None):
    latents = keras.Input((latent_dim,), name="latents")
    label_inputs, x = vector_and_label(latents, num_classes)
    x = dense_layers(x, widths, 0.0)
    last = layers.Dense(math.prod(image_shape), "sigmoid", dtype="float32")
    images = layers.Reshape(image_shape, dtype="float32")(last(x))
    return network([latents, *label_inputs], images, "generator")


def build_mlp_encoder(image_shape, latent_dim, widths, num_classes=None):
    images = keras.Input(image_shape, name="images")
    x = layers.Flatten()(layers.Rescaling(2.0, -1.0)(images))
    label_inputs, x = vector_and_label(x, num_classes)
    x = dense_layers(x, widths[::-1], 0.2)
    codes = layers.Dense(latent_dim, dtype="float32", **dcgan_init())(x)
    return network([images, *label_inputs], codes, "encoder")


def build_mlp_discriminator(image_shape, latent_dim, widths, num_classes=None):
    images = keras.Input(image_shape, name="images")
    latents = keras.Input((latent_dim,), name="latents")
    x = layers.Flatten()(layers.Rescaling(2.0, -1.0)(images))
    label_inputs, x = vector_and_label(layers.Concatenate()([x, latents]), num_classes)
    x = dense_layers(x, widths[::-1], 0.2)
    logits = layers.Dense(1, dtype="float32", **dcgan_init())(x)
    return network([images, latents, *label_inputs], logits, "discriminator")


def build_dcgan_encoder(image_shape, latent_dim, widths, num_classes=None):
    """DCGAN's discriminator, which ends as the paper's encoder does.

    Its thousands of features need the normalised layer after them: from themselves, the
    codes' means move by 0.3 in a step, and stayed away from the latents' on MNIST.
    """
    plain = build_dcgan_discriminator(image_shape, latent_dim, widths, num_classes)
    x = dense_layers(features(plain), [4 * max(widths)], 0.2)
    codes = layers.Dense(latent_dim, dtype="float32", **dcgan_init())(x)
    return network(plain.inputs, codes, "encoder")


def build_dcgan_discriminator_of_pairs(
    image_shape, latent_dim, widths, num_classes=None
):
    """DCGAN's, whose features meet the latents in a layer four times its widest."""
    plain = build_dcgan_discriminator(image_shape, latent_dim, widths, num_classes)
    images, *label_inputs = plain.inputs
    latents = keras.Input((latent_dim,), name="latents")
    x = layers.Concatenate()([features(plain), latents])
    x = dense_layers(x, [4 * max(widths)], 0.2)
    logits = layers.Dense(1, dtype="float32", **dcgan_init())(x)
    return network([images, latents, *label_inputs], logits, "discriminator")


ARCHITECTURES = {
    "dcgan": (
        build_dcgan_generator,
        build_dcgan_encoder,
        build_dcgan_discriminator_of_pairs,
        dcgan_widths,
    ),
    "mlp": (
        build_mlp_generator,
        build_mlp_encoder,
        build_mlp_discriminator,
        lambda _: (1024, 1024),
    ),
}


@keras.saving.register_keras_serializable("kzoo")
class BiGAN(AutoencoderVerbs, GenerativeModel):
    """Bidirectional GAN (arXiv:1605.09782): a GAN that learns to encode as well.

    Logs in nats `discriminator_loss`, `generator_loss` and `encoder_loss`, which are
    log 4, log 2 and log 2 while the two kinds of pairs cannot be told apart.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: `"mlp"`, or `"dcgan"`, which doubles the sides once for each
            width.
        widths: layer widths from latents to images; encoder and discriminator mirror
            them. Defaults to the paper's `(1024, 1024)` for `"mlp"`, and to
            `dcgan_widths`, `(256, 128)` for 28 pixels.
        num_classes: number of labels to condition all three networks on, or None.
        generator: your own `keras.Model` from latents, or `[latents, labels]`, to
            images in [0, 1]: it ends in a sigmoid, say.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            codes `(batch, latent_dim)`.
        discriminator: your own `keras.Model` from `[images, latents]`, or `[images,
            latents, labels]`, to one logit, `(batch, 1)`, without a sigmoid.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.BiGAN(image_shape=(8, 8, 1), latent_dim=16)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.encode(images[:16]).shape
    (16, 16)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=50,
        architecture="mlp",
        widths=None,
        num_classes=None,
        generator=None,
        encoder=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        *builders, default = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.widths = check_widths(
            default(self.image_shape) if widths is None else widths
        )
        self.game = losses.NonSaturating()

        code, pixels = (self.latent_dim,), self.image_shape
        self.add_network("generator", generator, builders[0], code, pixels)
        self.add_network("encoder", encoder, builders[1], pixels, code)
        pair = [pixels, code]
        self.add_network("discriminator", discriminator, builders[2], pair, (1,))
        self.watch("discriminator_loss", "generator_loss", "encoder_loss")
        self.built = True

    def default_optimizer(self):
        adam = functools.partial(keras.optimizers.Adam, 2e-4, beta_1=0.5)
        return {"discriminator": adam(), "generator": adam(), "encoder": adam()}

    @backend.portable_step
    def train_step(self, images, labels=None):
        # Section 3.4: generator and encoder at the same discriminator.
        logs = self.minimize(
            self.discriminator_loss, images, labels, over="discriminator"
        )
        logs |= self.minimize(self.generator_loss, images, labels, over="generator")
        logs |= self.minimize(self.encoder_loss, images, labels, over="encoder")
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.discriminator_loss(images, labels, training=False)
        logs |= self.generator_loss(images, labels, training=False)[1]
        logs |= self.encoder_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def discriminator_loss(self, images, labels=None, training=True):
        real = self.real_logits(images, labels, training)
        fake = self.fake_logits(images, labels, training)
        loss = self.game.discriminator(real, fake)
        return loss, {"discriminator_loss": loss}

    def generator_loss(self, images, labels=None, training=True):
        """-log D(G(z), z): its part of section 3.4's objective with labels swapped."""
        fake = self.fake_logits(images, labels, training)
        loss = self.game.generator(None, fake)
        return loss, {"generator_loss": loss}

    def encoder_loss(self, images, labels=None, training=True):
        """-log(1 - D(x, E(x))): its part of the same objective."""
        loss = ops.mean(ops.softplus(self.real_logits(images, labels, training)))
        return loss, {"encoder_loss": loss}

    def real_logits(self, images, labels, training):
        """The score of images with their codes."""
        codes = self.encode_batch(images, labels, training)
        return self.logits(images, codes, labels, training)

    def fake_logits(self, images, labels, training):
        """The score of as many draws of the prior with the images made of them."""
        latents = self.prior(self.noise((ops.shape(images)[0], self.latent_dim)))
        fakes = self.generate_batch(latents, labels, training)
        return self.logits(fakes, latents, labels, training)

    def logits(self, images, latents, labels, training):
        """The discriminator's score `(batch, 1)`: large for real images' pairs."""
        pair = [images, latents, *([] if labels is None else [labels])]
        return ops.cast(self.discriminator(pair, training=training), "float32")

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None, training=False):
        codes = self.encoder(self.given(images, labels), training=training)
        return ops.cast(codes, "float32")

    def generate_batch(self, latents, labels=None, training=False):
        images = self.generator(self.given(latents, labels), training=training)
        return ops.cast(images, "float32")

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture,
            "widths": self.widths,
        }
