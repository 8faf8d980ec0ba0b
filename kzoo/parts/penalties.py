"""Penalties on a discriminator, most of them on its slope, one number a batch.

Each is called with `discriminate`, a function from images `(batch, h, w, c)` to logits
`(batch, 1)`; real and fake images; and `draw(shape, distribution)`, random numbers.
"""

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.parts.augmentations import translation


class Penalty(config.Settable, keras.layers.Layer):
    """What is added to a discriminator's loss, `weight` times as heavy.

    A layer, as some have weights. One of your own is a subclass with `log` and
    `measure`, registered by `keras.saving.register_keras_serializable()`. Slopes are by
    images in [0, 1], twice those by images in [-1, 1], as most papers have them.

    Where a model augments images, a penalty `on_slope` gets them before: `discriminate`
    repeats the random augmentation that the logits of `images` are of. Others get
    augmented images.

    Args:
        weight: what the penalty is multiplied by.
        every: steps of the discriminator from one with the penalty to the next, where
            it is `every` times as heavy (lazy regularisation, Karras et al.,
            arXiv:1912.04958, appendix B).
    """

    log = None  # its name in the logs, where it stands unweighted
    on_slope = True  # of the discriminator, which clipped weights bound already
    images = "real"  # or "fake": whose augmentation `discriminate` repeats

    def __init__(self, weight=10.0, every=1):
        super().__init__(dtype="float32")
        self.weight = checks.number("weight", weight, least=0)
        self.every = checks.positive_int("every", every)
        self.built = True

    def measure(self, discriminate, real, fake, draw):
        """The penalty, a scalar, before its weight."""
        raise NotImplementedError

    def evaluate(self, discriminate, real, fake, draw):
        """`measure` outside training, where no weight of the penalty moves."""
        return self.measure(discriminate, real, fake, draw)

    def scheduled(self, measure, step):
        """`measure()` in every `every`-th step, that many times as heavy, else 0."""
        if self.every == 1:
            return measure()
        return backend.cond(
            ops.equal(ops.mod(step, self.every), 0),
            lambda: self.every * measure(),
            lambda: ops.zeros(()),
        )

    def get_config(self):
        return config.arguments(self)


@keras.saving.register_keras_serializable("kzoo")
class GradientPenalty(Penalty):
    """(slope - 1)² between real and fake. Gulrajani et al., arXiv:1704.00028, eq. 3."""

    log = "gradient_penalty"

    def measure(self, discriminate, real, fake, draw):
        slope = slope_between(discriminate, real, fake, draw)
        return ops.mean(ops.square(slope - 1))


@keras.saving.register_keras_serializable("kzoo")
class OneSidedGradientPenalty(Penalty):
    """max(0, slope - 1)² between real and fake. arXiv:1704.00028, section 4."""

    log = "one_sided_gradient_penalty"

    def measure(self, discriminate, real, fake, draw):
        slope = slope_between(discriminate, real, fake, draw)
        return ops.mean(ops.square(ops.relu(slope - 1)))


@keras.saving.register_keras_serializable("kzoo")
class DRAGAN(Penalty):
    """(slope - 1)² around real images. Kodali et al., arXiv:1705.07215, section 2.3.

    Noise: uniform, half a standard deviation of the batch wide, as in the paper's code.
    """

    log = "dragan"

    def measure(self, discriminate, real, fake, draw):
        noise = 0.5 * ops.std(real) * draw(ops.shape(real), backend.uniform)
        slope = ops.sqrt(squared_slope(discriminate, real + noise) + 1e-12)
        return ops.mean(ops.square(slope - 1))


@keras.saving.register_keras_serializable("kzoo")
class R1(Penalty):
    """slope² / 2 at real images. Mescheder et al., arXiv:1801.04406, equation 9.

    Args:
        weight: a quarter of the paper's gamma, as it has images in [-1, 1]; its gamma
            is 10. See `R2` for what others take.
        every: as in `Penalty`.
    """

    log = "r1"

    def __init__(self, weight=2.5, every=1):
        super().__init__(weight, every)

    def measure(self, discriminate, real, fake, draw):
        return 0.5 * ops.mean(squared_slope(discriminate, real))


