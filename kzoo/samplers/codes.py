"""The density of a VQ-VAE's codes: a PixelCNN, trained once the codes are learned."""

import math

import keras
import numpy as np
from keras import ops

from kzoo import checks
from kzoo.networks.blocks import check_shapes
from kzoo.networks.pixelcnn import PixelCNN
from kzoo.parts.densities import normal_cdf
from kzoo.parts.priors import Prior
from kzoo.samplers.training import Trainer


class CodePrior(Prior):
    """Vectors of codes that a PixelCNN draws, or of uniform ones without it.

    Each normal number draws one code.

    Args:
        quantizer: of the codes, from `kzoo.parts.quantizers`.
        grid: rows and columns of the codes.
        pixelcnn: a `PixelCNN` of codes on this grid, or None.
        num_classes: number of labels that the PixelCNN is given, or None.
    """

    def __init__(self, quantizer, grid, pixelcnn=None, num_classes=None):
        super().__init__()
        if pixelcnn is not None:
            check_pixelcnn(pixelcnn, grid, quantizer.size, num_classes)
            # First True: TensorFlow leaves out an assignment that changes nothing, and
            # a loaded PixelCNN is frozen itself while its layers are not.
            pixelcnn.trainable = True
            pixelcnn.trainable = False
        self.quantizer, self.grid, self.pixelcnn = quantizer, grid, pixelcnn

    def connect(self, latent_dim, model=None):
        self.latent_dim, self.size = latent_dim, math.prod(self.grid)
        self.built = True
        return self

    def call(self, normal, labels=None):
        uniform = normal_cdf(ops.reshape(normal, (-1, *self.grid)))
        if self.pixelcnn is not None:
            codes = self.pixelcnn.draw(uniform, labels)
        else:
            codes = ops.cast(ops.floor(uniform * self.quantizer.size), "int32")
            codes = ops.minimum(codes, self.quantizer.size - 1)
        return ops.reshape(self.quantizer.lookup(codes), (-1, self.latent_dim))

    def truncated(self, normal, limit):
        raise ValueError(
            "VQVAE draws codes, which have no middle to stay near. Expected "
            f"truncation=None. Received: truncation={limit!r}."
        )


def fit_pixelcnn(
    model, data, optimizer=None, batch_size=128, validation_data=None, **kwargs
):
    """Trains `model.pixelcnn` on codes; it is frozen before and after.

    Args:
        model: a `VQVAE`. The trainer is compiled as it is, and callbacks that draw
            images are given it.
        data: `(codes,)` or `(codes, labels)`: whole numbers `(n, rows, columns)`,
            `(n,)`.
        optimizer: a Keras optimizer or its name. None means Adam(3e-4).
        validation_data: as `data`, or None.
        batch_size, **kwargs: as in `keras.Model.fit`.

    Returns:
        Keras's history: `loss` is -log p(code | codes before) in nats a code.
    """
    network = model.pixelcnn
    trainer = Trainer([network], network.nats, whole=model)
    trainer.compile(
        optimizer or keras.optimizers.Adam(3e-4),
        run_eagerly=model.run_eagerly,
        jit_compile=model.jit_compile if model.compiled else "auto",
    )
    kwargs |= {"batch_size": batch_size}
    if validation_data is not None:
        kwargs["validation_data"] = (validation_data,)  # no targets
    network.trainable = True
    trainer.optimizer.build(network.trainable_variables)  # for `Checkpoint`
    try:
        return trainer.fit(data, **kwargs)
    finally:
        network.trainable = False


def check_pixelcnn(network, grid, size, num_classes):
    """Raises a `ValueError` for what is no PixelCNN of so many codes on the grid."""
    if not isinstance(network, PixelCNN):
        raise ValueError(
            "Expected pixelcnn to be a kzoo.networks.pixelcnn.PixelCNN, which can "
            f"draw. Received: pixelcnn={network!r}."
        )
    check_shapes("pixelcnn", network, grid, (*grid, size), num_classes)


def check_codes(codes, grid, size):
    """Codes as int32; a `ValueError` unless they are a batch of grids of codes."""
    codes = np.asarray(codes)
    if codes.shape[1:] != grid or codes.dtype.kind not in "iu":
        received = checks.describe(codes)
    elif codes.size and not 0 <= codes.min() <= codes.max() < size:
        received = f"codes from {codes.min()} to {codes.max()}"
    else:
        return codes.astype("int32")
    raise ValueError(
        f"Expected codes to be whole numbers from 0 to {size - 1} of shape (n, "
        f"{grid[0]}, {grid[1]}). Received: {received}."
    )
