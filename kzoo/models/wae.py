"""Wasserstein autoencoder: Tolstikhin et al., arXiv:1711.01558.

An autoencoder whose codes, all together, are held to the prior by maximum mean
discrepancy (algorithm 2, WAE-MMD): no image's codes have to hide where the others are,
so reconstructions stay sharp. The encoder is deterministic. Differs from the paper: the
networks are kzoo's, without batch normalisation, and the learning rate stays. WAE-GAN,
its algorithm 1, is the model `AAE`.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks, losses
from kzoo.networks import check_widths
from kzoo.networks.autoencoder import ARCHITECTURES, build_codes
from kzoo.training import GenerativeModel
from kzoo.verbs import AutoencoderVerbs


@keras.saving.register_keras_serializable("kzoo")
class WAE(AutoencoderVerbs, GenerativeModel):
    """Wasserstein autoencoder (arXiv:1711.01558): sharp, and yet to draw from.

    Logs `loss`, `reconstruction`, the squared error summed over pixels, mean over
    images, and `mmd`, the squared discrepancy of codes and prior, about 0 where they
    are spread alike. It has no likelihood.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents. The paper takes 8 for MNIST.
        architecture: `"mlp"` or `"conv"`, which halves the sides once for each width.
        scale: the paper's lambda: how much the discrepancy weighs, 10 for MNIST.
        kernel: `"imq"`, the paper's, or `"rbf"`; see `kzoo.losses`.
        widths: layer widths from image to latents; the decoder mirrors them. Defaults
            to `(400,)` for `"mlp"`, `(32, 64)` for `"conv"`.
        num_classes: number of labels to condition encoder and decoder on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            codes `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to logits
            of pixels `(batch, *image_shape)`, without a sigmoid.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.WAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=8,
        architecture="conv",
        scale=10.0,
        kernel="imq",
        widths=None,
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
        self.scale = scale
        self.kernel = checks.one_of("kernel", kernel, losses.KERNELS)

        code, pixels = (self.latent_dim,), self.image_shape
        build = functools.partial(build_codes, build=from_images)
        self.add_network("encoder", encoder, build, pixels, code)
        self.add_network("decoder", decoder, build_decoder, code, pixels)
        self.watch("loss", "reconstruction", "mmd")
        self.built = True

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3, beta_1=0.5)

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
        prior = self.prior(self.noise(ops.shape(codes)))
        kernel = losses.KERNELS[self.kernel]
        mmd = losses.maximum_mean_discrepancy(codes, prior, kernel)
        loss = error + self.scale * mmd
        return loss, {"loss": loss, "reconstruction": error, "mmd": mmd}

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
            "scale": self.scale,
            "kernel": self.kernel,
            "widths": self.widths,
        }