@keras.saving.register_keras_serializable("kzoo")
class R2(Penalty):
    """slope² / 2 at fake images. Mescheder et al., arXiv:1801.04406, equation 10.

    Args:
        weight: a quarter of the paper's gamma, as in `R1`. The best one grows with the
            images' size: R3GAN has 0.0125 for 32 pixels, and 37.5 for 256.
        every: as in `Penalty`.
    """

    log, images = "r2", "fake"

    def __init__(self, weight=2.5, every=1):
        super().__init__(weight, every)

    def measure(self, discriminate, real, fake, draw):
        return 0.5 * ops.mean(squared_slope(discriminate, fake))


@keras.saving.register_keras_serializable("kzoo")
class Consistency(Penalty):
    """(D(real) - D(moved real))², moved by up to an eighth of the sides.

    Zhang et al., arXiv:1910.12027, equation 3, on the logit. The paper also mirrors
    images, which not all kinds bear.
    """

    log, on_slope = "consistency", False

    def measure(self, discriminate, real, fake, draw):
        def uniform(shape):
            return draw(shape, backend.uniform)

        difference = discriminate(real) - discriminate(translation(real, uniform))
        return ops.mean(ops.square(difference))


@keras.saving.register_keras_serializable("kzoo")
class LeCam(Penalty):
    """max(0, D(real) - mean D(fake))² + max(0, mean D(real) - D(fake))².

    Tseng et al., arXiv:2104.03310, section 3.2. The means, its anchors, are moving
    averages over the steps up to this one, with a decay of 0.99 and corrected for their
    start at 0. They are saved with the model. Differs from the paper, as its authors'
    code does (google/lecam-gan): the maxima with 0.

    Args:
        weight: what the penalty is multiplied by. The authors' code has 0.3 for BigGAN
            on CIFAR. It has no `every`, as the averages take a step with each of
            the discriminator's.
    """

    log, on_slope = "lecam", False

    def __init__(self, weight=0.3):
        super().__init__(weight)
        self.real, self.fake, self.seen = (
            self.add_weight((), "zeros", trainable=False, name=name)
            for name in ("real", "fake", "seen")
        )

    def measure(self, discriminate, real, fake, draw):
        """The penalty, after the averages have taken a step."""
        real, fake = discriminate(real), discriminate(fake)
        self.seen.assign(0.99 * self.seen + 0.01)  # 1 - 0.99^steps
        for mean, logits in (self.real, real), (self.fake, fake):
            new = backend.replica_mean(ops.mean(ops.stop_gradient(logits)))
            mean.assign(mean + 0.01 / self.seen * (new - mean))
        return self.distance(real, fake)

    def evaluate(self, discriminate, real, fake, draw):
        return self.distance(discriminate(real), discriminate(fake))

    def distance(self, real, fake):
        """The penalty by the present averages, a scalar."""
        above = ops.relu(real - self.fake), ops.relu(self.real - fake)
        return sum(ops.mean(ops.square(x)) for x in above)


def squared_slope(discriminate, images):
    """Squared norm of the gradient of each logit by its image: `(batch,)`."""
    gradient = ops.cast(backend.input_gradient(discriminate, images), "float32")
    return ops.sum(ops.square(gradient), axis=(1, 2, 3))


def slope_between(discriminate, real, fake, draw):
    """The slope at a random point between each real and a fake image: `(batch,)`."""
    mix = draw((ops.shape(real)[0], 1, 1, 1), backend.uniform)
    between = mix * real + (1 - mix) * fake
    # The root has no slope at 0, where all images look alike to the discriminator.
    return ops.sqrt(squared_slope(discriminate, between) + 1e-12)


PENALTIES = {
    penalty.log: penalty
    for penalty in (
        Consistency,
        DRAGAN,
        GradientPenalty,
        LeCam,
        OneSidedGradientPenalty,
        R1,
        R2,
    )
}
