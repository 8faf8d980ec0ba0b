"""BigGAN: Brock et al., arXiv:1809.11096, at a size that one machine trains.

Class and latents reach every block: the latents are cut in chunks, one for the stem and
one for each block, whose batch normalisations get gains and biases from the chunk and
from one embedding of the label that they share. Differs from the paper: batches and
widths of your choice, and the residual discriminator of `SNGAN`.
"""

import functools

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import BatchNormalization, Conv2D
from kzoo.models.gan import GAN
from kzoo.models.sagan import attention_height
from kzoo.networks import attended, check_widths, halved, network, normalized
from kzoo.networks.resnet import resnet_widths, up_block


def build_biggan_generator(
    image_shape, latent_dim, widths, num_classes, embedding_dim, attention
):
    """Latents and labels to images in [0, 1]: stem, then a doubling for each width.

    Brock et al., arXiv:1809.11096, appendix B: figure 15 and table 4.
    """
    height, width = halved(image_shape, len(widths) - 1, "resnet")
    latents = keras.Input((latent_dim,), name="latents")
    labels = keras.Input((), dtype="int32", name="labels")
    one_hot = ops.one_hot(labels, num_classes)
    embedded = layers.Dense(embedding_dim, use_bias=False, name="embedding")(one_hot)
    first, *chunks = ops.split(latents, len(widths), axis=-1)

    x = spectral(layers.Dense(height * width * widths[0]))(first)
    x = layers.Reshape((height, width, widths[0]))(x)
    for width, chunk in zip(widths[1:], chunks, strict=True):
        condition = layers.Concatenate()([chunk, embedded])
        normalize = functools.partial(conditional_batch_norm, condition=condition)
        x = attended(x, attention, "spectral")
        x = up_block(x, width, normalize, "spectral")
    x = layers.ReLU()(BatchNormalization(momentum=0.9)(x))
    x = spectral(Conv2D(image_shape[-1], 3, padding="same", dtype="float32"))(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
    return network([latents, labels], images, "generator")


def conditional_batch_norm(x, condition):
    """Batch normalisation whose gain, 1 + ..., and bias are linear in `condition`."""
    x = BatchNormalization(momentum=0.9, center=False, scale=False)(x)
    channels = x.shape[-1]
    gain, bias = (
        spectral(layers.Dense(channels, use_bias=False))(condition) for _ in range(2)
    )
    gain, bias = (layers.Reshape((1, 1, channels))(y) for y in (gain, bias))
    return x * (1 + gain) + bias


def spectral(layer):
    return normalized(layer, "spectral")


@keras.saving.register_keras_serializable("kzoo")
class BigGAN(GAN):
    """BigGAN (arXiv:1809.11096): class-conditional, with variety traded for fidelity.

    Logs `discriminator_loss`, `generator_loss` and `orthogonality`, how far from
    orthogonal the generator's kernels are (see `off_diagonal`). All kernels are
    orthogonal at first. `sample(n, truncation=0.5)` draws clearer and less varied
    images (the truncation trick, section 3.1).

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents, a multiple of the number of widths. None means 20
            for each width, as in the paper.
        widths: channels of the stem and of each resolution after it. Defaults to
            `resnet_widths`, the paper's with ch = 64 for 128 pixels.
        embedding_dim: size of the embedding of a label.
        orthogonal_weight: what `orthogonality` is multiplied by and added to the
            generator's loss; it makes the generator fit for truncated latents.
        loss, discriminator_steps, normalization: as in `GAN`.
        attention: height of the maps with self-attention, as in `SAGAN`.
        ema: decay of the average of the generator's weights that makes the samples. The
            paper's 0.9999 is for a million steps.
        num_classes: number of labels.
        **kwargs: any other argument of `GAN` but `architecture` and `conditioning`.

    Raises:
        ValueError: without `num_classes`, or if `latent_dim` cannot be cut in chunks.

    Example:

    >>> images, labels = kzoo.data.load("digits")
    >>> model = kzoo.models.BigGAN((8, 8, 1), widths=(64, 64), num_classes=10)
    >>> model.compile()
    >>> model.fit(images, labels, batch_size=64, epochs=20)
    >>> clear = model.sample(16, labels=3, truncation=0.5)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=None,
        widths=None,
        embedding_dim=128,
        orthogonal_weight=1e-4,
        loss="hinge",
        discriminator_steps=2,
        normalization="spectral",
        attention=None,
        ema=0.999,
        num_classes=None,
        **kwargs,
    ):
        checks.has_classes(type(self).__name__, num_classes)
        widths = resnet_widths(image_shape) if widths is None else check_widths(widths)
        self.embedding_dim = checks.positive_int("embedding_dim", embedding_dim)
        super().__init__(
            image_shape,
            check_chunks(latent_dim or 20 * len(widths), widths),
            "resnet",
            loss,
            discriminator_steps=discriminator_steps,
            normalization=normalization,
            attention=attention or attention_height(image_shape),
            ema=ema,
            widths=widths,
            num_classes=num_classes,
            conditioning="projection",
            **kwargs,
        )
        self.orthogonal_weight = orthogonal_weight
        self.watch(*self.means, "orthogonality")

    def add_network(self, name, own, build, inputs, outputs):
        if name == "generator":
            build = functools.partial(
                build_biggan_generator,
                embedding_dim=self.embedding_dim,
                attention=self.attention,
            )
        super().add_network(name, own, build, inputs, outputs)
        if own is None:
            for kernel in kernels(getattr(self, name)):
                kernel.assign(keras.initializers.Orthogonal()(kernel.shape))

    def default_optimizer(self):
        return {
            "discriminator": keras.optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.999),
            "generator": keras.optimizers.Adam(5e-5, beta_1=0.0, beta_2=0.999),
        }

    def generator_loss(self, images, labels=None, training=True):
        loss, logs = super().generator_loss(images, labels, training)
        penalty = sum(map(off_diagonal, kernels(self.generator)), ops.zeros(()))
        loss = loss + self.orthogonal_weight * penalty
        return loss, {**logs, "orthogonality": penalty}

    def get_config(self):
        config = super().get_config()
        del config["architecture"], config["conditioning"]
        return {
            **config,
            "embedding_dim": self.embedding_dim,
            "orthogonal_weight": self.orthogonal_weight,
        }


def kernels(network):
    """Its trainable weights that are matrices, the last axis that of the outputs."""
    return [v for v in network.trainable_variables if len(v.shape) > 1]


def off_diagonal(kernel):
    """Orthogonal regularisation, section 3.1, equation 3, without its factor.

    The sum of the squared inner products of different filters, which may have any
    length: a scalar for a kernel of shape `(..., filters)`.
    """
    filters = ops.reshape(kernel, (-1, kernel.shape[-1]))
    products = ops.matmul(ops.transpose(filters), filters)
    return ops.sum(ops.square(products * (1 - ops.eye(products.shape[0]))))


def check_chunks(latent_dim, widths):
    """Raises a `ValueError` unless there are as many latents for each width."""
    if checks.positive_int("latent_dim", latent_dim) % len(widths):
        raise ValueError(
            f"Expected latent_dim to be a multiple of {len(widths)}, as each of widths="
            f"{tuple(widths)} gets a chunk. Received: latent_dim={latent_dim}."
        )
    return latent_dim
