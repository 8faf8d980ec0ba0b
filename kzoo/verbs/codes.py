"""What an autoencoder with codes for latents does: code, decode, learn how they lie."""

import math

import keras
import numpy as np
from keras import ops

from kzoo import checks, networks
from kzoo.networks.pixelcnn import PixelCNN
from kzoo.verbs.autoencoding import AutoencoderVerbs
from kzoo.verbs.sampling import normal_numbers


class CodeVerbs(AutoencoderVerbs):
    """The verbs of an autoencoder whose latents are the vectors of a grid of codes.

    The model has `code_grid`, rows and columns of its codes, a `codebook` with `size`
    and `lookup`, `pixelcnn`, None before there is a prior, and `codes_batch` and
    `decode_codes_batch`, tensors to tensors.
    """

    def codes(self, images, labels=None):
        """The codes of images `(n, h, w, c)`: whole numbers `(n, rows, columns)`.

        With `"rq"`, `(n, rows, columns * depth)`.
        """
        images = checks.images_array(images, self.image_shape)
        return self._run(self.codes_batch, images, labels=labels)

    def decode_codes(self, codes, labels=None):
        """Images of what `codes` returns, float32 in [0, 1]."""
        codes = check_codes(codes, self.code_grid, self.codebook.size)
        return self._run(self.decode_codes_batch, codes, labels=labels)

    def prior(self, normal):
        return self.conditional_prior(normal)

    @property
    def prior_size(self):
        return math.prod(self.code_grid)

    def conditional_prior(self, normal, labels=None):
        """Latents of codes from the PixelCNN, or of uniform ones before there is one.

        Each normal number draws one code.
        """
        numbers = ops.reshape(normal, (-1, *self.code_grid))
        uniform = 0.5 + 0.5 * ops.erf(numbers / math.sqrt(2))
        if self.pixelcnn is not None:
            codes = self.pixelcnn.draw(uniform, labels)
        else:
            codes = ops.cast(ops.floor(uniform * self.codebook.size), "int32")
            codes = ops.minimum(codes, self.codebook.size - 1)
        return ops.reshape(self.codebook.lookup(codes), (-1, self.latent_dim))

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        if truncation is not None:
            raise ValueError(
                "VQVAE draws codes, which have no middle to stay near. Expected "
                f"truncation=None. Received: truncation={truncation!r}."
            )
        seed = np.random.randint(2**31) if seed is None else seed
        labels = self.draw_labels(n, seed, labels)
        normal = normal_numbers((n, self.prior_size), seed)
        return self._run(self.conditional_prior, normal, labels=labels)

    def fit_prior(
        self,
        images,
        labels=None,
        width=128,
        blocks=5,
        optimizer=None,
        batch_size=128,
        validation_data=None,
        **kwargs,
    ):
        """Trains a PixelCNN on the codes of images, from which `sample` then draws.

        Train the autoencoder before: the PixelCNN does not follow codes that change.
        A second call goes on with the same network and a new optimizer. Compiled as the
        model is: `run_eagerly` and `jit_compile` are those given to `compile`.

        Args:
            images: `(n, height, width, channels)`, uint8 or float in [0, 1].
            labels: `(n,)` integers, if the model has classes.
            width, blocks: of the `PixelCNN`, where there is none yet.
            optimizer: a Keras optimizer or its name. None means Adam(3e-4).
            validation_data: images, or `(images, labels)`.
            batch_size, **kwargs: as in `keras.Model.fit`. Callbacks see a model of
                codes with the PixelCNN inside, but `SampleGrid` and `Evaluate` draw
                images.

        Returns:
            Keras's history: `loss` is -log p(code | codes before) in nats a code.
        """
        if self.pixelcnn is None:
            with networks.precision(self.dtype_policy):
                size = self.codebook.size
                self.set_pixelcnn(PixelCNN(size, width, blocks, self.num_classes))
        held = validation_data
        if held is not None:
            held = self.as_codes(*(held if isinstance(held, tuple) else (held,)))
        x, codes = self.as_codes(images, labels)
        self.pixelcnn.trainable = True
        try:
            trainer = self.pixelcnn.trainer(self.code_grid)
            trainer.whole = lambda: self
            trainer.compile(
                optimizer or keras.optimizers.Adam(3e-4),
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                run_eagerly=self.run_eagerly,
                jit_compile=self.jit_compile if self.compiled else "auto",
            )
            return trainer.fit(x, codes, batch_size, validation_data=held, **kwargs)
        finally:
            self.pixelcnn.trainable = False

    def fit_sampler(self, *args, **kwargs):
        raise ValueError(
            "VQVAE draws codes. Expected fit_prior(images), which fits a PixelCNN to "
            "them. Received: fit_sampler."
        )

    def as_codes(self, images, labels=None):
        """What the PixelCNN is trained on: its inputs, and the codes it predicts."""
        codes = self.codes(images, labels)
        return self.given(codes, None if labels is None else np.asarray(labels)), codes

    def set_pixelcnn(self, pixelcnn):
        """Makes `pixelcnn` the prior: a part of the model that `fit` does not train."""
        if not isinstance(pixelcnn, PixelCNN):
            raise ValueError(
                "Expected pixelcnn to be a kzoo.networks.pixelcnn.PixelCNN, which can "
                f"draw. Received: pixelcnn={pixelcnn!r}."
            )
        codes, logits = self.code_grid, (*self.code_grid, self.codebook.size)
        self.add_network("pixelcnn", pixelcnn, None, codes, logits)
        # First True: TensorFlow leaves out an assignment that changes nothing, and a
        # loaded PixelCNN is frozen itself while its layers are not.
        self.pixelcnn.trainable = True
        self.pixelcnn.trainable = False
        self.forget_compiled()


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
