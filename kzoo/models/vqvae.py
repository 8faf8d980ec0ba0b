"""VQ-VAE: van den Oord et al., arXiv:1711.00937.

An autoencoder whose latents are a grid of codes, each the nearest of a codebook's
vectors to what the encoder puts there. Gradients pass the choice unchanged; the prior
over grids of codes is a PixelCNN, trained afterwards. Differs from the paper: the
codebook is that of its appendix A.1 (moving averages), starts at k-means of the first
images, and takes dead codes back; the prior is the gated PixelCNN of arXiv:1606.05328.
The reconstruction is -log N(image; decoded, 0.2²), and all terms are sums over an
image. The authors' code (sonnet) takes means over its p numbers and over the g numbers
of its grid of vectors, and divides the squared error by the variance v of the data. So
the commitment is g / (p v) * 2 * 0.2² times as heavy here, against the reconstruction,
as there: 3.4 times for MNIST, 1.7 times for CIFAR-10 with 64 numbers a vector and
sides halved twice, and less with smaller grids.
"""

import math

import keras
import numpy as np
from keras import ops

from kzoo import backend, checks, config, media
from kzoo.base import AutoencoderModel, fitting
from kzoo.base.generative import normal_numbers
from kzoo.networks.blocks import precision
from kzoo.networks.pixelcnn import PixelCNN
from kzoo.networks.vqvae import GRID_NETWORKS, GridNetworks, own_grid
from kzoo.parts.likelihoods import LIKELIHOODS, Gaussian, Likelihood
from kzoo.parts.quantizers import QUANTIZERS, Quantizer, perplexity
from kzoo.samplers.codes import CodePrior, check_codes, fit_pixelcnn


