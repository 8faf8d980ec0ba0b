"""Generative adversarial network: Goodfellow et al., arXiv:1406.2661.

A generator maps latents to images, a discriminator tells them from real ones. Differs
from the paper: Adam instead of momentum, leaky ReLU instead of maxout. DCGAN (Radford
et al., arXiv:1511.06434) is the same game with convolutions.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks, losses
from kzoo.augmentations import AUGMENTATIONS, Augmentation
from kzoo.networks import NORMALIZATIONS, check_conditioning, check_widths
from kzoo.networks.architectures import (
    ARCHITECTURES,
    WITH_OPTIONS,
    check_attention,
    clashes_of_networks,
)
from kzoo.penalties import PENALTIES, SLOPE_PENALTIES, LeCam
from kzoo.training import GenerativeModel


@keras.saving.register_keras_serializable("kzoo")
class GAN(GenerativeModel):
    """Generative adversarial network (arXiv:1406.2661): sharp samples, no density.

    Logs `discriminator_loss` and `generator_loss`. The discriminator takes its steps on
    the batch that the generator's step then sees, each with fresh latents.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"mlp"`, `"dcgan"`, which doubles the sides once for each width,
            or, once for each but the first, `"resnet"` (SNGAN's, arXiv:1802.05957) or
            `"stylegan"` (StyleGAN2's, arXiv:1912.04958, without noise and mixing; its
            samples are clipped to [0, 1]).
        loss: `"non_saturating"`, `"minimax"`, `"least_squares"`, `"wasserstein"`,
            `"hinge"`, `"relativistic_pairing"` or `"relativistic_average"`.
        discriminator_steps: steps of the discriminator for each of the generator.
        penalty: on the discriminator, a name or several, each logged. On its slope:
            `"gradient_penalty"`, `"one_sided_gradient_penalty"`, `"dragan"`, `"r1"`,
            `"r2"`. On its logits: `"consistency"` under shifts of the real images,
            `"lecam"`. Batch normalisation would mix the slopes of a batch's images: see
            `normalization`.
        penalty_weight: what the sum of the penalties is multiplied by.
        penalty_every: the penalty is added in every so many steps, that many times as
            heavy (lazy regularisation, Karras et al., arXiv:1912.04958).
        weight_clip: largest absolute value of the discriminator's weights, or None.
        dropout: share of the `"mlp"` discriminator's hidden units that a step leaves
            out. None means 0.3 for `"mlp"`, as the paper has dropout too.
        normalization: of the discriminator: `"batch"`, `"layer"`, `"spectral"`
            (arXiv:1802.05957) or None. `"auto"` means `"batch"` for `"dcgan"` and
            `"resnet"`, else None. `"stylegan"` has none.
        augmentation: of the real and fake images that the discriminator sees, a name
            or several, in order: `"color"`, `"translation"`, `"cutout"` (DiffAugment,
            arXiv:2006.10738, for data sets of a few thousand images or less), `"flip"`
            (left to right; samples are then mirrored too, unless the probability stays
            below 1).
        augmentation_probability: of each augmentation for each image, or `"adaptive"`:
            as high as the discriminator overfits (ADA, arXiv:2006.06676). Then it is
            saved with the model, and logged.
        attention: height of the hidden maps, half the images' or less, after which
            both networks have self-attention (arXiv:1805.08318), or None. For
            `"dcgan"` and `"resnet"`.
        minibatch_stddev: whether the discriminator sees how much the images of a group
            of four differ (arXiv:1710.10196, section 3). For `"dcgan"` and `"resnet"`;
            that of `"stylegan"` always does.
        ema: decay of a moving average of the generator's weights, which then makes
            the samples, or None. It is `min(ema, (1 + t) / (10 + t))` in step t, so
            that the initial weights are soon forgotten.
        widths: layer widths from latents to images; the discriminator mirrors them,
            but see `kzoo.networks.resnet`. Defaults to `(128, 256, 512)` for `"mlp"`,
            and to `dcgan_widths`, `resnet_widths` or `stylegan_widths`: for 28 pixels
            `(256, 128)`, `(256, 256, 256)` or `(64, 32, 16)`.
        num_classes: number of labels to condition both networks on, or None.
        conditioning: on labels: by `"concatenation"` with latents and images, or, for
            `"dcgan"` and `"resnet"`, by `"projection"` (arXiv:1802.05637): conditional
            batch normalisation, and an inner product of features and embedded label.
            `"stylegan"` has a way of its own: its mapping takes an embedding beside the
            latents, its discriminator an inner product.
        generator: your own `keras.Model` from latents, or `[latents, labels]`, to
            images in [0, 1]: it ends in a sigmoid, say.
        discriminator: your own `keras.Model` from images in [0, 1], or
            `[images, labels]`, to one logit, `(batch, 1)`, without a sigmoid.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.GAN(image_shape=(8, 8, 1), latent_dim=32)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    architectures = ARCHITECTURES

    def __init__(
        self,
        image_shape,
        latent_dim=100,
        architecture="mlp",
        loss="non_saturating",
        discriminator_steps=1,
        penalty=None,
        penalty_weight=10.0,
        penalty_every=1,
        weight_clip=None,
        dropout=None,
        normalization="auto",
        augmentation=None,
        augmentation_probability=1.0,
        attention=None,
        minibatch_stddev=False,
        ema=None,
        widths=None,
        num_classes=None,
        conditioning="concatenation",
        generator=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, self.architectures)
        self.architecture = architecture
        if widths is None:
            widths = self.architectures[architecture][2](self.image_shape)
        self.widths = check_widths(widths)
        self.loss_name = checks.one_of("loss", loss, losses.ADVERSARIAL)
        self.game = losses.ADVERSARIAL[loss]()
        self.discriminator_steps = checks.positive_int(
            "discriminator_steps", discriminator_steps
        )
        self.penalty = checks.some_of("penalty", penalty, PENALTIES)
        self.lecam = LeCam() if "lecam" in self.penalty else None
        self.penalty_weight = penalty_weight
        self.penalty_every = checks.positive_int("penalty_every", penalty_every)
        self.weight_clip, self.dropout, self.ema = weight_clip, dropout, ema
        self.normalization, self.attention = normalization, attention
        self.minibatch_stddev = minibatch_stddev
        self.augmentation = checks.some_of("augmentation", augmentation, AUGMENTATIONS)
        self.augmentation_probability = augmentation_probability
        self.conditioning = check_conditioning(
            conditioning, architecture, self.num_classes
        )
        self.settle_defaults()
        check_compatible(self)
        self.augmenter = Augmentation(self.augmentation, augmentation_probability)

        self.add_networks(generator, discriminator)
        logs = ["augmentation_probability"] if self.augmenter.adaptive else []
        self.watch("discriminator_loss", "generator_loss", *self.penalty, *logs)
        self.built = True

    def add_networks(self, generator, discriminator):
        build_generator, build_discriminator, _ = self.architectures[self.architecture]
        of_generator, of_discriminator = self.network_settings()
        build = functools.partial(build_generator, **of_generator)
        self.add_network(
            "generator", generator, build, (self.latent_dim,), self.image_shape
        )
        build = functools.partial(build_discriminator, **of_discriminator)
        self.add_discriminator(discriminator, build)
        built = {"generator", "discriminator"} - set(self.own_networks)
        for name in built:
            check_attention(self.attention, getattr(self, name), self.image_shape)
        if self.ema is not None:
            self.ema_generator = keras.models.clone_model(self.generator)
            self.ema_generator.set_weights(self.generator.get_weights())
            self.ema_generator.trainable = False

    def settle_defaults(self):
        """What depends on the architecture and was left open."""
        if self.normalization == "auto":
            self.normalization = "batch" if self.architecture in WITH_OPTIONS else None
        checks.one_of("normalization", self.normalization, NORMALIZATIONS)
        if self.dropout is None:
            self.dropout = 0.3 if self.architecture == "mlp" else 0.0

    def network_settings(self):
        """What the generator's and the discriminator's builder take beside sizes."""
        if self.architecture == "mlp":
            return {}, {"dropout": self.dropout, "normalization": self.normalization}
        if self.architecture == "stylegan":
            return {}, {}
        both = {"conditioning": self.conditioning, "attention": self.attention}
        of_discriminator = {
            "normalization": self.normalization,
            "minibatch_stddev": self.minibatch_stddev,
        }
        return both, {**of_discriminator, **both}

    def add_discriminator(self, own, build):
        self.add_network("discriminator", own, build, self.image_shape, (1,))

    def default_optimizer(self):
        # DCGAN's settings; on the MLP they work as well. StyleGAN's weights, which are
        # scaled in use, move as far at ten times the rate.
        rate = 2e-3 if self.architecture == "stylegan" else 2e-4
        return {
            "discriminator": keras.optimizers.Adam(rate, beta_1=0.5),
            "generator": keras.optimizers.Adam(rate, beta_1=0.5),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        for _ in range(self.discriminator_steps):
            logs = self.minimize(
                self.discriminator_loss, images, labels, over="discriminator"
            )
            self.clip_discriminator()
        logs |= self.minimize(self.generator_loss, images, labels, over="generator")
        self.average_generator()
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.discriminator_loss(images, labels, training=False)
        logs |= self.generator_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def discriminator_loss(self, images, labels=None, training=True):
        fakes = ops.stop_gradient(self.fakes_like(images, labels, training))
        images, fakes = (self.augmented(x, training) for x in (images, fakes))
        real = self.logits(images, labels, training)
        fake = self.logits(fakes, labels, training)
        penalties = self.penalties(images, fakes, labels, training)
        loss = self.game.discriminator(real, fake)
        loss = loss + self.penalty_weight * sum(penalties.values())
        adapted = self.adapt_augmentation(real, training)
        return loss, {"discriminator_loss": loss, **penalties, **adapted}

    def penalties(self, images, fakes, labels, training):
        """`{name: penalty}`; 0 in the steps that `penalty_every` leaves out."""

        def discriminate(x):
            return self.logits(x, labels, training)

        def measured(factor=1):
            measures = [
                self.lecam.measure if name == "lecam" else PENALTIES[name]
                for name in self.penalty
            ]
            arguments = discriminate, images, fakes, self.noise
            return [factor * measure(*arguments) for measure in measures]

        if not training or self.penalty_every == 1:
            return dict(zip(self.penalty, measured(), strict=True))
        step = self.optimizer.members["discriminator"].iterations
        values = ops.cond(
            ops.equal(ops.mod(step, self.penalty_every), 0),
            lambda: measured(self.penalty_every),
            lambda: [ops.zeros(()) for _ in self.penalty],
        )
        return dict(zip(self.penalty, values, strict=True))

    def adapt_augmentation(self, real, training):
        """The logs of adapting to the logits of real images; none if it is fixed."""
        if not self.augmenter.adaptive:
            return {}
        if training:
            self.augmenter.adapt(real)
        probability = ops.convert_to_tensor(self.augmenter.probability)
        return {"augmentation_probability": probability}

    def clip_discriminator(self):
        """Wasserstein GAN, arXiv:1701.07875, algorithm 1, line 7."""
        if self.weight_clip is not None:
            for weight in self.discriminator.trainable_variables:
                weight.assign(ops.clip(weight, -self.weight_clip, self.weight_clip))

    def average_generator(self):
        if self.ema is None:
            return
        step = ops.cast(self.optimizer.members["generator"].iterations, "float32")
        decay = ops.minimum(self.ema, (1 + step) / (10 + step))
        for mean, weight in zip(
            self.ema_generator.weights, self.generator.weights, strict=True
        ):
            mean.assign(decay * mean + (1 - decay) * weight)

    def generator_loss(self, images, labels=None, training=True):
        fakes = self.augmented(self.fakes_like(images, labels, training), training)
        fake, real = self.logits(fakes, labels, training), None
        if self.game.relativistic:
            real = self.logits(self.augmented(images, training), labels, training)
        loss = self.game.generator(real, fake)
        return loss, {"generator_loss": loss}

    def augmented(self, images, training):
        if not training:
            return images
        draw = functools.partial(self.noise, draw=backend.uniform)
        return self.augmenter.augment(images, draw)

    def fakes_like(self, images, labels, training):
        """As many fresh fakes as there are images, of the same labels."""
        return self.fakes(self.latents_like(images), labels, training)

    def latents_like(self, images):
        return self.prior(self.noise((ops.shape(images)[0], self.latent_dim)))

    def fakes(self, latents, labels, training):
        fakes = self.generator(self.given(latents, labels), training=training)
        return ops.cast(fakes, "float32")

    def logits(self, images, labels, training):
        """The discriminator's score `(batch, 1)`: large for real, in float32."""
        logits = self.discriminator(self.given(images, labels), training=training)
        return ops.cast(logits, "float32")

    def call(self, inputs, training=False):
        latents, labels = inputs if self.num_classes else (inputs, None)
        return self.generate_batch(latents, labels)

    def generate_batch(self, latents, labels=None):
        generator = self.generator if self.ema is None else self.ema_generator
        images = generator(self.given(latents, labels), training=False)
        images = ops.cast(images, "float32")
        # Unbounded, so that the discriminator's slope does not end in training.
        return ops.clip(images, 0.0, 1.0) if self.architecture == "stylegan" else images

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture,
            "loss": self.loss_name,
            "discriminator_steps": self.discriminator_steps,
            "penalty": self.penalty,
            "penalty_weight": self.penalty_weight,
            "penalty_every": self.penalty_every,
            "weight_clip": self.weight_clip,
            "dropout": self.dropout,
            "normalization": self.normalization,
            "augmentation": self.augmentation,
            "augmentation_probability": self.augmentation_probability,
            "attention": self.attention,
            "minibatch_stddev": self.minibatch_stddev,
            "ema": self.ema,
            "widths": self.widths,
            "conditioning": self.conditioning,
        }


def check_compatible(gan):
    """Raises a `ValueError` for an argument that another one leaves without sense."""
    for wrong, argument, expected in (
        *clashes_of_training(gan),
        *clashes_of_networks(gan),
    ):
        if wrong:
            raise ValueError(
                f"Expected {argument} to be {expected}. "
                f"Received: {argument}={getattr(gan, argument)!r}."
            )


def clashes_of_training(gan):
    """Triples `(whether there is one, argument, what it is expected to be)`."""
    probability = gan.augmentation_probability
    adaptive = probability == "adaptive"
    slope = [name for name in gan.penalty if name in SLOPE_PENALTIES]
    return (
        (slope and gan.weight_clip, "weight_clip", f"None beside penalty={slope}"),
        (gan.penalty_every > 1 and gan.lecam, "penalty_every", "1 for 'lecam'"),
        (
            not adaptive and not 0 <= probability <= 1,
            "augmentation_probability",
            "'adaptive' or a number from 0 to 1",
        ),
        (
            probability != 1 and not gan.augmentation,
            "augmentation_probability",
            "1, or an augmentation",
        ),
    )


def DCGAN(image_shape, latent_dim=100, **kwargs):
    """Deep convolutional GAN (Radford et al., arXiv:1511.06434).

    `GAN` with strided convolutions, batch normalisation, weights drawn from
    N(0, 0.02²), and Adam at 2e-4 with beta_1 = 0.5. Differs from the paper: 4x4
    kernels, as in the authors' code, and as many layers as the size allows.

    Args:
        image_shape: `(height, width, channels)`, with even sides.
        latent_dim: number of latents.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.DCGAN(image_shape=(28, 28, 1))
    >>> model.compile()
    """
    return GAN(image_shape, latent_dim, architecture="dcgan", **kwargs)
