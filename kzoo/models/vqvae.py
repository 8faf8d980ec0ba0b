"""VQ-VAE: van den Oord et al., arXiv:1711.00937.

An autoencoder whose latents are a grid of codes, each the nearest of a codebook's
vectors to what the encoder puts there. Gradients pass the choice unchanged; the prior
over grids of codes is a PixelCNN, trained afterwards. Differs from the paper: the
codebook is that of its appendix A.1 (moving averages), starts at k-means of the first
images, and takes dead codes back; the prior is the gated PixelCNN of arXiv:1606.05328.
The reconstruction is -log N(image; decoded, 0.2²), so that its weight against the
commitment is about that of the authors' code, which divides the squared error by the
variance of the data: about 2 * 0.2² where pixels are in [0, 1].
"""

import math

import keras
from keras import ops

from kzoo import backend, checks, quantizers
from kzoo.likelihoods import likelihood as likelihood_called
from kzoo.networks import check_widths, halved
from kzoo.networks.vqvae import ARCHITECTURES
from kzoo.training import GenerativeModel
from kzoo.verbs import CodeVerbs

SCALE = 0.2  # standard deviation of pixels in [0, 1]


@keras.saving.register_keras_serializable("kzoo")
class VQVAE(CodeVerbs, GenerativeModel):
    """VQ-VAE (arXiv:1711.00937): an autoencoder with codes for latents.

    `fit` trains the autoencoder, then `fit_prior` the PixelCNN that `sample` draws
    codes from; before that, all codes are alike likely. Latents are the codes' vectors,
    the grid of them laid out in a row: `latent_dim` is `height * width * code_dim`.
    `generate` takes any vectors to the nearest codes first, but for `"rq"`, where other
    codes may be found than those that were summed.

    Logs `loss` (reconstruction + vq), `reconstruction` (negative log-likelihood in nats
    an image), `vq`, what the quantiser adds (squared distances, summed over places and
    dimensions, mean over images; for `"lfq"` also the entropy penalty, which may make
    it negative; 0 for `"fsq"`), and `perplexity`, how many codes a
    batch uses, by exp of the entropy of their frequencies.

    Args:
        image_shape: `(height, width, channels)`, sides divisible by 2 for each width.
        codebook_size: number of codes, for `"rq"` of each codebook, for `"lfq"` a power
            of 2; for `"fsq"` the levels of each number of a code, such as
            `(8, 5, 5, 5)`. Defaults to the paper's 512, or to these levels.
        code_dim: length of a code's vector. Defaults to 64, or to how many levels
            there are for `"fsq"`, how many bits for `"lfq"`.
        quantizer: `"ema"` (a codebook of moving averages, appendix A.1), `"gradient"`
            (a codebook that learns by gradients, equation 3), `"fsq"` (no codebook:
            numbers are bounded and rounded, arXiv:2309.15505), `"lfq"` (numbers
            become their signs, arXiv:2310.05737) or `"rq"` (a vector is the sum of the
            codes of several codebooks of moving averages, arXiv:2203.01941).
        architecture: `"residual"`, the paper's, or `"conv"`, small and plain; both
            halve the sides once for each width.
        widths: layer widths from image to codes; the decoder mirrors them. Defaults to
            `(256, 256)` for `"residual"`, `(32, 64)` for `"conv"`.
        commitment: weight of the term that draws the encoder to its codes, beta.
        entropy_weight: of the penalty of `"lfq"`: clear codes, and all of them in use.
        depth: number of codebooks of `"rq"`. Defaults to 4. The codes of a place are
            neighbours in a row, for the PixelCNN too.
        likelihood, likelihood_scale: of pixels, as in `VAE`, with one number each.
        num_classes: number of labels to condition all networks on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            vectors `(batch, rows, columns, code_dim)`.
        decoder: your own `keras.Model` from such vectors, or `[vectors, labels]`, to
            `(batch, *image_shape)`: logits for `"bernoulli"`, means for the others.
        pixelcnn: a `kzoo.networks.pixelcnn.PixelCNN`, set by `fit_prior`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VQVAE((8, 8, 1), codebook_size=64, architecture="conv")
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.fit_prior(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        codebook_size=None,
        code_dim=None,
        quantizer="ema",
        architecture="residual",
        widths=None,
        commitment=0.25,
        entropy_weight=0.1,
        depth=None,
        likelihood="gaussian",
        likelihood_scale=None,
        num_classes=None,
        encoder=None,
        decoder=None,
        pixelcnn=None,
        **kwargs,
    ):
        checks.one_of("architecture", architecture, ARCHITECTURES)
        build_encoder, build_decoder, default_widths = ARCHITECTURES[architecture]
        widths = check_widths(default_widths if widths is None else widths)
        shape = checks.image_shape(image_shape)
        grid = own_grid(encoder) or halved(shape, len(widths), architecture)
        codebook = quantizers.build(
            quantizer, codebook_size, code_dim, commitment, entropy_weight, depth
        )
        vectors = (*grid, codebook.dim)
        super().__init__(shape, math.prod(vectors), num_classes, **kwargs)
        self.quantizer, self.codebook = quantizer, codebook
        self.commitment, self.entropy_weight = commitment, entropy_weight
        self.codebook_size = getattr(
            codebook, "levels", codebook.size // codebook.depth
        )
        self.grid, self.code_dim, self.depth = grid, codebook.dim, depth
        self.code_grid = grid[0], grid[1] * codebook.depth
        self.architecture, self.widths = architecture, widths
        if likelihood == "gaussian" and likelihood_scale is None:
            likelihood_scale = SCALE
        self.likelihood, self.likelihood_scale = likelihood, likelihood_scale
        self.pixels = likelihood_called(likelihood, likelihood_scale)
        if self.pixels.parameters(1) != 1:
            raise ValueError(
                "VQVAE's decoder puts out one number for each of a pixel. Expected a "
                "likelihood of as many: 'bernoulli', 'continuous_bernoulli', or "
                "'gaussian' or 'laplace' of a fixed scale. Received: likelihood="
                f"{likelihood!r}, likelihood_scale={likelihood_scale!r}."
            )

        def build(builder):
            return lambda shape, _, *rest: builder(shape, vectors, *rest)

        self.add_network("encoder", encoder, build(build_encoder), shape, vectors)
        self.add_network("decoder", decoder, build(build_decoder), vectors, shape)
        self.pixelcnn = None
        if pixelcnn is not None:
            self.set_pixelcnn(pixelcnn)
        self.watch("loss", "reconstruction", "vq", "perplexity")
        self.built = True

    def default_optimizer(self):
        return keras.optimizers.Adam(2e-4)

    def fit(self, x=None, y=None, *args, **kwargs):
        """`GenerativeModel.fit`; the first one starts the codebook by k-means.

        Not with data that can be read only once, from which nothing is read ahead.
        """
        if not ops.convert_to_numpy(self.codebook.started):
            checks.data(self.image_shape, self.num_classes, x, y)
            images, labels = first_images(x, y, self.images_to_start)
            if images is not None:
                self.start_codebook(images, labels)
            self.codebook.started.assign(1.0)
        return super().fit(x, y, *args, **kwargs)

    @property
    def images_to_start(self):
        """So many that there are 64 vectors a code, but at most 2048."""
        return min(2048, math.ceil(64 * self.codebook.size / math.prod(self.grid)))

    def start_codebook(self, images, labels=None):
        """Starts the codebook at what the encoder makes of some images, by k-means."""
        images = checks.images_array(images, self.image_shape)
        vectors = self._run(self.vectors, images, labels=labels)
        self.codebook.start(vectors.reshape(-1, self.code_dim))

    @backend.portable_step
    def train_step(self, images, labels=None):
        return self.report(self.minimize(self.vqvae_loss, images, labels), images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.vqvae_loss(images, labels, training=False)
        return self.report(logs, images)

    def vqvae_loss(self, images, labels=None, training=True):
        vectors = self.vectors(images, labels, training)
        draws = None
        if training and self.quantizer in ("ema", "rq"):
            draws = self.noise((self.codebook.size,), backend.uniform)
        quantised, codes, vq = self.codebook(vectors, training=training, draws=draws)
        outputs = self.outputs(quantised, labels, training)

        reconstruction = ops.mean(self.pixels.negative_log_likelihood(images, outputs))
        vq = ops.mean(vq)
        loss = reconstruction + vq
        logs = {"loss": loss, "reconstruction": reconstruction, "vq": vq}
        logs["perplexity"] = quantizers.perplexity(codes, self.codebook.size)
        return loss, logs

    def vectors(self, images, labels=None, training=False):
        """What the encoder puts out, `(batch, *grid, code_dim)`."""
        vectors = self.encoder(self.given(images, labels), training=training)
        return ops.cast(vectors, "float32")

    def outputs(self, vectors, labels=None, training=False):
        """Parameters of p(images | vectors), `(batch, *image_shape)`."""
        outputs = self.decoder(self.given(vectors, labels), training=training)
        return ops.cast(outputs, "float32")

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None):
        quantised, _, _ = self.codebook(self.vectors(images, labels))
        return ops.reshape(quantised, (-1, self.latent_dim))

    def generate_batch(self, latents, labels=None):
        vectors = ops.reshape(latents, (-1, *self.grid, self.code_dim))
        if self.quantizer != "rq":
            vectors = self.codebook.lookup(self.codebook.nearest(vectors))
        return self.pixels.mean(self.outputs(vectors, labels))

    def reconstruct_batch(self, images, labels=None):
        return self.decode_codes_batch(self.codes_batch(images, labels), labels)

    def codes_batch(self, images, labels=None):
        return self.codebook(self.vectors(images, labels))[1]

    def decode_codes_batch(self, codes, labels=None):
        outputs = self.outputs(self.codebook.lookup(codes), labels)
        return self.pixels.mean(outputs)

    def get_config(self):
        config = super().get_config()
        del config["latent_dim"]  # a product of these
        return {
            **config,
            "codebook_size": self.codebook_size,
            "code_dim": self.code_dim,
            "quantizer": self.quantizer,
            "architecture": self.architecture,
            "widths": self.widths,
            "commitment": self.commitment,
            "entropy_weight": self.entropy_weight,
            "depth": self.depth,
            "likelihood": self.likelihood,
            "likelihood_scale": self.likelihood_scale,
        }


def own_grid(encoder):
    """Rows and columns of what the user's encoder puts out, or None."""
    shape = getattr(encoder, "output_shape", ())
    return tuple(shape[1:3]) if len(shape) == 4 else None


def first_images(x, y, n):
    """About `n` images and their labels as numpy: spread over arrays, or one batch.

    `(None, None)` where the data can be read only once.
    """
    if hasattr(x, "shape"):
        step = max(1, len(x) // n)
        images, labels = x[::step][:n], None if y is None else y[::step][:n]
    elif hasattr(x, "__getitem__") or iter(x) is not x:
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(next(iter(x)))
    else:
        return None, None
    return checks.to_numpy(images), None if labels is None else checks.to_numpy(labels)
