"""What a discriminator sees of the whole batch."""

import keras
from keras import ops

from kzoo import checks


@keras.saving.register_keras_serializable("kzoo")
class MinibatchStandardDeviation(keras.layers.Layer):
    """Appends how much the images of a group differ, as one more channel.

    Karras et al., arXiv:1710.10196, section 3: the standard deviation over the group
    of each feature at each place, averaged to one number. A discriminator that sees it
    asks for variety.

    The batch is dealt into the fewest groups of at most `group_size`, as even as they
    can be: image i is in group i modulo their number. A batch of 5 in groups of up to 4
    makes one of 3 and one of 2, a batch of 1 a group whose number is about 0. Where the
    batch size is not known when the layer is traced or exported, the groups are formed
    when it runs.

    Args:
        group_size: largest number of images in a group.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        A tensor of shape `(batch, height, width, channels + 1)`.

    Example:

    >>> x = MinibatchStandardDeviation()(x)
    """

    def __init__(self, group_size=4, **kwargs):
        super().__init__(**kwargs)
        self.group_size = checks.positive_int("group_size", group_size)
        self.built = True  # it has no weights

    def call(self, inputs):
        n = ops.shape(inputs)[0]
        groups = (n + self.group_size - 1) // self.group_size
        statistic = self.deviation(ops.cast(inputs, "float32"), n, groups)
        statistic = ops.tile(statistic, self.group_size)[:n, None, None, None]
        channel = ops.zeros_like(inputs[..., :1]) + ops.cast(statistic, inputs.dtype)
        return ops.concatenate([inputs, channel], axis=-1)

    def deviation(self, x, n, groups):
        """The number of each group, `(groups,)`; places that no image takes are 0."""
        shape, places = x.shape[1:], self.group_size * groups
        x = ops.concatenate([x, ops.zeros((places - n, *shape))])
        x = ops.reshape(x, (self.group_size, groups, *shape))
        taken = ops.cast(ops.arange(places) < n, "float32")
        taken = ops.reshape(taken, (self.group_size, groups, 1, 1, 1))
        count = ops.sum(taken, axis=0)
        mean = ops.sum(x, axis=0) / count
        variance = ops.sum(taken * ops.square(x - mean), axis=0) / count
        return ops.mean(ops.sqrt(variance + 1e-8), axis=(1, 2, 3))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}
