"""The gated PixelCNN of a grid of codes: van den Oord et al., arXiv:1606.05328.

An autoregressive model (van den Oord et al., arXiv:1601.00759 and 1601.06759): the
probability of each code given those above it and those to its left. Two stacks of
convolutions see them without a blind spot: the vertical one all rows above, the
horizontal one what is to the left in the same row. Differs from the paper: instead of
masked kernels, the convolutions have kernels without the masked part, on shifted maps;
what is modelled are codes, not the levels of pixels; of labels, the whole grid gets the
same bias.
"""

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.layers import Conv2D


def gate(x):
    """tanh of one half of the channels times sigmoid of the other: equation 2."""
    values, gates = ops.split(x, 2, axis=-1)
    return ops.tanh(values) * ops.sigmoid(gates)


@keras.saving.register_keras_serializable("kzoo")
class GatedBlock(layers.Layer):
    """One layer of both stacks: figure 2 of arXiv:1606.05328.

    Args:
        width: channels of either stack.
        kernel_size: odd; how far the masked kernel would reach to all sides.
        first: whether it sees the codes themselves, so that no pixel may see itself
            (mask A, else B).
    """

    def __init__(self, width, kernel_size=3, first=False, **kwargs):
        super().__init__(**kwargs)
        self.width = checks.positive_int("width", width)
        self.kernel_size = checks.positive_int("kernel_size", kernel_size)
        self.first = first
        self.reach = kernel_size // 2
        own, dtype = self.reach + (not first), self.dtype_policy
        self.down = Conv2D(2 * width, (own, kernel_size), dtype=dtype)
        self.right = Conv2D(2 * width, (1, own), dtype=dtype)
        self.across = layers.Dense(2 * width, dtype=dtype)
        self.outwards = layers.Dense(width, dtype=dtype)
        self.down_label = layers.Dense(2 * width, use_bias=False, dtype=dtype)
        self.right_label = layers.Dense(2 * width, use_bias=False, dtype=dtype)
        self.built = True  # its layers are, when they are called

    def vertical(self, x, label=None):
        """The vertical stack, and what the horizontal one gets of it.

        Args:
            x: `(batch, height, width, channels)`.
            label: one-hot `(batch, 1, 1, num_classes)` or None.

        Returns:
            `(batch, height, width, self.width)`, and twice as many channels.
        """
        height, side = x.shape[1], self.kernel_size // 2
        x = ops.pad(x, [(0, 0), (self.reach, 0), (side, side), (0, 0)])
        x = self.down(x)[:, :height]
        x = x if label is None else x + self.down_label(label)
        return gate(x), self.across(x)

    def horizontal(self, x, across, label=None):
        """The horizontal stack, whose rows do not see each other: one or all of them.

        Args:
            x: `(batch, rows, width, channels)`.
            across: of the same rows, from `vertical`.
        """
        width = x.shape[2]
        before = ops.pad(x, [(0, 0), (0, 0), (self.reach, 0), (0, 0)])
        new = self.right(before)[:, :, :width] + across
        new = gate(new if label is None else new + self.right_label(label))
        new = self.outwards(new)
        return new if self.first else x + new

    def get_config(self):
        return {
            **super().get_config(),
            "width": self.width,
            "kernel_size": self.kernel_size,
            "first": self.first,
        }


