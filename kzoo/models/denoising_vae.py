"""Denoising VAE: Im et al., arXiv:1511.06406.

The encoder sees a corrupted image, the decoder has to explain the clean one: a
posterior that is a mixture over corruptions, and an encoder that does not mind noise.
Training corrupts; `encode`, `reconstruct` and the likelihoods do not.
"""

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.models.vae import VAE

CORRUPTIONS = ("gaussian", "masking", "salt_and_pepper")


@keras.saving.register_keras_serializable("kzoo")
class DenoisingVAE(VAE):
    """Denoising VAE (arXiv:1511.06406): an encoder that does not mind noise.

    Logs `loss`, `reconstruction` and `kl` as `VAE` does; in training, of corrupted
    images. `reconstruct` cleans what it is given.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"` or `"conv"`, as in `VAE`.
        likelihood: of pixels, as in `VAE`.
        corruption: `"gaussian"`, noise added to each number of a pixel;
            `"salt_and_pepper"`, some are set to 0 or 1; `"masking"`, to 0.
        level: standard deviation of the noise, in units of the pixel range [0, 1], or
            the share of numbers that are set.
        **kwargs: any other argument of `VAE`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.DenoisingVAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> clean = model.reconstruct(noisy_images)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=20,
        architecture="mlp",
        likelihood="bernoulli",
        corruption="salt_and_pepper",
        level=0.2,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, architecture, likelihood, **kwargs)
        self.corruption = checks.one_of("corruption", corruption, CORRUPTIONS)
        most = None if corruption == "gaussian" else 1  # a standard deviation, a share
        self.level = checks.number("level", level, least=0, most=most)

    def seen(self, images, training):
        if not training:
            return images
        shape = ops.shape(images)
        if self.corruption == "gaussian":
            return ops.clip(images + self.level * self.noise(shape), 0.0, 1.0)
        draws = self.noise(shape, backend.uniform)
        images = ops.where(draws < self.level, 0.0, images)
        if self.corruption == "masking":
            return images
        return ops.where(draws < self.level / 2, 1.0, images)
