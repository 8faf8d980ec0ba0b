"""VQ-VAE's networks: van den Oord et al., arXiv:1711.00937, section 4.1."""

import keras
from keras import layers

from kzoo.config import Part
from kzoo.layers import Conv2D, Conv2DTranspose
from kzoo.networks.autoencoder import parameters_shape, with_scale
from kzoo.networks.blocks import check_widths, halved, image_and_label, network


class GridNetworks(Part):
    """An encoder to a grid of vectors, and a decoder. Both halve once for each width.

    One of your own is a subclass with their methods.

    Args:
        widths: channels from images to vectors; the decoder mirrors them.
    """

    def __init__(self, widths):
        self.widths = check_widths(widths)

    def grid(self, image_shape):
        """Rows and columns of the vectors; a `ValueError` if images do not divide."""
        return halved(image_shape, len(self.widths), type(self).__name__)

    def encoder(self, image_shape, dim, num_classes=None):
        """Images in [0, 1], or `[images, labels]`, to vectors `(batch, *grid, dim)`."""
        raise NotImplementedError

    def decoder(self, image_shape, dim, num_classes=None, likelihood=None):
        """Vectors, or `[vectors, labels]`, to parameters of the likelihood."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("kzoo")
class ConvGridNetworks(GridNetworks):
    """Strided convolutions of 3x3.

    Args:
        widths: channels from images to vectors; the decoder mirrors them.
    """

    def __init__(self, widths=(32, 64)):
        super().__init__(widths)

    def encoder(self, image_shape, dim, num_classes=None):
        images = keras.Input(image_shape, name="images")
        label_inputs, x = image_and_label(images, num_classes)
        for width in self.widths:
            x = Conv2D(width, 3, 2, "same", activation="relu")(x)
        vectors = Conv2D(dim, 1, dtype="float32")(x)
        return network([images, *label_inputs], vectors, "encoder")

    def decoder(self, image_shape, dim, num_classes=None, likelihood=None):
        *_, channels = parameters_shape(image_shape, likelihood)
        vectors = keras.Input((*self.grid(image_shape), dim), name="vectors")
        label_inputs, x = image_and_label(vectors, num_classes)
        for width in reversed(self.widths):
            x = Conv2DTranspose(width, 3, 2, "same", activation="relu")(x)
        x = Conv2DTranspose(channels, 3, padding="same", dtype="float32")(x)
        outputs = with_scale(x, likelihood)
        return network([vectors, *label_inputs], outputs, "decoder")


@keras.saving.register_keras_serializable("kzoo")
class ResidualGridNetworks(GridNetworks):
    """The paper's: strided convolutions of 4x4, and two residual blocks at the grid.

    Args:
        widths: channels from images to vectors; the decoder mirrors them.
    """

    def __init__(self, widths=(256, 256)):
        super().__init__(widths)

    def encoder(self, image_shape, dim, num_classes=None):
        images = keras.Input(image_shape, name="images")
        label_inputs, x = image_and_label(images, num_classes)
        for width in self.widths:
            x = Conv2D(width, 4, 2, "same", activation="relu")(x)
        x = residual_blocks(x)
        vectors = Conv2D(dim, 1, dtype="float32")(x)
        return network([images, *label_inputs], vectors, "encoder")

    def decoder(self, image_shape, dim, num_classes=None, likelihood=None):
        *_, channels = parameters_shape(image_shape, likelihood)
        vectors = keras.Input((*self.grid(image_shape), dim), name="vectors")
        label_inputs, x = image_and_label(vectors, num_classes)
        x = residual_blocks(Conv2D(self.widths[-1], 3, padding="same")(x))
        for width in reversed(self.widths[:-1]):
            x = Conv2DTranspose(width, 4, 2, "same", activation="relu")(x)
        x = Conv2DTranspose(channels, 4, 2, "same", dtype="float32")(x)
        outputs = with_scale(x, likelihood)
        return network([vectors, *label_inputs], outputs, "decoder")


def own_grid(encoder):
    """Rows and columns of what the user's encoder puts out, or None."""
    shape = getattr(encoder, "output_shape", ())
    return tuple(shape[1:3]) if len(shape) == 4 else None


def residual_blocks(x, blocks=2):
    """ReLU, 3x3 convolution, ReLU, 1x1 convolution, added to the input; then ReLU."""
    width = x.shape[-1]
    for _ in range(blocks):
        new = Conv2D(width, 3, padding="same", activation="relu")(layers.ReLU()(x))
        x = x + Conv2D(width, 1)(new)
    return layers.ReLU()(x)


GRID_NETWORKS = {"conv": ConvGridNetworks, "residual": ResidualGridNetworks}
