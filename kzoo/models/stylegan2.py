"""StyleGAN2: Karras et al., arXiv:1912.04958, on top of StyleGAN, arXiv:1812.04948.

Styles, made from the latents by a network of their own, scale the convolutions of the
generator. Written from the papers. Differs from them: few and narrow layers unless
asked for; lazy penalties are part of the loss of every k-th step and no steps of their
own, so that Adam's settings need no correction (appendix B); path lengths are those of
a whole batch, and their average starts at the first of them, not at 0.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks
from kzoo.models.gan import GAN
from kzoo.networks.stylegan import StyleGANNetworks
from kzoo.parts.penalties import R1

MEAN_STYLE = (
    0.995  # decay of the mean style, as in the authors' code (NVlabs/stylegan2)
)


@keras.saving.register_keras_serializable("kzoo")
class StyleGAN2(GAN):
    """StyleGAN2 (arXiv:1912.04958): latents become styles, one for each convolution.

    `GAN` with the non-saturating loss, a lazy `"r1"` penalty, a generator of modulated
    convolutions and noise, and a residual discriminator. Neighbouring convolutions may
    take the styles of two images (mixing), and equal steps in a style make about equal
    steps in the image (path length). Logs `discriminator_loss`, `generator_loss`, `r1`
    and `path_length`, the penalty.

    Samples are functions of their latents: noise is drawn in training only. The paper's
    largest model, for 1024 pixels (FFHQ, configuration F, batches of 32):

    >>> widths = (512, 512, 512, 512, 512, 256, 128, 64, 32)
    >>> networks = StyleGANNetworks(widths, noisy=True)
    >>> StyleGAN2((1024, 1024, 3), 512, networks, penalty=R1(2.5, every=16))

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents, and of features in a style; the paper has 512.
        architecture: of both networks: `StyleGANNetworks` with `noisy=True`, which None
            means: `(64, 32, 16)` channels for 28 pixels.
        mixing: share of the training images whose later convolutions, from a random
            one on, take the style of other latents.
        path_weight: what the path length penalty is multiplied by, or 0 for none. It is
            four times the paper's 2, as images are in [0, 1] and paths half as long.
        path_every: the path length penalty is added in every so many steps, that many
            times as heavy.
        psi: truncation of samples (arXiv:1812.04948, appendix B): how far styles are
            from their mean, 1 for as far as in training, less for likelier and more
            uniform images. May be set later: `model.psi = 0.7`.
        loss: as in `GAN`.
        penalty: as in `GAN`. None means `R1(1.0, every=16)`. The weight of half the
            squared slope is a quarter of the paper's gamma, as slopes are of images in
            [0, 1], twice those of images in [-1, 1]. The paper's is 10 or more for 1024
            pixels. On MNIST of 16 pixels 0.1 let the generator collapse within 900
            steps, 1 did not.
        ema: decay of the average of the generator's weights that makes the samples, or
            None; see `GAN`. The paper halves a weight's share in 10,000 images,
            0.995 for batches of 72.
        num_classes: number of labels to condition on, or None. The mapping takes an
            embedding beside its latents, the discriminator is a projection.
        **kwargs: any other argument of `GAN`. A generator of your own has the layers
            of `StyleGANNetworks`, `mapping` and `synthesis`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.StyleGAN2(image_shape=(8, 8, 1))
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=64,
        architecture=None,
        mixing=0.9,
        path_weight=8.0,
        path_every=4,
        psi=1.0,
        loss="non_saturating",
        penalty=None,
        ema=0.995,
        **kwargs,
    ):
        super().__init__(
            image_shape,
            latent_dim,
            architecture or StyleGANNetworks(noisy=True),
            loss,
            penalty=R1(1.0, every=16) if penalty is None else penalty,
            ema=ema,
            **kwargs,
        )
        check_layers(self.generator)
        self.mixing = checks.probability("mixing", mixing)
        self.path_weight = checks.number("path_weight", path_weight, least=0)
        self.path_every = checks.positive_int("path_every", path_every)
        self.truncation = self.state((), "psi")
        self.psi = psi
        self.mean_style = self.state((self.latent_dim,), "mean_style")
        self.mean_length = self.state((), "mean_length")
        self.watch(*self.means, *(["path_length"] if path_weight else []))

    def state(self, shape, name):
        """A variable that starts at 0 and is saved, but not trained."""
        return self.add_weight(shape, "zeros", "float32", trainable=False, name=name)

    @property
    def psi(self):
        return float(ops.convert_to_numpy(self.truncation))

    @psi.setter
    def psi(self, value):
        self.truncation.assign(checks.number("psi", value, least=0))

    def default_optimizer(self):
        return {
            name: keras.optimizers.Adam(2e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)
            for name in ("discriminator", "generator")
        }

    def generator_loss(self, images, labels=None, training=True):
        loss, logs = super().generator_loss(images, labels, training)
        if not self.path_weight:
            return loss, logs
        penalty = self.path_length(images, labels, training)
        return loss + self.path_weight * penalty, {**logs, "path_length": penalty}

    def fakes(self, latents, labels, training):
        styles = self.styles(latents, labels, training)
        if training:
            mean = ops.mean(ops.stop_gradient(styles), axis=(0, 1))
            mean = backend.replica_mean(mean)
            self.mean_style.assign(
                MEAN_STYLE * self.mean_style + (1 - MEAN_STYLE) * mean
            )
        return self.synthesize(styles, self.noise_maps(latents, training))

    def styles(self, latents, labels, training):
        """One for each convolution, `(batch, convolutions, latent_dim)`, float32."""
        style = self.mapped(self.generator, latents, labels)
        if not (training and self.mixing):
            return style
        other = self.mapped(self.generator, self.latents_like(latents), labels)
        shape = (ops.shape(latents)[0], 1, 1)
        mixed = self.noise(shape, backend.uniform) < self.mixing
        last = style.shape[1] - 1
        crossover = last * self.noise(shape, backend.uniform)
        later = ops.arange(last + 1, dtype="float32")[:, None] > crossover
        return ops.where(ops.logical_and(mixed, later), other, style)

    def mapped(self, generator, latents, labels):
        style = generator.get_layer("mapping")(self.given(latents, labels))
        style = ops.cast(style, "float32")[:, None]
        return ops.repeat(style, generator.get_layer("synthesis").styles, axis=1)

    def noise_maps(self, latents, training):
        """What the convolutions add to their outputs; None outside training."""
        if not training:
            return None
        sizes = self.generator.get_layer("synthesis").noise_sizes
        return [self.noise((ops.shape(latents)[0], *size, 1)) for size in sizes]

    def synthesize(self, styles, noise):
        images = self.generator.get_layer("synthesis")(styles, noise)
        return ops.cast(images, "float32")

    def path_length(self, images, labels, training):
        """(length - mean length)²: section 3.2, equation 4. As lazy as `penalties`."""
        styles = self.styles(self.latents_like(images), labels, training)
        noise = self.noise_maps(images, training)
        synthesize = functools.partial(self.synthesize, noise=noise)
        direction = self.noise(ops.shape(images))

        def lengths():
            return path_lengths(synthesize, styles, direction)

        if not training:
            return ops.mean(ops.square(lengths() - self.mean_length))
        step = self.optimizer.members["generator"].iterations
        old = ops.convert_to_tensor(self.mean_length)
        penalty, mean = backend.cond(
            ops.equal(ops.mod(step, self.path_every), 0),
            lambda: self.deviation(lengths(), old, step // self.path_every),
            lambda: [ops.zeros(()), old],
        )
        self.mean_length.assign(backend.replica_mean(mean))
        return penalty

    def deviation(self, lengths, mean, times):
        """The penalty and the new mean length, which so far is of `times` batches."""
        times = ops.cast(times, "float32")
        decay = ops.minimum(0.99, times / (1 + times))
        new = ops.mean(ops.stop_gradient(lengths))
        mean = decay * mean + (1 - decay) * new
        return [self.path_every * ops.mean(ops.square(lengths - mean)), mean]

    def generate_batch(self, latents, labels=None):
        generator = self.generator if self.ema is None else self.ema_generator
        styles = self.mapped(generator, latents, labels)
        styles = self.mean_style + self.truncation * (styles - self.mean_style)
        images = ops.cast(generator.get_layer("synthesis")(styles), "float32")
        # Not clipped in training, so that gradients do not vanish.
        return ops.clip(images, 0.0, 1.0)


def path_lengths(synthesize, styles, direction):
    """How much each image moves in a random direction as its styles do: `(batch,)`.

    The norm of the gradient of `sum(images * direction) / sqrt(height * width)` by the
    styles `(batch, convolutions, features)`, squares averaged over the convolutions:
    the paper's gamma, ln 2 / (r² (ln r - ln 2)) for r pixels and so 2 log2(r) - 2
    convolutions, is 2 for these lengths.
    """
    height, width = direction.shape[1:3]
    direction = direction / (height * width) ** 0.5
    gradient = backend.input_gradient(
        lambda styles: synthesize(styles) * direction, styles
    )
    squares = ops.mean(ops.sum(ops.square(gradient), axis=-1), axis=-1)
    return ops.sqrt(squares + 1e-12)  # the root has no slope at 0


def check_layers(generator):
    """Raises a `ValueError` unless there are layers for styles and for noise."""
    names = {layer.name for layer in generator.layers}
    synthesis = generator.get_layer("synthesis") if "synthesis" in names else None
    if "mapping" not in names or not getattr(synthesis, "noisy", False):
        raise ValueError(
            "StyleGAN2 trains its generator by the styles and the noise inside. "
            "Expected the layers `mapping` and `synthesis` of StyleGANNetworks(noisy="
            f"True). Received: a generator with the layers {', '.join(sorted(names))}. "
            "Pass it to GAN(generator=..., penalty='r1', ema=0.998)."
        )