@keras.saving.register_keras_serializable("kzoo")
class VQVAE(AutoencoderModel):
    """VQ-VAE (arXiv:1711.00937): an autoencoder with codes for latents.

    `fit` trains the autoencoder, then `fit_prior` the PixelCNN that `sample` draws
    codes from; before that, codes are uniform. Latents are the codes' vectors, the grid
    of them laid out in a row: `latent_dim` is `rows * columns * quantizer.dim`.
    `generate` takes any vectors to the nearest codes first, but for `"rq"`, where other
    codes may be found than those that were summed.

    Logs `loss` (reconstruction + vq), `reconstruction` (negative log-likelihood in nats
    an image), `vq`, what the quantizer adds (squared distances, summed over places and
    dimensions, mean over images; for `"lfq"` also the entropy penalty, which may make
    it negative; 0 for `"fsq"`), and `perplexity`, how many codes a batch uses, by exp
    of the entropy of their frequencies.

    >>> VQVAE((28, 28, 1), MovingAverageCodebook(size=128, dim=16), "conv")

    Args:
        image_shape: `(height, width, channels)`, sides divisible by 2 for each width.
        quantizer: `"ema"` (a codebook of moving averages, appendix A.1), `"gradient"`
            (a codebook that learns by gradients, equation 3), `"fsq"` (no codebook:
            numbers are bounded and rounded, arXiv:2309.15505), `"lfq"` (numbers
            become their signs, arXiv:2310.05737) or `"rq"` (a vector is the sum of the
            codes of several codebooks of moving averages, arXiv:2203.01941), with 512
            codes or more; or an object of `kzoo.parts.quantizers` with its own number.
        architecture: `"residual"`, the paper's, or `"conv"`, small and plain; or an
            object of `kzoo.networks.vqvae`, such as `ConvGridNetworks((32, 64))`.
        likelihood: of pixels, as in `VAE`. None means `Gaussian(0.2)`.
        num_classes: number of labels to condition all networks on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            vectors `(batch, rows, columns, quantizer.dim)`.
        decoder: your own `keras.Model` from such vectors, or `[vectors, labels]`, to
            the parameters of the likelihood, as in `VAE`.
        pixelcnn: a `kzoo.networks.pixelcnn.PixelCNN`, which `fit_prior` makes if None.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VQVAE((8, 8, 1), architecture="conv")
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.fit_prior(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        quantizer="ema",
        architecture="residual",
        likelihood=None,
        num_classes=None,
        encoder=None,
        decoder=None,
        pixelcnn=None,
        **kwargs,
    ):
        shape = media.image_shape(image_shape)
        quantizer = config.part("quantizer", quantizer, Quantizer, QUANTIZERS)
        build = config.part("architecture", architecture, GridNetworks, GRID_NETWORKS)
        grid = own_grid(encoder) or build.grid(shape)
        latent_dim = math.prod(grid) * quantizer.dim
        super().__init__(shape, latent_dim, num_classes, **kwargs)
        self.quantizer, self.architecture, self.grid = quantizer, build, grid
        self.code_grid = grid[0], grid[1] * quantizer.depth
        likelihood = likelihood or Gaussian(0.2)
        self.likelihood = config.part("likelihood", likelihood, Likelihood, LIKELIHOODS)
        self.add_networks(encoder, decoder)
        self.set_pixelcnn(pixelcnn)
        self.watch("loss", "reconstruction", "vq", "perplexity")
        self.built = True

    def add_networks(self, encoder, decoder):
        networks, dim, classes = self.architecture, self.quantizer.dim, self.num_classes
        height, width, channels = shape = self.image_shape
        vectors = (*self.grid, dim)
        self.add_network(
            "encoder",
            encoder,
            lambda: networks.encoder(shape, dim, classes),
            shape,
            vectors,
            classes,
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: networks.decoder(shape, dim, classes, self.likelihood),
            vectors,
            (height, width, self.likelihood.parameters(channels)),
            classes,
            self.likelihood.kind,
        )

    @property
    def pixelcnn(self):
        """The `PixelCNN` that codes are drawn from, or None."""
        return self.prior.pixelcnn

    def set_pixelcnn(self, pixelcnn):
        """Makes `pixelcnn` the prior, which `fit` does not train. None: uniform."""
        grid, classes = self.code_grid, self.num_classes
        self.set_prior(CodePrior(self.quantizer, grid, pixelcnn, classes))
        self.forget_compiled()

    def default_optimizer(self):
        return keras.optimizers.Adam(2e-4)

    def fit(self, x=None, y=None, *args, **kwargs):
        """`GenerativeModel.fit`; the first one starts the quantizer by k-means.

        About 64 vectors a code, of at most 2048 images. Data that can be read only once
        start nothing.
        """
        if not ops.convert_to_numpy(self.quantizer.started):
            fitting.check_compiled(self, "fit")
            if fitting.is_arrays(x):
                x, y = fitting.checked_arrays(self, x, y)
            vectors = 64 * self.quantizer.size
            n = min(2048, math.ceil(vectors / math.prod(self.grid)))
            images, labels = first_images(x, y, n)
            if images is not None:
                self.start_quantizer(images, labels)
            self.quantizer.started.assign(1.0)
        return super().fit(x, y, *args, **kwargs)

    def start_quantizer(self, images, labels=None):
        """Starts the quantizer at what the encoder makes of some images."""
        vectors = self._run(self.vectors, self.medium.array(images), labels=labels)
        self.quantizer.start(vectors.reshape(-1, self.quantizer.dim))

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.vqvae_loss, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.vqvae_loss(images, labels, training=False)
        return self.report(logs, images)

    def vqvae_loss(self, images, labels=None, training=True):
        images = self.likelihood.binarized(images, self.noise)
        vectors = self.vectors(images, labels, training)
        draws = None
        if training and self.quantizer.takes_draws:
            draws = self.noise((self.quantizer.size,), backend.uniform)
        quantised, codes, vq = self.quantizer(vectors, training=training, draws=draws)
        outputs = self.outputs(quantised, labels, training)

        nats = self.likelihood.negative_log_likelihood(images, outputs)
        reconstruction, vq = ops.mean(nats), ops.mean(vq)
        loss = reconstruction + vq
        logs = {"loss": loss, "reconstruction": reconstruction, "vq": vq}
        logs["perplexity"] = perplexity(codes, self.quantizer.size)
        return loss, logs

    def vectors(self, images, labels=None, training=False):
        """What the encoder puts out, `(batch, *grid, quantizer.dim)`."""
        vectors = self.encoder(self.given(images, labels), training=training)
        return ops.cast(vectors, "float32")

    def outputs(self, vectors, labels=None, training=False):
        """Parameters of p(images | vectors), `(batch, height, width, parameters)`."""
        outputs = self.decoder(self.given(vectors, labels), training=training)
        return ops.cast(outputs, "float32")

    def encode_batch(self, images, labels=None):
        quantised, _, _ = self.quantizer(self.vectors(images, labels))
        return ops.reshape(quantised, (-1, self.latent_dim))

    def generate_batch(self, latents, labels=None):
        vectors = ops.reshape(latents, (-1, *self.grid, self.quantizer.dim))
        outputs = self.outputs(self.quantizer.project(vectors), labels)
        return self.likelihood.mean(outputs)

    def codes(self, images, labels=None):
        """The codes of images `(n, h, w, c)`: whole numbers `(n, rows, columns)`.

        With `"rq"`, `(n, rows, columns * depth)`.
        """
        return self._run(self.codes_batch, self.medium.array(images), labels=labels)

    def codes_batch(self, images, labels=None):
        return self.quantizer(self.vectors(images, labels))[1]

    def decode_codes(self, codes, labels=None):
        """Images of what `codes` returns, float32 in [0, 1]."""
        codes = check_codes(codes, self.code_grid, self.quantizer.size)
        return self._run(self.decode_codes_batch, codes, labels=labels)

    def decode_codes_batch(self, codes, labels=None):
        outputs = self.outputs(self.quantizer.lookup(codes), labels)
        return self.likelihood.mean(outputs)

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        seed = np.random.randint(2**31) if seed is None else seed
        checks.positive_int("n", n)
        checks.whole_number("seed", seed)
        labels = self.draw_labels(n, seed, labels)
        normal = normal_numbers((n, self.prior.size), seed)
        if truncation is not None:
            normal = self.prior.truncated(normal, truncation)
        return self._run(self.latents_batch, normal, labels=labels)

    def latents_batch(self, normal, labels=None):
        return self.prior(normal, labels)

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
            batch_size, **kwargs: as in `keras.Model.fit`. `Checkpoint` saves the
                PixelCNN; `SampleGrid` and `Evaluate` draw images.

        Returns:
            Keras's history: `loss` is -log p(code | codes before) in nats a code.
        """
        checks.positive_int("batch_size", batch_size)
        if self.pixelcnn is None:
            size, classes = self.quantizer.size, self.num_classes
            with precision(self.dtype_policy):
                self.set_pixelcnn(PixelCNN(size, width, blocks, classes))
        held = validation_data
        if held is not None:
            held = self.with_codes(*(held if isinstance(held, tuple) else (held,)))
        data = self.with_codes(images, labels)
        return fit_pixelcnn(self, data, optimizer, batch_size, held, **kwargs)

    def with_codes(self, images, labels=None):
        """Images' codes, and their labels if there are any: a tuple."""
        codes = self.codes(images, labels)
        return (codes,) if labels is None else (codes, np.asarray(labels))

    def fit_sampler(self, *args, **kwargs):
        raise ValueError(
            "VQVAE draws codes. Expected fit_prior(images), which fits a PixelCNN to "
            "them. Received: fit_sampler."
        )


def first_images(x, y, n):
    """About `n` images and their labels as numpy: spread over arrays, or one batch.

    `(None, None)` where the data can be read only once.
    """
    if hasattr(x, "shape"):
        step = max(1, len(x) // n)
        images, labels = x[::step][:n], None if y is None else y[::step][:n]
    elif hasattr(x, "__getitem__") or iter(x) is not x:
        batch = next(iter(x), None)
        if batch is None:
            raise ValueError("Expected at least one batch. Received: no data.")
        images, labels = media.split_batch(batch)
    else:
        return None, None
    return checks.to_numpy(images), None if labels is None else checks.to_numpy(labels)
