"""Differentiable augmentation of real and fake images: Zhao et al., arXiv:2006.10738.

Each policy maps images `(batch, h, w, c)` in [0, 1] to such images, which may leave
the range, with other random numbers for each image. Made of sums and products alone,
they can be differentiated twice on every backend. `draw(shape)` gives uniform random
numbers in [0, 1). Brightness moves by a quarter of the range to either side, which the
paper's code does as half of its range of 2.
"""

from keras import ops


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


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


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