@keras.saving.register_keras_serializable("kzoo")
class PixelCNN(layers.Layer):
    """A gated PixelCNN of codes (arXiv:1606.05328): their probabilities, and draws.

    Args:
        codes: number of codes.
        width: channels of either stack.
        blocks: gated layers of 3x3 that follow the first one, of 7x7.
        num_classes: number of labels to condition on, or None.

    Call arguments:
        inputs: codes, whole numbers `(batch, height, width)`, or `[codes, labels]`.

    Returns:
        Logits of every code's distribution given those before it, in the order of
        reading: `(batch, height, width, codes)`.

    Example:

    >>> logits = PixelCNN(codes=512)(codes)
    """

    def __init__(self, codes, width=128, blocks=5, num_classes=None, **kwargs):
        super().__init__(**kwargs)
        self.codes = checks.positive_int("codes", codes)
        self.width = checks.positive_int("width", width)
        self.blocks = checks.whole_number("blocks", blocks)
        self.num_classes, dtype = num_classes, self.dtype_policy
        if num_classes is not None:
            self.num_classes = checks.positive_int("num_classes", num_classes)
        self.embedding = layers.Dense(width, use_bias=False, dtype=dtype)
        self.stack = [GatedBlock(width, 7, first=True, dtype=dtype)]
        self.stack += [GatedBlock(width, dtype=dtype) for _ in range(blocks)]
        self.hidden = layers.Dense(width, activation="relu", dtype=dtype)
        self.logits = layers.Dense(codes, dtype="float32")
        self.built = True  # its layers are, when they are called

    def call(self, inputs):
        codes, labels = inputs if self.num_classes else (inputs, None)
        x, label = self.embedded(codes), self.one_hot(labels)
        return self.horizontal(x, self.vertical(x, label), label)

    def embedded(self, codes):
        # A product, as the gradient of a look-up is summed in no fixed order on a GPU.
        return self.embedding(ops.one_hot(ops.cast(codes, "int32"), self.codes))

    def one_hot(self, labels):
        if labels is None:
            return None
        one_hot = ops.one_hot(ops.cast(labels, "int32"), self.num_classes)
        return one_hot[:, None, None]

    def vertical(self, x, label):
        """What each block's horizontal part gets from above, in a list."""
        across = []
        for block in self.stack:
            x, from_above = block.vertical(x, label)
            across.append(from_above)
        return across

    def horizontal(self, x, across, label):
        for block, from_above in zip(self.stack, across, strict=True):
            x = block.horizontal(x, from_above, label)
        return self.logits(self.hidden(ops.relu(x)))

    def nats(self, codes, labels=None):
        """-log p(code | codes before it) of each code, `(batch, height, width)`."""
        logits = self(codes if labels is None else [codes, labels])
        entropy = keras.losses.sparse_categorical_crossentropy
        return entropy(codes, logits, from_logits=True)

    def draw(self, uniform, labels=None):
        """Draws codes one after the other, each given those before it.

        The vertical stack is run once a row, and for each pixel only its row of the
        horizontal one.

        Args:
            uniform: numbers from [0, 1], `(batch, height, width)`, one a code: the code
                where the cumulated probabilities first exceed it.
            labels: `(batch,)`, if the model has classes.

        Returns:
            Codes, int32 `(batch, height, width)`.
        """
        height, width = uniform.shape[1:]
        rows, columns = ops.arange(height)[:, None], ops.arange(width)
        label = self.one_hot(labels)

        def fill_row(i, codes):
            across = self.vertical(self.embedded(codes), label)
            *across, draws = (row(x, i) for x in (*across, uniform))

            def fill_pixel(j, line):
                logits = self.horizontal(self.embedded(line), across, label)
                return ops.where(columns == j, chosen(logits, draws), line)

            line = ops.zeros_like(draws, "int32")
            line = ops.fori_loop(0, width, fill_pixel, line)
            return ops.where(rows == i, line, codes)

        codes = ops.zeros_like(uniform, "int32")
        return ops.fori_loop(0, height, fill_row, codes)

    def get_config(self):
        return {
            **super().get_config(),
            "codes": self.codes,
            "width": self.width,
            "blocks": self.blocks,
            "num_classes": self.num_classes,
        }


def row(x, i):
    """Row `i` of `(batch, height, ...)` as `(batch, 1, ...)`."""
    return ops.take(x, ops.reshape(i, (1,)), axis=1)


def chosen(logits, uniform):
    """The code where cumulated probabilities first exceed `uniform`, int32 `(...)`."""
    cumulated = ops.cumsum(ops.softmax(logits), axis=-1)
    passed = ops.cast(cumulated <= uniform[..., None], "int32")
    return ops.minimum(ops.sum(passed, axis=-1), logits.shape[-1] - 1)
