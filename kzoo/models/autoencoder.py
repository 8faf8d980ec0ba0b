"""Autoencoder: Hinton and Salakhutdinov 2006 (Science 313), without pretraining.

Codes from which a decoder can draw the image again, and nothing that says where codes
lie: fit a sampler to them before drawing (Ghosh et al., arXiv:1903.12436).
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.networks import check_widths
from kzoo.networks.autoencoder import ARCHITECTURES, build_codes
from kzoo.training import GenerativeModel
from kzoo.verbs import AutoencoderVerbs


@keras.saving.register_keras_serializable("kzoo")
class Autoencoder(AutoencoderVerbs, GenerativeModel):
    """Autoencoder (as in arXiv:1903.12436): codes that an image can be drawn from.

    Logs `loss` and its part `reconstruction`, the squared error summed over pixels,
    mean over images. It has no likelihood. Subclasses add what holds the codes in
    place, by `regularization`.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, which halves the sides once for each width.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to `(400,)` for `"mlp"`, `(32, 64)` for `"conv"`.
        activation: of the hidden layers, a name that Keras knows.
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
        widths=None,
        activation="relu",
        num_classes=None,
        encoder=None,
        decoder=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        from_images, build_decoder, default_widths = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.widths = check_widths(default_widths if widths is None else widths)
        self.activation = activation

        code, pixels = (self.latent_dim,), self.image_shape
        from_images = functools.partial(from_images, activation=activation)
        build = functools.partial(build_codes, build=from_images)
        self.add_network("encoder", encoder, build, pixels, code)
        build = functools.partial(build_decoder, activation=activation)
        self.add_network("decoder", decoder, build, code, pixels)
        self.watch("loss", "reconstruction")
        self.built = True

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

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None, training=False):
        codes = self.encoder(self.given(images, labels), training=training)
        return ops.cast(codes, "float32")

    def generate_batch(self, latents, labels=None, training=False):
        outputs = self.decoder(self.given(latents, labels), training=training)
        return ops.sigmoid(ops.cast(outputs, "float32"))

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture,
            "widths": self.widths,
            "activation": self.activation,
        }
