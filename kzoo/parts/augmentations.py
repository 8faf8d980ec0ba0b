"""Differentiable augmentation of real and fake images: Zhao et al., arXiv:2006.10738.

Adaptive, it is that of Karras et al., arXiv:2006.06676, by the policies here. Each
policy maps images `(batch, h, w, c)` in [0, 1] to such images, which may leave the
range, with other random numbers for each image. Made of sums and products alone, they
can be differentiated twice on every backend. `draw(shape)` gives uniform random numbers
in [0, 1). Brightness moves by a quarter of the range to either side, which the paper's
code does as half of its range of 2.
"""

import keras
from keras import ops

from kzoo import backend, checks, config

ADA_TARGET = 0.6  # arXiv:2006.06676, section 3.1, as is what follows
ADA_INTERVAL = 4  # steps from one adjustment to the next
ADA_IMAGES = 500_000  # in which the probability can rise from 0 to 1


@keras.saving.register_keras_serializable("kzoo")
class DiffAugment(config.Settable, keras.layers.Layer):
    """Policies in order, each applied to an image with a probability.

    Args:
        *policies: `"color"`, `"cutout"`, `"flip"` (left to right; samples are then
            mirrored too, unless the probability stays below 1) or `"translation"`.
        probability: of each policy for each image, in [0, 1].

    Raises:
        ValueError: for an unknown policy, or a probability outside [0, 1].
    """

    adaptive = False

    def __init__(self, *policies, probability=1.0):
        super().__init__(dtype="float32")
        self.policies = checks.some_of("policy", policies, POLICIES)
        self.probability = checks.probability("probability", probability)
        if not policies and (self.adaptive or self.probability < 1):
            raise ValueError(
                "Expected at least one policy, such as 'color', to be applied. "
                f"Received: {type(self).__name__} without any."
            )
        self.built = True

    def augment(self, images, draw):
        """Images `(batch, h, w, c)`, some of them changed; `draw` as for a policy."""
        for name in self.policies:
            changed = POLICIES[name](images, draw)
            if self.adaptive or self.probability < 1:
                drawn = draw((ops.shape(images)[0], 1, 1, 1))
                chosen = ops.cast(drawn < self.probability, "float32")
                changed = chosen * changed + (1 - chosen) * images
            images = changed
        return images

    def adapt(self, logits):
        """Moves the probability, where it is adaptive."""

    def get_config(self):
        return {"policies": list(self.policies), "probability": self.probability}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        return cls(*config.pop("policies"), **config)


@keras.saving.register_keras_serializable("kzoo")
class Adaptive(DiffAugment):
    """ADA: as probable as the discriminator overfits (arXiv:2006.06676, section 3).

    The probability starts at 0, rises while the discriminator calls more than 80 % of
    the real images real, and falls otherwise. It is saved with the model, and logged.

    Args:
        *policies: as in `DiffAugment`.
    """

    adaptive = True

    def __init__(self, *policies):
        super().__init__(*policies)
        self.probability, self.signs, self.steps = (
            self.add_weight((), "zeros", trainable=False, name=name)
            for name in ("probability", "signs", "steps")
        )

    def adapt(self, logits):
        """Moves the probability, by the logits `(batch, 1)` of a step's real images.

        r_t, the mean of their signs over `ADA_INTERVAL` steps, says how much the
        discriminator overfits: equation 1 of arXiv:2006.06676.
        """
        logits = backend.whole_batch(ops.stop_gradient(logits))
        images = ops.cast(ops.shape(logits)[0], "float32")
        signs = self.signs + ops.mean(ops.sign(logits))
        due = ops.cast(ops.equal(self.steps, ADA_INTERVAL - 1), "float32")
        overfits = ops.sign(signs / ADA_INTERVAL - ADA_TARGET)
        move = due * overfits * ADA_INTERVAL * images / ADA_IMAGES
        self.probability.assign(ops.clip(self.probability + move, 0.0, 1.0))
        self.signs.assign((1 - due) * signs)
        self.steps.assign((1 - due) * (self.steps + 1))

    def get_config(self):
        return {"policies": list(self.policies)}


def color(images, draw):
    """Random brightness, saturation and contrast."""
    shape = (ops.shape(images)[0], 1, 1, 1)
    images = images + 0.5 * (draw(shape) - 0.5)
    grey = ops.mean(images, axis=-1, keepdims=True)
    images = grey + (images - grey) * (2 * draw(shape))
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * (0.5 + draw(shape))


def translation(images, draw, ratio=1 / 8):
    """Random shifts by up to an eighth of each side; what moves in is mid-grey."""
    _, height, width, _ = images.shape
    rows = _shift(height, ratio, ops.shape(images)[0], draw)
    columns = _shift(width, ratio, ops.shape(images)[0], draw)
    moved = ops.einsum("bij,bjwc->biwc", rows, images - 0.5)
    return ops.einsum("bij,bhjc->bhic", columns, moved) + 0.5


def cutout(images, draw, ratio=1 / 2):
    """A square of half the sides, anywhere on the image, becomes mid-grey."""
    _, height, width, _ = images.shape
    n = ops.shape(images)[0]
    rows = _inside(height, ratio, n, draw)[:, :, None, None]
    columns = _inside(width, ratio, n, draw)[:, None, :, None]
    return (images - 0.5) * (1 - rows * columns) + 0.5


def flip(images, draw):
    """Half of the images mirrored, left to right: arXiv:2006.06676, appendix B."""
    mirrored = ops.cast(draw((ops.shape(images)[0], 1, 1, 1)) < 0.5, "float32")
    return mirrored * ops.flip(images, axis=2) + (1 - mirrored) * images


def repeatable(augment, draw):
    """`augment(images, draw)` as a function of images, random at its first call alone.

    Any further call, on as many images, repeats the numbers of the first.
    """
    numbers = []

    def augmented(images):
        first, repeated = not numbers, iter(numbers)

        def number(shape):
            if first:
                numbers.append(draw(shape))
            return numbers[-1] if first else next(repeated)

        return augment(images, number)

    return augmented


POLICIES = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
    "flip": flip,
}


def _shift(side, ratio, n, draw):
    """Matrices `(n, side, side)` that move each by a random number of places."""
    most = int(side * ratio + 0.5)
    shifts = ops.floor(draw((n, 1, 1)) * (2 * most + 1)) - most
    places = ops.arange(side, dtype="float32")
    offsets = places[None, :, None] - places[None, None, :]
    return ops.cast(ops.equal(offsets, shifts), "float32")


def _inside(side, ratio, n, draw):
    """1 for the places inside a random interval, partly off the image: `(n, side)`."""
    size = int(side * ratio + 0.5)
    start = ops.floor(draw((n, 1)) * (side + 1 - size % 2)) - size // 2
    places = ops.arange(side, dtype="float32")[None]
    return ops.cast((places >= start) & (places < start + size), "float32")


def augmentation(given):
    """What a user passed as `augmentation`: names of policies, an object or None."""
    if isinstance(given, DiffAugment):
        return type(given).from_config(given.get_config())
    names = given if isinstance(given, str | list | tuple | None) else (given,)
    return DiffAugment(*checks.some_of("augmentation", names, POLICIES))
