"""BigGAN's networks: Brock et al., arXiv:1809.11096, appendix B, figure 15, table 4.

Class and latents reach every block of the generator: the latents are cut in chunks, one
for the stem and one for each block, whose batch normalisations get gains and biases
from the chunk and from one embedding of the label that they share.
"""

import functools

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import BatchNormalization, Conv2D
from kzoo.networks.blocks import (
    attended,
    attention_height,
    check_attention,
    halved,
    network,
    normalized,
    the_label,
)
from kzoo.networks.resnet import ResNetNetworks, up_block


@keras.saving.register_keras_serializable("kzoo")
class BigGANNetworks(ResNetNetworks):
    """A generator that takes latents in chunks, and SNGAN's residual discriminator.

    All kernels are orthogonal at first, and those of the generator under spectral
    normalisation.

    Args:
        widths: channels of the stem and of each resolution after it. None means
            `resnet_widths`, the paper's with ch = 64 for 128 pixels.
        attention: as in `ResNetNetworks`.
        embedding_dim: size of the embedding of a label.
        normalization: of the discriminator, as in `ResNetNetworks`.
    """

    def __init__(
        self, widths=None, attention=None, embedding_dim=128, normalization="spectral"
    ):
        super().__init__(widths, normalization, "projection", attention)
        self.embedding_dim = checks.positive_int("embedding_dim", embedding_dim)

    def generator(self, image_shape, latent_dim, num_classes=None):
        widths = self.widths_for(image_shape)
        attention = attention_height(self.attention, image_shape)
        check_chunks(latent_dim, widths)
        height, width = halved(image_shape, len(widths) - 1, "resnet")
        latents = keras.Input((latent_dim,), name="latents")
        labels = the_label(num_classes, "BigGANNetworks")
        one_hot = ops.one_hot(labels, num_classes)
        embedded = layers.Dense(self.embedding_dim, use_bias=False, name="embedding")(
            one_hot
        )
        first, *chunks = ops.split(latents, len(widths), axis=-1)

        x = spectral(layers.Dense(height * width * widths[0]))(first)
        x = layers.Reshape((height, width, widths[0]))(x)
        for width, chunk in zip(widths[1:], chunks, strict=True):
            condition = layers.Concatenate()([chunk, embedded])
            normalize = functools.partial(conditional_batch_norm, condition=condition)
            x = attended(x, attention, "spectral")
            x = up_block(x, width, normalize, "spectral")
        x = layers.ReLU()(batch_norm()(x))
        x = spectral(Conv2D(image_shape[-1], 3, padding="same", dtype="float32"))(x)
        x = layers.Activation("tanh", dtype="float32")(x)
        images = layers.Rescaling(0.5, 0.5, dtype="float32")(x)
        generator = network([latents, labels], images, "generator")
        return orthogonal(check_attention(attention, generator))

    def discriminator(self, image_shape, num_classes=None):
        return orthogonal(super().discriminator(image_shape, num_classes))


def orthogonal(network):
    """The network, its kernels drawn anew as orthogonal matrices."""
    for kernel in kernels(network):
        kernel.assign(keras.initializers.Orthogonal()(kernel.shape))
    return network


def kernels(network):
    """Its trainable weights that are matrices, the last axis that of the outputs."""
    return [v for v in network.trainable_variables if len(v.shape) > 1]


def conditional_batch_norm(x, condition):
    """Batch normalisation whose gain, 1 + ..., and bias are linear in `condition`."""
    x = batch_norm(center=False, scale=False)(x)
    channels = x.shape[-1]
    gain, bias = (
        spectral(layers.Dense(channels, use_bias=False))(condition) for _ in range(2)
    )
    gain, bias = (layers.Reshape((1, 1, channels))(y) for y in (gain, bias))
    return x * (1 + gain) + bias


def batch_norm(**settings):
    """With the epsilon of the authors' code (ajbrock/BigGAN-PyTorch)."""
    return BatchNormalization(momentum=0.9, epsilon=1e-5, **settings)


def regularized(generator):
    """The kernels that orthogonal regularisation is of.

    All but the shared embedding of the labels, as in the authors' code.
    """
    embeddings = [x for x in generator.layers if x.name == "embedding"]
    left_out = {id(v) for layer in embeddings for v in layer.trainable_variables}
    return [v for v in kernels(generator) if id(v) not in left_out]


def spectral(layer):
    return normalized(layer, "spectral")


def check_chunks(latent_dim, widths):
    """Raises a `ValueError` unless there are as many latents for each width."""
    if checks.positive_int("latent_dim", latent_dim) % len(widths):
        raise ValueError(
            f"Expected latent_dim to be a multiple of {len(widths)}, as each of widths="
            f"{tuple(widths)} gets a chunk. Received: latent_dim={latent_dim}."
        )
    return latent_dim
