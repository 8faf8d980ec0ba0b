"""Autoencoder: Hinton and Salakhutdinov 2006 (Science 313), without pretraining.

Codes from which a decoder can draw the image again, and nothing that says where codes
lie: fit a sampler to them before drawing (Ghosh et al., arXiv:1903.12436).
"""

import keras
from keras import ops

from kzoo import backend, config
from kzoo.base import AutoencoderModel
from kzoo.networks.autoencoder import ENCODER_DECODERS, EncoderDecoder


@keras.saving.register_keras_serializable("kzoo")
class Autoencoder(AutoencoderModel):
    """Autoencoder (as in arXiv:1903.12436): codes that an image can be drawn from.

    Logs `loss` and its part `reconstruction`, the squared error summed over pixels,
    mean over images. It has no likelihood. Subclasses add what holds the codes in
    place, by `regularization` and `further_logs`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"`, or `"conv"`, which halves the sides once for each width;
            or an object of `kzoo.networks.autoencoder`.
        num_classes: number of labels to condition encoder and decoder on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            codes `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to logits
            of pixels `(batch, *image_shape)`, without a sigmoid.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.Autoencoder(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> again = model.reconstruct(images)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=16,
        architecture="conv",
        num_classes=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, EncoderDecoder, ENCODER_DECODERS
        )
        sizes = self.image_shape, self.latent_dim, self.num_classes
        code, pixels = (self.latent_dim,), self.image_shape
        self.add_network(
            "encoder",
            encoder,
            lambda: self.architecture.code_encoder(*sizes),
            pixels,
            code,
            self.num_classes,
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: self.architecture.decoder(*sizes),
            code,
            pixels,
            self.num_classes,
            "logits",
        )
        self.watch("loss", "reconstruction", *self.further_logs())
        self.built = True

    def further_logs(self):
        """Names of the logs that `regularization` returns."""
        return []

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3)

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.cost, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        return self.report(self.cost(images, labels, training=False)[1], images)

    def cost(self, images, labels=None, training=True):
        codes = self.encode_batch(images, labels, training)
        outputs = self.generate_batch(codes, labels, training)
        error = ops.mean(ops.sum(ops.square(images - outputs), axis=(1, 2, 3)))
        regularization, logs = self.regularization(codes, labels, training)
        loss = error + regularization
        return loss, {"loss": loss, "reconstruction": error, **logs}

    def regularization(self, codes, labels, training):
        """What the loss adds to the reconstruction, a scalar, and its logs."""
        return 0.0, {}

    def encode_batch(self, images, labels=None, training=False):
        codes = self.encoder(self.given(images, labels), training=training)
        return ops.cast(codes, "float32")

    def generate_batch(self, latents, labels=None, training=False):
        outputs = self.decoder(self.given(latents, labels), training=training)
        return ops.sigmoid(ops.cast(outputs, "float32"))
