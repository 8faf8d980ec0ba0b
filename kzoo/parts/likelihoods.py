"""Densities of images that a decoder's outputs are the parameters of.

Each likelihood has `parameters(channels)`, how many numbers it needs at a pixel: a
decoder's outputs have the shape `(batch, height, width, parameters)`. Its
`negative_log_likelihood(images, outputs)` is in nats, summed over pixels and channels:
`(batch, h, w, c)` to `(batch,)`. Its `mean(outputs)` is the expected image in [0, 1].
"""

import math

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.config import Part

LEVELS = 256
SMALL = 1e-2  # below it, a series is nearer to the truth than the formula in float32


class Likelihood(Part):
    """A density of an image's pixels, given a decoder's outputs.

    One of your own is a subclass, registered by
    `keras.saving.register_keras_serializable()`.
    """

    kind = None  # what a decoder gives it, for `kzoo.base.endings`; or anything
    binarize = False  # whether pixels are drawn as 0 or 1 before they are scored

    def parameters(self, channels):
        """How many numbers it needs at a pixel of so many channels."""
        return channels

    def negative_log_likelihood(self, images, outputs):
        """In nats, summed over pixels and channels: `(batch, h, w, c)` to `(batch,)`"""
        raise NotImplementedError

    def mean(self, outputs):
        """The expected image in [0, 1]."""
        raise NotImplementedError

    def binarized(self, images, draw):
        """The images, or draws of them; `draw(shape, distribution)` are random."""
        if not self.binarize:
            return images
        draws = draw(ops.shape(images), backend.uniform)
        return ops.cast(draws < images, "float32")


@keras.saving.register_keras_serializable("kzoo")
class Bernoulli(Likelihood):
    """Each pixel is a coin: `outputs` are logits, grey pixels are probabilities.

    Args:
        binarize: whether a pixel is drawn as 0 or 1 with its grey level as the
            probability, anew in each step (Salakhutdinov and Murray 2008). It makes
            this a proper likelihood, to be compared with published ones.
    """

    kind = "logits"

    def __init__(self, binarize=False):
        self.binarize = bool(binarize)

    def negative_log_likelihood(self, images, outputs):
        # Keras's binary_crossentropy takes two logarithms a pixel on JAX.
        nats = ops.softplus(outputs) - images * outputs
        return ops.sum(nats, axis=(1, 2, 3))

    def mean(self, outputs):
        return ops.sigmoid(outputs)


@keras.saving.register_keras_serializable("kzoo")
class ContinuousBernoulli(Likelihood):
    """A density on [0, 1], exp(logit * x) up to its integral: proper for grey pixels.

    Loaiza-Ganem and Cunningham, arXiv:1907.06845, written by logits.
    """

    kind = "logits"

    def negative_log_likelihood(self, images, outputs):
        nats = self.log_integral(outputs) - images * outputs
        return ops.sum(nats, axis=(1, 2, 3))

    def log_integral(self, logits):
        """log((e^logit - 1) / logit), 0 at a logit of 0."""
        small = ops.abs(logits) < SMALL
        safe = ops.where(small, 1.0, logits)
        size = ops.abs(safe)
        exact = ops.relu(safe) + ops.log1p(-ops.exp(-size)) - ops.log(size)
        return ops.where(small, logits / 2 + ops.square(logits) / 24, exact)

    def mean(self, outputs):
        """1 / (1 - e^-logit) - 1 / logit, 1/2 at a logit of 0."""
        small = ops.abs(outputs) < SMALL
        safe = ops.where(small, 1.0, outputs)
        size = ops.abs(safe)
        upper = -1 / ops.expm1(-size) - 1 / size  # of |logit|: from 1/2 to 1
        exact = ops.where(safe > 0, upper, 1 - upper)
        return ops.where(small, 0.5 + outputs / 12, exact)


@keras.saving.register_keras_serializable("kzoo")
class Gaussian(Likelihood):
    """Each pixel is normal about `outputs` with the standard deviation `scale`.

    Args:
        scale: in units of the pixel range [0, 1], or `"learned"`: the outputs then hold
            its logarithm after the means, in as many channels. kzoo's own decoders
            learn one for all pixels (Rybkin et al., arXiv:2006.13202).

    Raises:
        ValueError: unless `scale` is above 0 or `"learned"`.
    """

    @property
    def kind(self):
        """Means, or with a learned scale also its logarithm, which may be below 0."""
        return "log_var" if self.scale == "learned" else "images"

    def __init__(self, scale=1.0):
        learned = isinstance(scale, str) and scale == "learned"
        name = "scale, if it is not 'learned',"
        self.scale = scale if learned else checks.number(name, scale, above=0)

    def parameters(self, channels):
        return 2 * channels if self.scale == "learned" else channels

    def split(self, outputs):
        """Means and scales, which broadcast against images."""
        if self.scale != "learned":
            return outputs, ops.convert_to_tensor(self.scale, "float32")
        means, log_scales = ops.split(outputs, 2, axis=-1)
        return means, ops.exp(log_scales)

    def negative_log_likelihood(self, images, outputs):
        means, scales = self.split(outputs)
        squared = ops.square((images - means) / scales)
        constant = ops.log(scales) + 0.5 * math.log(2 * math.pi)
        return ops.sum(0.5 * squared + constant, axis=(1, 2, 3))

    def mean(self, outputs):
        return ops.clip(self.split(outputs)[0], 0.0, 1.0)


