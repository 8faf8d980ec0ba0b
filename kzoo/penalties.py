"""Penalties on a discriminator, most of them on its slope, one number a batch.

Each takes `discriminate`, a function from images `(batch, h, w, c)` to logits
`(batch, 1)`; real and fake images; and `draw(shape, distribution)`, random numbers.
"""

import keras
from keras import ops

from kzoo import backend
from kzoo.augmentations import translation


def squared_slope(discriminate, images):
    """Squared norm of the gradient of each logit by its image: `(batch,)`."""
    gradient = ops.cast(backend.input_gradient(discriminate, images), "float32")
    return ops.sum(ops.square(gradient), axis=(1, 2, 3))


def gradient_penalty(discriminate, real, fake, draw):
    """(slope - 1)² between real and fake. Gulrajani et al., arXiv:1704.00028, eq. 3."""
    return ops.mean(ops.square(_slope_between(discriminate, real, fake, draw) - 1))


def one_sided_gradient_penalty(discriminate, real, fake, draw):
    """max(0, slope - 1)² between real and fake. arXiv:1704.00028, section 4."""
    excess = ops.relu(_slope_between(discriminate, real, fake, draw) - 1)
    return ops.mean(ops.square(excess))


def dragan(discriminate, real, fake, draw):
    """(slope - 1)² around real images. Kodali et al., arXiv:1705.07215, section 2.3.

    Noise: uniform, half a standard deviation of the batch wide, as in the paper's code.
    """
    noise = 0.5 * ops.std(real) * draw(ops.shape(real), backend.uniform)
    slope = ops.sqrt(squared_slope(discriminate, real + noise) + 1e-12)
    return ops.mean(ops.square(slope - 1))


def r1(discriminate, real, fake, draw):
    """slope² / 2 at real images. Mescheder et al., arXiv:1801.04406, equation 9."""
    return 0.5 * ops.mean(squared_slope(discriminate, real))


def r2(discriminate, real, fake, draw):
    """slope² / 2 at fake images. Mescheder et al., arXiv:1801.04406, equation 10."""
    return 0.5 * ops.mean(squared_slope(discriminate, fake))


def consistency(discriminate, real, fake, draw):
    """(D(real) - D(moved real))², moved by up to an eighth of the sides.

    Zhang et al., arXiv:1910.12027, equation 3, on the logit. The paper also mirrors
    images, which not all kinds bear.
    """

    def uniform(shape):
        return draw(shape, backend.uniform)

    difference = discriminate(real) - discriminate(translation(real, uniform))
    return ops.mean(ops.square(difference))


class LeCam(keras.layers.Layer):
    """(D(real) - mean D(fake))² + (D(fake) - mean D(real))² by means of the past.

    Tseng et al., arXiv:2104.03310, section 3.2: the means, its anchors, are moving
    averages with a decay of 0.99. They start at 0 and are saved with the model.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.real, self.fake = (
            self.add_weight((), "zeros", trainable=False, name=name)
            for name in ("real", "fake")
        )
        self.built = True

    def measure(self, discriminate, real, fake, draw):
        """The penalty; the averages then take a step."""
        real, fake = discriminate(real), discriminate(fake)
        far = ops.square(real - self.fake) + ops.square(fake - self.real)
        for mean, logits in (self.real, real), (self.fake, fake):
            new = backend.replica_mean(ops.mean(ops.stop_gradient(logits)))
            mean.assign(0.99 * mean + 0.01 * new)
        return ops.mean(far)


SLOPE_PENALTIES = {
    "dragan": dragan,
    "gradient_penalty": gradient_penalty,
    "one_sided_gradient_penalty": one_sided_gradient_penalty,
    "r1": r1,
    "r2": r2,
}
PENALTIES = SLOPE_PENALTIES | {"consistency": consistency, "lecam": LeCam}


def _slope_between(discriminate, real, fake, draw):
    mix = draw((ops.shape(real)[0], 1, 1, 1), backend.uniform)
    between = mix * real + (1 - mix) * fake
    # The root has no slope at 0, where all images look alike to the discriminator.
    return ops.sqrt(squared_slope(discriminate, between) + 1e-12)
