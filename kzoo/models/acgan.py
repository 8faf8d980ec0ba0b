"""Auxiliary classifier GAN: Odena et al., arXiv:1610.09585.

The generator is given a label. The discriminator is not: it has to tell it, beside
telling real from fake, and both networks are trained to have it told right. Differs
from the paper: DCGAN's networks, no dropout, and the non-saturating loss for the
generator.
"""

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.models.gan import GAN
from kzoo.networks.blocks import features, network


def add_class_head(discriminator, num_classes):
    """The discriminator with a second output, class logits `(batch, num_classes)`."""
    classes = layers.Dense(num_classes, dtype="float32", name="classes")
    outputs = [discriminator.output, classes(features(discriminator))]
    return network(discriminator.inputs, outputs, "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class ACGAN(GAN):
    """Auxiliary classifier GAN (arXiv:1610.09585): draws the class that is asked for.

    With L_S the log-likelihood of the right source and L_C that of the right class, the
    discriminator maximises L_S + L_C and the generator L_C - L_S (equations 2 and 3).
    Logs `discriminator_loss`, `generator_loss` and, in nats, the discriminator's
    `real_class_loss` and `fake_class_loss`, whose sum is -L_C.

    Args:
        image_shape: `(height, width, channels)`, with even sides for `"dcgan"`.
        latent_dim: number of latents.
        architecture: of both networks, as in `GAN`.
        num_classes: number of labels.
        discriminator: your own `keras.Model` from images in [0, 1] to `[logit, class
            logits]`, `(batch, 1)` and `(batch, num_classes)`.
        **kwargs: any other argument of `GAN`.

    Raises:
        ValueError: without `num_classes`.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.ACGAN(image_shape=(8, 8, 1), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, epochs=20)
    >>> threes = model.sample(16, labels=3)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=100,
        architecture="dcgan",
        num_classes=None,
        **kwargs,
    ):
        checks.has_classes(type(self).__name__, num_classes)
        super().__init__(
            image_shape, latent_dim, architecture, num_classes=num_classes, **kwargs
        )

    def add_discriminator(self, own):
        """Adds one that sees no label, and has to tell it."""

        def build():
            plain = self.architecture.discriminator(self.image_shape)
            return add_class_head(plain, self.num_classes)

        outputs = [(1,), (self.num_classes,)]
        kinds = [self.loss.kind, "scores"]
        self.add_network(
            "discriminator", own, build, self.image_shape, outputs, kinds=kinds
        )

    def further_logs(self):
        return [*super().further_logs(), "real_class_loss", "fake_class_loss"]

    def judged(self, images, labels, training):
        """The logit `(batch, 1)` and class logits `(batch, num_classes)`, float32."""
        return super().judged(images, None, training)

    def head_loss(self, real, fake, latents, labels):
        """-L_C of equation 3, in nats."""
        parts = {
            f"{kind}_class_loss": class_loss(labels, logits)
            for kind, heads in (("real", real), ("fake", fake))
            for logits in heads
        }
        return sum(parts.values()), parts


def class_loss(labels, logits):
    """-log P(label) in nats, the mean over the batch: a term of -L_C, equation 3."""
    losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    return ops.mean(losses)
