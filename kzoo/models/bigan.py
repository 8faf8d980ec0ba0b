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

import keras
from keras import ops

from kzoo import backend, config
from kzoo.base import AutoencoderModel
from kzoo.networks.bigan import BIGAN_NETWORKS, BiGANNetworks
from kzoo.parts.losses import NonSaturating


@keras.saving.register_keras_serializable("kzoo")
class BiGAN(AutoencoderModel):
    """Bidirectional GAN (arXiv:1605.09782): a GAN that learns to encode as well.

    Logs in nats `discriminator_loss`, `generator_loss` and `encoder_loss`, which are
    log 4, log 2 and log 2 while the two kinds of pairs cannot be told apart.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: `"mlp"`, or `"dcgan"`, which doubles the sides once for each
            width; or an object of `kzoo.networks.bigan`, such as
            `MLPBiGANNetworks((256, 256))`.
        num_classes: number of labels to condition all three networks on, or None.
        generator: your own `keras.Model` from latents, or `[latents, labels]`, to
            images in [0, 1]: it ends in a sigmoid, say. Where nothing bounds them,
            samples are clipped; one that ends in a tanh is refused.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            codes `(batch, latent_dim)`.
        discriminator: your own `keras.Model` from `[images, latents]`, or `[images,
            latents, labels]`, to one logit, `(batch, 1)`, without a sigmoid.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

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
        num_classes=None,
        generator=None,
        encoder=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, BiGANNetworks, BIGAN_NETWORKS
        )
        self.loss = NonSaturating()
        self.add_networks(generator, encoder, discriminator)
        self.watch("discriminator_loss", "generator_loss", "encoder_loss")
        self.built = True

    def add_networks(self, generator, encoder, discriminator):
        networks, classes = self.architecture, self.num_classes
        code, pixels = (self.latent_dim,), self.image_shape

        def build(method):
            return functools.partial(method, pixels, self.latent_dim, classes)

        self.add_network(
            "generator",
            generator,
            build(networks.generator),
            code,
            pixels,
            classes,
            "images",
        )
        self.add_network(
            "encoder", encoder, build(networks.encoder), pixels, code, classes, "codes"
        )
        self.add_network(
            "discriminator",
            discriminator,
            build(networks.pair_discriminator),
            [pixels, code],
            (1,),
            classes,
            "logits",
        )

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
        loss = self.loss.discriminator(real, fake)
        return loss, {"discriminator_loss": loss}

    def generator_loss(self, images, labels=None, training=True):
        """-log D(G(z), z): its part of section 3.4's objective with labels swapped."""
        fake = self.fake_logits(images, labels, training)
        loss = self.loss.generator(None, fake)
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
        latents = self.latents_like(images)
        fakes = self.generate_batch(latents, labels, training)
        return self.logits(fakes, latents, labels, training)

    def logits(self, images, latents, labels, training):
        """The discriminator's score `(batch, 1)`: large for real images' pairs."""
        pair = [images, latents, *([] if labels is None else [labels])]
        return ops.cast(self.discriminator(pair, training=training), "float32")

    def encode_batch(self, images, labels=None, training=False):
        codes = self.encoder(self.given(images, labels), training=training)
        return ops.cast(codes, "float32")

    def generate_batch(self, latents, labels=None, training=False):
        images = self.generator(self.given(latents, labels), training=training)
        images = ops.cast(images, "float32")
        return images if training else ops.clip(images, 0.0, 1.0)
