"""Penalties on a discriminator, most of them on its slope, one number a batch.

Each is called with `discriminate`, a function from images `(batch, h, w, c)` to logits
`(batch, 1)`; real and fake images; and `draw(shape, distribution)`, random numbers.
"""

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.parts.augmentations import translation


class Penalty(keras.layers.Layer):
    """What is added to a discriminator's loss, `weight` times as heavy.

    A layer, as some have weights. One of your own is a subclass with `log` and
    `measure`, registered by `keras.saving.register_keras_serializable()`.

    Args:
        weight: what the penalty is multiplied by.
        every: steps of the discriminator from one with the penalty to the next, where
            it is `every` times as heavy (lazy regularisation, Karras et al.,
            arXiv:1912.04958, appendix B).
    """

    log = None  # its name in the logs, where it stands unweighted
    on_slope = True  # of the discriminator, which clipped weights bound already

    def __init__(self, weight=10.0, every=1):
        super().__init__(dtype="float32")
        self.weight = checks.number("weight", weight, least=0)
        self.every = checks.positive_int("every", every)
        self.built = True

    def measure(self, discriminate, real, fake, draw):
        """The penalty, a scalar, before its weight."""
        raise NotImplementedError

    def scheduled(self, measure, step):
        """`measure()` in every `every`-th step, that many times as heavy, else 0."""
        if self.every == 1:
            return measure()
        return ops.cond(
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
    """slope² / 2 at real images. Mescheder et al., arXiv:1801.04406, equation 9."""

    log = "r1"

    def measure(self, discriminate, real, fake, draw):
        return 0.5 * ops.mean(squared_slope(discriminate, real))


@keras.saving.register_keras_serializable("kzoo")
class R2(Penalty):
    """slope² / 2 at fake images. Mescheder et al., arXiv:1801.04406, equation 10."""

    log = "r2"

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
    """(D(real) - mean D(fake))² + (D(fake) - mean D(real))² by means of the past.

    Tseng et al., arXiv:2104.03310, section 3.2: the means, its anchors, are moving
    averages with a decay of 0.99. They start at 0 and are saved with the model.

    Args:
        weight: what the penalty is multiplied by. It has no `every`, as the averages
            take a step with each of the discriminator's.
    """

    log, on_slope = "lecam", False

    def __init__(self, weight=10.0):
        super().__init__(weight)
        self.real, self.fake = (
            self.add_weight((), "zeros", trainable=False, name=name)
            for name in ("real", "fake")
        )

    def measure(self, discriminate, real, fake, draw):
        """The penalty; the averages then take a step."""
        real, fake = discriminate(real), discriminate(fake)
        far = ops.square(real - self.fake) + ops.square(fake - self.real)
        for mean, logits in (self.real, real), (self.fake, fake):
            new = backend.replica_mean(ops.mean(ops.stop_gradient(logits)))
            mean.assign(0.99 * mean + 0.01 * new)
        return ops.mean(far)


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
