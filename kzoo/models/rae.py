"""Regularised autoencoder: Ghosh et al., arXiv:1903.12436.

A VAE's noise only smooths the decoder, so smooth it without noise: codes
are kept small, and the decoder by weight decay (RAE-L2) or by a penalty on its slope at
the codes (RAE-GP). Where the codes lie is then learned by a sampler: `fit_sampler`.
Differs from the paper: the networks are kzoo's, and one optimizer trains both; spectral
normalisation, its third way, is left to your own decoder.
"""

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.models.autoencoder import Autoencoder

PENALTIES = ("gradient", "l2")


@keras.saving.register_keras_serializable("kzoo")
class RAE(Autoencoder):
    """Regularised autoencoder (arXiv:1903.12436): a smooth decoder without noise.

    Logs `loss` and `reconstruction` as `Autoencoder` does, `embedding`, half of the
    squared length of the codes, and `penalty`, both before their weights. Until
    `fit_sampler` has been called, `sample` draws codes from N(0, I), where none may be.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents. The paper takes 16 for MNIST.
        architecture: `"mlp"` or `"conv"`, as in `Autoencoder`.
        penalty: `"l2"`, the decoder's squared weights; or `"gradient"`, the squared
            slopes of all its pixels with respect to the codes, estimated along a random
            direction of the images.
        beta: weight of the codes' length, beside errors that are sums over pixels.
        penalty_weight: weight of the penalty.
        **kwargs: any other argument of `Autoencoder`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.RAE(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.fit_sampler("mixture", images)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=16,
        architecture="conv",
        penalty="l2",
        beta=0.05,
        penalty_weight=1e-3,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, architecture, **kwargs)
        self.penalty = checks.one_of("penalty", penalty, PENALTIES)
        self.beta = checks.number("beta", beta, least=0)
        self.penalty_weight = checks.number("penalty_weight", penalty_weight, least=0)

    def further_logs(self):
        return ["embedding", "penalty"]

    def regularization(self, codes, labels, training):
        embedding = 0.5 * ops.mean(ops.sum(ops.square(codes), axis=-1))
        penalty = self.squared_weights()
        if self.penalty == "gradient":
            penalty = self.squared_slope(codes, labels, training)
        loss = self.beta * embedding + self.penalty_weight * penalty
        return loss, {"embedding": embedding, "penalty": penalty}

    def squared_weights(self):
        weights = self.decoder.trainable_variables
        return sum(ops.sum(ops.square(ops.convert_to_tensor(w))) for w in weights)

    def squared_slope(self, codes, labels, training):
        """The mean over directions is the squared norm of the Jacobian: Hutchinson."""
        direction = self.noise((ops.shape(codes)[0], *self.image_shape))

        def along(latents):
            images = self.generate_batch(latents, labels, training)
            return ops.sum(images * direction, axis=(1, 2, 3))

        slope = backend.input_gradient(along, codes)
        return ops.mean(ops.sum(ops.square(slope), axis=-1))