@keras.saving.register_keras_serializable("kzoo")
class Laplace(Gaussian):
    """Each pixel is Laplace distributed about `outputs`, with Gaussian's `scale`."""

    def negative_log_likelihood(self, images, outputs):
        means, scales = self.split(outputs)
        absolute = ops.abs(images - means) / scales
        return ops.sum(absolute + ops.log(2 * scales), axis=(1, 2, 3))


@keras.saving.register_keras_serializable("kzoo")
class Categorical(Likelihood):
    """Each pixel is one of 256 levels, `outputs` their logits, a channel after another.

    van den Oord et al., arXiv:1601.06759, section 3.2.
    """

    kind = "scores"

    def parameters(self, channels):
        return LEVELS * channels

    def negative_log_likelihood(self, images, outputs):
        levels = ops.cast(ops.round(images * (LEVELS - 1)), "int32")
        chosen = ops.one_hot(levels, LEVELS)
        log_shares = ops.log_softmax(self.by_channel(outputs), axis=-1)
        return -ops.sum(chosen * log_shares, axis=(1, 2, 3, 4))

    def mean(self, outputs):
        shares = ops.softmax(self.by_channel(outputs), axis=-1)
        return ops.sum(shares * ops.arange(LEVELS, dtype="float32"), -1) / (LEVELS - 1)

    def by_channel(self, outputs):
        height, width, size = outputs.shape[1:]
        return ops.reshape(outputs, (-1, height, width, size // LEVELS, LEVELS))


@keras.saving.register_keras_serializable("kzoo")
class LogisticMixture(Likelihood):
    """Each pixel is one of 256 levels, by a mixture of logistic densities on [0, 1].

    The share of a level is the mixture's mass between the middles to its neighbours,
    that of the first and the last level all that is left: Salimans et al.,
    arXiv:1701.05517, section 2.1. The channels of a pixel share the component; within
    it, each depends linearly on those before it (section 2.2).

    Args:
        components: number of logistics at a pixel.
    """

    kind = "scores"

    def __init__(self, components=5):
        self.components = checks.positive_int("components", components)

    def parameters(self, channels):
        # Of each component: a logit, means, log scales, and slopes between channels.
        return self.components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def negative_log_likelihood(self, images, outputs):
        logits, means, log_scales, slopes = self.split(outputs, images.shape[-1])
        images = images[..., None, :]
        means = self.given_earlier(means, images, slopes)
        masses = self.log_mass(images, means, log_scales)
        components = ops.log_softmax(logits, axis=-1) + ops.sum(masses, axis=-1)
        return -ops.sum(ops.logsumexp(components, axis=-1), axis=(1, 2))

    def log_mass(self, images, means, log_scales):
        """Of the level of each pixel. Arrays `(batch, h, w, components, c)`."""
        half = 0.5 / (LEVELS - 1)
        low = (images - half - means) * ops.exp(-log_scales)
        high = (images + half - means) * ops.exp(-log_scales)
        # log(sigmoid(high) - sigmoid(low)), where neither overflows nor cancels.
        gap = ops.log(-ops.expm1(low - high))
        inner = gap + ops.log_sigmoid(high) + ops.log_sigmoid(-low)
        first = ops.where(images < half, ops.log_sigmoid(high), inner)
        return ops.where(images > 1 - half, ops.log_sigmoid(-low), first)

    def mean(self, outputs):
        channels = self.channels(outputs.shape[-1])
        logits, means, _, slopes = self.split(outputs, channels)
        expected = means
        for _ in range(channels - 1):  # each time one channel more is what it stays
            expected = self.given_earlier(means, ops.clip(expected, 0.0, 1.0), slopes)
        shares = ops.softmax(logits, axis=-1)[..., None]
        return ops.sum(shares * ops.clip(expected, 0.0, 1.0), axis=-2)

    def given_earlier(self, means, images, slopes):
        """The mean of each channel, given the channels before it."""
        columns = [means[..., :1]]
        for i in range(1, means.shape[-1]):
            own = slopes[..., i * (i - 1) // 2 : i * (i + 1) // 2]
            shift = ops.sum(own * images[..., :i], axis=-1, keepdims=True)
            columns.append(means[..., i : i + 1] + shift)
        return ops.concatenate(columns, axis=-1)

    def split(self, outputs, channels):
        """Logits `(..., components)`; means, log scales, slopes `(..., components, *)`.

        Where the outputs are 0, the logistics cover [0, 1] evenly.
        """
        height, width, size = outputs.shape[1:]
        shape = (-1, height, width, self.components, size // self.components)
        parts = ops.reshape(outputs, shape)
        ends = [1, 1 + channels, 1 + 2 * channels]
        logits, means, log_scales, slopes = ops.split(parts, ends, axis=-1)
        middles = (ops.arange(self.components, dtype="float32") + 0.5) / self.components
        means = means + middles[:, None]
        log_scales = ops.maximum(log_scales - math.log(2.0 * self.components), -8.0)
        return logits[..., 0], means, log_scales, ops.tanh(slopes)

    def channels(self, size):
        return next(c for c in range(1, size) if self.parameters(c) == size)


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "laplace": Laplace,
    "logistic_mixture": LogisticMixture,
}
