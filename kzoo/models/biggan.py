"""BigGAN: Brock et al., arXiv:1809.11096, at a size that one machine trains.

Class and latents reach every block of the generator (`kzoo.networks.biggan`). Differs
from the paper: batches and widths of your choice, and the residual discriminator of
`SNGAN`.
"""

import keras
from keras import ops

from kzoo import checks, config
from kzoo.models.gan import GAN
from kzoo.networks.architectures import GAN_NETWORKS
from kzoo.networks.biggan import BigGANNetworks, regularized
from kzoo.networks.blocks import GANNetworks


@keras.saving.register_keras_serializable("kzoo")
class BigGAN(GAN):
    """BigGAN (arXiv:1809.11096): class-conditional, with variety traded for fidelity.

    Logs `discriminator_loss`, `generator_loss` and `orthogonality`, how far from
    orthogonal the generator's kernels are (see `off_diagonal`), but for the embedding
    of the labels. All kernels are orthogonal at first. `sample(n, truncation=0.5)`
    draws clearer and less varied images (the truncation trick, section 3.1).

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents, a multiple of the number of widths. None means 20
            for each width, as in the paper.
        architecture: of both networks. None means `BigGANNetworks(attention="auto")`.
        orthogonal_weight: what `orthogonality` is multiplied by and added to the
            generator's loss; it makes the generator fit for truncated latents.
        loss, discriminator_steps: as in `GAN`.
        ema: decay of the average of the generator's weights that makes the samples. The
            paper's 0.9999 is for a million steps.
        num_classes: number of labels.
        **kwargs: any other argument of `GAN`.

    Raises:
        ValueError: without `num_classes`, or if `latent_dim` cannot be cut in chunks.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> networks = kzoo.networks.BigGANNetworks((64, 64))
    >>> model = kzoo.models.BigGAN((8, 8, 1), architecture=networks, num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> clear = model.sample(16, labels=3, truncation=0.5)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=None,
        architecture=None,
        orthogonal_weight=1e-4,
        loss="hinge",
        discriminator_steps=2,
        ema=0.999,
        num_classes=None,
        **kwargs,
    ):
        checks.has_classes("BigGAN", num_classes)
        if architecture is None:
            architecture = BigGANNetworks(attention="auto")
        architecture = config.part(
            "architecture", architecture, GANNetworks, GAN_NETWORKS
        )
        if latent_dim is None:
            latent_dim = 20 * len(architecture.widths_for(image_shape))
        super().__init__(
            image_shape,
            latent_dim,
            architecture,
            loss,
            discriminator_steps,
            ema=ema,
            num_classes=num_classes,
            **kwargs,
        )
        self.orthogonal_weight = checks.number(
            "orthogonal_weight", orthogonal_weight, least=0
        )

    def further_logs(self):
        return [*super().further_logs(), "orthogonality"]

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.999),
            "generator": keras.optimizers.Adam(5e-5, beta_1=0.0, beta_2=0.999),
        }

    def generator_loss(self, images, labels=None, training=True):
        loss, logs = super().generator_loss(images, labels, training)
        penalty = sum(map(off_diagonal, regularized(self.generator)), ops.zeros(()))
        loss = loss + self.orthogonal_weight * penalty
        return loss, {**logs, "orthogonality": penalty}


def off_diagonal(kernel):
    """Orthogonal regularisation, section 3.1, equation 3, without its factor.

    The sum of the squared inner products of different filters, which may have any
    length: a scalar for a kernel of shape `(..., filters)`.
    """
    filters = ops.reshape(kernel, (-1, kernel.shape[-1]))
    products = ops.matmul(ops.transpose(filters), filters)
    return ops.sum(ops.square(products * (1 - ops.eye(products.shape[0]))))
