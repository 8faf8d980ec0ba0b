"""Generative adversarial network: Goodfellow et al., arXiv:1406.2661.

A generator maps latents to images, a discriminator tells them from real ones. Differs
from the paper: Adam instead of momentum, leaky ReLU instead of maxout. DCGAN (Radford
et al., arXiv:1511.06434) is a GAN of convolutions.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.base import GenerativeModel
from kzoo.networks.architectures import GAN_NETWORKS
from kzoo.networks.blocks import GANNetworks
from kzoo.parts.augmentations import augmentation as augmentation_of
from kzoo.parts.augmentations import repeatable
from kzoo.parts.losses import LOSSES, AdversarialLoss
from kzoo.parts.penalties import PENALTIES, Penalty


@keras.saving.register_keras_serializable("kzoo")
class GAN(GenerativeModel):
    """Generative adversarial network (arXiv:1406.2661): sharp samples, no density.

    Logs `discriminator_loss` and `generator_loss`. The discriminator takes its steps on
    the batch that the generator's step then sees, each with fresh latents.

    What it is put together from is a name, or an object with settings:

    >>> GAN((32, 32, 3), loss="hinge", penalty=R1(weight=1.0, every=16))

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: of both networks: `"mlp"`, `"dcgan"`, which doubles the sides once
            for each width, or, once for each but the first, `"resnet"` (SNGAN's,
            arXiv:1802.05957) or `"stylegan"` (StyleGAN2's, arXiv:1912.04958, without
            noise and mixing; its samples are clipped to [0, 1]); or an object of
            `kzoo.networks`, such as `DCGANNetworks((256, 128), attention=16)`.
        loss: `"non_saturating"`, `"minimax"`, `"least_squares"`, `"wasserstein"`,
            `"hinge"`, `"relativistic_pairing"` or `"relativistic_average"`; or an
            object of `kzoo.parts.losses`.
        discriminator_steps: steps of the discriminator for each of the generator.
        penalty: on the discriminator, one or a list, each logged. On its slope:
            `"gradient_penalty"`, `"one_sided_gradient_penalty"`, `"dragan"`, `"r1"`,
            `"r2"`. On its logits: `"consistency"` under shifts of the real images,
            `"lecam"`. A name has its part's default weight, such as 2.5 of `"r1"`; an
            object of `kzoo.parts.penalties` has its own: `R1(weight=1.0, every=16)`.
        augmentation: of the real and fake images that the discriminator sees, a name
            or several, in order: `"color"`, `"translation"`, `"cutout"` (DiffAugment,
            arXiv:2006.10738, for data sets of a few thousand images or less), `"flip"`;
            or an object: `DiffAugment("color", probability=0.5)`, or
            `Adaptive("color", "cutout")`, as probable as the discriminator overfits
            (ADA, arXiv:2006.06676).
        weight_clip: largest absolute value of the discriminator's weights, or None.
        ema: decay of a moving average of the generator's weights, which then makes
            the samples, or None. It is `min(ema, (1 + t) / (10 + t))` in step t, so
            that the initial weights are soon forgotten.
        num_classes: number of labels to condition both networks on, or None.
        generator: your own `keras.Model` from latents, or `[latents, labels]`, to
            images in [0, 1]: it ends in a sigmoid, say. Where nothing bounds them,
            samples are clipped; one that ends in a tanh is refused.
        discriminator: your own `keras.Model` from images in [0, 1], or
            `[images, labels]`, to one logit, `(batch, 1)`, without a sigmoid.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.GAN(image_shape=(8, 8, 1), latent_dim=32)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.sample(16).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=100,
        architecture="mlp",
        loss="non_saturating",
        discriminator_steps=1,
        penalty=None,
        augmentation=None,
        weight_clip=None,
        ema=None,
        num_classes=None,
        generator=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, GANNetworks, GAN_NETWORKS
        )
        self.loss = config.part("loss", loss, AdversarialLoss, LOSSES)
        self.discriminator_steps = checks.positive_int(
            "discriminator_steps", discriminator_steps
        )
        self.penalty = config.parts("penalty", penalty, Penalty, PENALTIES)
        self.augmentation = augmentation_of(augmentation)
        self.weight_clip, self.ema = weight_clip, ema
        if weight_clip is not None:
            self.weight_clip = checks.number("weight_clip", weight_clip, above=0)
        if ema is not None:
            self.ema = checks.number("ema", ema, least=0, below=1)
        check_penalties(self.penalty, weight_clip)
        self.add_generator(generator)
        self.add_discriminator(discriminator)
        self.watch("discriminator_loss", "generator_loss", *self.further_logs())
        self.built = True

    def add_generator(self, own):
        self.add_network(
            "generator",
            own,
            lambda: self.architecture.generator(
                self.image_shape, self.latent_dim, self.num_classes
            ),
            (self.latent_dim,),
            self.image_shape,
            self.num_classes,
            "images",
        )
        if self.ema is not None:
            self.ema_generator = keras.models.clone_model(self.generator)
            self.ema_generator.set_weights(self.generator.get_weights())
            self.ema_generator.trainable = False

    def add_discriminator(self, own):
        self.add_network(
            "discriminator",
            own,
            lambda: self.architecture.discriminator(self.image_shape, self.num_classes),
            self.image_shape,
            (1,),
            self.num_classes,
            self.loss.kind,
        )

    def further_logs(self):
        """Names of the logs beside the two losses."""
        logs = [penalty.log for penalty in self.penalty]
        if self.augmentation.adaptive:
            logs.append("augmentation_probability")
        return logs

    def default_optimizer(self):
        # DCGAN's settings; on the MLP they work as well.
        rate = self.architecture.learning_rate
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
        latents = self.latents_like(images, labels)
        fakes = ops.stop_gradient(self.fakes(latents, labels, training))
        augment = {x: self.random_augmentation(training) for x in ("real", "fake")}
        augmented = augment["real"](images), augment["fake"](fakes)
        (real, *real_heads), (fake, *fake_heads) = (
            self.judged(x, labels, training) for x in augmented
        )
        further, logs = self.head_loss(real_heads, fake_heads, latents, labels)
        plain = images, fakes
        penalties = self.penalties(plain, augmented, augment, labels, training)
        loss = self.loss.discriminator(real, fake) + further
        for penalty in self.penalty:
            loss = loss + penalty.weight * penalties[penalty.log]
        adapted = self.adapt_augmentation(real, training)
        return loss, {"discriminator_loss": loss, **logs, **penalties, **adapted}

    def generator_loss(self, images, labels=None, training=True):
        latents = self.latents_like(images, labels)
        fakes = self.fakes(latents, labels, training)
        fakes = self.random_augmentation(training)(fakes)
        fake, *heads = self.judged(fakes, labels, training)
        real = None
        if self.loss.relativistic:
            images = self.random_augmentation(training)(images)
            real = self.logits(images, labels, training)
        further, _ = self.head_loss([], heads, latents, labels)
        loss = self.loss.generator(real, fake) + further
        return loss, {"generator_loss": loss}

    def head_loss(self, real, fake, latents, labels):
        """What further outputs of the discriminator add to a loss, and their logs.

        Args:
            real, fake: the outputs beside the logit, for real and fake images; the
                generator's loss has none for real ones.
            latents, labels: of the fake images.
        """
        return 0.0, {}

    def penalties(self, plain, augmented, augment, labels, training):
        """`{name: penalty}`, unweighted; 0 in the steps that it leaves out.

        Args:
            plain, augmented: real and fake images, before and after augmentation.
            augment: `{"real", "fake"}`, the functions from one to the other.
            labels, training: as for `discriminator_loss`.
        """

        def discriminate(x):
            return self.logits(x, labels, training)

        def measured(penalty):
            function, pair = discriminate, augmented
            if penalty.on_slope:  # by images before augmentation, as ADA's code has it
                same = augment[penalty.images]
                function, pair = lambda x: discriminate(same(x)), plain
            measure = penalty.measure if training else penalty.evaluate
            measure = functools.partial(measure, function, *pair, self.noise)
            if not training:
                return measure()
            step = self.optimizer.members["discriminator"].iterations
            return penalty.scheduled(measure, step)

        return {penalty.log: measured(penalty) for penalty in self.penalty}

    def adapt_augmentation(self, real, training):
        """The logs of adapting to the logits of real images; none if it is fixed."""
        if not self.augmentation.adaptive:
            return {}
        if training:
            self.augmentation.adapt(real)
        probability = ops.convert_to_tensor(self.augmentation.probability)
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

    def random_augmentation(self, training):
        """A function of images that augments them, each time by the same numbers."""
        if not training:
            return lambda images: images
        draw = functools.partial(self.noise, draw=backend.uniform)
        return repeatable(self.augmentation.augment, draw)

    def fakes(self, latents, labels, training):
        fakes = self.generator(self.given(latents, labels), training=training)
        return ops.cast(fakes, "float32")

    def judged(self, images, labels, training):
        """The discriminator's outputs in float32; the first are the logits."""
        outputs = self.discriminator(self.given(images, labels), training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return [ops.cast(output, "float32") for output in outputs]

    def logits(self, images, labels, training):
        """The discriminator's score `(batch, 1)`: large for real."""
        return self.judged(images, labels, training)[0]

    def call(self, inputs, training=False):
        latents, labels = inputs if self.num_classes else (inputs, None)
        return self.generate_batch(latents, labels)

    def generate_batch(self, latents, labels=None):
        generator = self.generator if self.ema is None else self.ema_generator
        images = generator(self.given(latents, labels), training=False)
        images = ops.cast(images, "float32")
        # The discriminator judges what is not clipped, so that gradients reach it all.
        return ops.clip(images, 0.0, 1.0)


def check_penalties(penalties, weight_clip):
    """Raises a `ValueError` for two of a kind, or if clipped weights bound a slope."""
    logs = [penalty.log for penalty in penalties]
    if len(set(logs)) < len(logs):
        raise ValueError(
            f"Expected each penalty once, as its name is that of its log. Received: "
            f"penalty={logs}. Leave one out, or change its weight."
        )
    on_slope = [penalty.log for penalty in penalties if penalty.on_slope]
    if on_slope and weight_clip:
        raise ValueError(
            f"Expected weight_clip to be None beside penalty={on_slope}, as both bound "
            f"the discriminator's slope. Received: weight_clip={weight_clip!r}."
        )


def DCGAN(image_shape, latent_dim=100, architecture="dcgan", name="DCGAN", **kwargs):
    """Deep convolutional GAN (Radford et al., arXiv:1511.06434).

    `GAN` with strided convolutions, batch normalisation, weights drawn from
    N(0, 0.02²), and Adam at 2e-4 with beta_1 = 0.5. Differs from the paper: 4x4
    kernels, as in the code of its last author (soumith/dcgan.torch), where the first
    author's has 5x5 (Newmu/dcgan_code); and as many layers as the size allows.

    Args:
        image_shape: `(height, width, channels)`, with even sides.
        latent_dim: number of latents.
        architecture: as in `GAN`, such as `DCGANNetworks((64, 32))`.
        name: what reports call it.
        **kwargs: any other argument of `GAN`.

    Example:

    >>> model = kzoo.models.DCGAN(image_shape=(28, 28, 1))
    >>> model.compile()
    """
    return GAN(image_shape, latent_dim, architecture, name=name, **kwargs)
