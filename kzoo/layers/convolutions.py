"""Keras's convolutions, by faster kernels."""

import keras
from keras import ops

from kzoo import backend


@keras.saving.register_keras_serializable("kzoo")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without the copies that Keras makes on PyTorch.

    Arguments and results are those of Keras's layer. But `data_format` is
    `"channels_last"` unless passed, whatever `keras.config.image_data_format()` is.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format="channels_last",
        **kwargs,
    ):
        super().__init__(filters, kernel_size, strides, padding, data_format, **kwargs)

    def convolution_op(self, inputs, kernel):
        return backend.convolution(
            inputs,
            ops.convert_to_tensor(kernel),
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )


@keras.saving.register_keras_serializable("kzoo")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` without the larger image it computes on PyTorch.

    Arguments and results are those of Keras's layer. But `data_format` is
    `"channels_last"` unless passed, whatever `keras.config.image_data_format()` is.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        output_padding=None,
        data_format="channels_last",
        **kwargs,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            output_padding,
            data_format,
            **kwargs,
        )

    def call(self, inputs):
        usual = (
            self.padding == "same"
            and self.output_padding is None
            and self.data_format == "channels_last"
            and all(rate == 1 for rate in self.dilation_rate)
            and all(n >= s for n, s in zip(self.kernel_size, self.strides, strict=True))
        )
        if not usual:
            return super().call(inputs)
        kernel = ops.convert_to_tensor(self.kernel)
        outputs = backend.transposed_convolution(inputs, kernel, self.strides)
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)
