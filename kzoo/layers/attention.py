"""Self-attention over the pixels of a map."""

import keras
from keras import ops

from kzoo import checks
from kzoo.layers.normalization import SpectralNormalization


@keras.saving.register_keras_serializable("kzoo")
class SelfAttention(keras.layers.Layer):
    """Each pixel of a map looks at all others: Zhang et al., arXiv:1805.08318, eq. 1-3.

    `inputs + gain * W_v(attention * W_h inputs)`, where `attention` is the softmax over
    all pixels of `(W_f inputs)ᵀ (W_g inputs)`. The gain is learned and starts as 0, so
    that the layer starts as the identity. Its cost grows with the square of the number
    of pixels.

    Args:
        spectral: whether the four kernels are under `SpectralNormalization`.
        reduction: how many times fewer channels W_f, W_g and W_h have; at least one.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Example:

    >>> x = SelfAttention(spectral=True)(x)
    """

    def __init__(self, spectral=False, reduction=8, **kwargs):
        super().__init__(**kwargs)
        self.spectral = spectral
        self.reduction = checks.positive_int("reduction", reduction)

    def build(self, input_shape):
        channels = input_shape[-1]
        inner = max(1, channels // self.reduction)
        widths = {"key": inner, "query": inner, "value": inner, "output": channels}
        pixels = (input_shape[0], None)
        for name, width in widths.items():
            layer = keras.layers.Dense(width, use_bias=False, dtype=self.dtype_policy)
            if self.spectral:
                layer = SpectralNormalization(layer, dtype=self.dtype_policy)
            layer.build((*pixels, inner if name == "output" else channels))
            setattr(self, f"{name}_layer", layer)
        self.gain = self.add_weight((), "zeros", name="gain")

    def call(self, inputs):
        _, height, width, channels = inputs.shape
        pixels = ops.reshape(inputs, (-1, height * width, channels))
        keys, queries = self.key_layer(pixels), self.query_layer(pixels)
        scores = ops.matmul(queries, ops.transpose(keys, (0, 2, 1)))
        attention = ops.softmax(scores, axis=-1)
        seen = self.output_layer(ops.matmul(attention, self.value_layer(pixels)))
        return inputs + self.gain * ops.reshape(seen, (-1, height, width, channels))

    def get_config(self):
        return {
            **super().get_config(),
            "spectral": self.spectral,
            "reduction": self.reduction,
        }
