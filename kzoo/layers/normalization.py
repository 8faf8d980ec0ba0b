"""Normalisation of activations and of kernels."""

import keras
from keras import ops

from kzoo import backend, checks


@keras.saving.register_keras_serializable("kzoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` by the kernel that TensorFlow and PyTorch have.

    Arguments and results are those of Keras's layer, which takes eight operations.
    Where a batch is divided among replicas, its mean and variance are those of the
    whole batch.
    """

    def call(self, inputs, training=None, mask=None):
        usual = (
            self.axis in (-1, len(inputs.shape) - 1)
            and not (self.renorm or self.synchronized or mask is not None)
            and keras.backend.result_type(inputs.dtype, "float32") == "float32"
        )
        if not (usual and training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        channels = (inputs.shape[-1],)
        gamma = self.gamma if self.scale else ops.ones(channels)
        beta = self.beta if self.center else ops.zeros(channels)
        inputs, gamma, beta = (ops.cast(x, "float32") for x in (inputs, gamma, beta))
        normalize = backend.batch_normalization
        if backend.replicas() > 1:
            normalize = synchronized_batch_normalization
        outputs, mean, variance = normalize(inputs, gamma, beta, self.epsilon)
        for moving, new in (self.moving_mean, mean), (self.moving_variance, variance):
            moving.assign(self.momentum * moving + (1 - self.momentum) * new)
        return ops.cast(outputs, self.compute_dtype)


def synchronized_batch_normalization(x, gamma, beta, epsilon):
    """By mean and variance of the batches of all replicas together."""
    axes = list(range(len(x.shape) - 1))
    moments = ops.stack([ops.mean(x, axes), ops.mean(ops.square(x), axes)])
    mean, square = ops.unstack(backend.replica_mean(moments), 2)
    variance = ops.maximum(square - ops.square(mean), 0.0)
    outputs = ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon)
    return outputs, mean, variance


@keras.saving.register_keras_serializable("kzoo")
class ConditionalBatchNormalization(keras.layers.Layer):
    """Batch normalisation with a gain and a bias for each class.

    Dumoulin et al., arXiv:1610.07629, and de Vries et al., arXiv:1707.00683:
    `gain[label] * (inputs - mean) / std + bias[label]`, where mean and std are those of
    a channel over the whole batch, or their moving averages outside training. Gains
    start as 1 and biases as 0: then it is plain batch normalisation.

    Args:
        num_classes: number of labels.
        momentum: how much of the moving averages each training step keeps.
        epsilon: added to the variance.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.
        labels: whole numbers from 0 to `num_classes - 1` of shape `(batch,)`.

    Example:

    >>> x = ConditionalBatchNormalization(num_classes=10)(x, labels)
    """

    def __init__(self, num_classes, momentum=0.9, epsilon=2e-5, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = checks.positive_int("num_classes", num_classes)
        self.momentum = checks.number("momentum", momentum, least=0, below=1)
        self.epsilon = checks.number("epsilon", epsilon, above=0)
        self.normalization = BatchNormalization(
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
        )

    def build(self, inputs_shape, labels_shape):
        self.normalization.build(inputs_shape)
        shape = (self.num_classes, inputs_shape[-1])
        self.gain = self.add_weight(shape, "ones", name="gain")
        self.bias = self.add_weight(shape, "zeros", name="bias")

    def call(self, inputs, labels, training=False):
        x = self.normalization(inputs, training=training)
        # A product, as the gradient of a look-up is summed in no fixed order on a GPU.
        one_hot = ops.one_hot(labels, self.num_classes, dtype=x.dtype)
        gain, bias = (ops.matmul(one_hot, w) for w in (self.gain, self.bias))
        return x * gain[:, None, None] + bias[:, None, None]

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable("kzoo")
class SpectralNormalization(keras.layers.Wrapper):
    """Divides the kernel of a linear layer by its largest singular value.

    Miyato et al., arXiv:1802.05957, algorithm 1: one power iteration in each forward
    pass of training, so several in a step that calls the network more than once, with
    the kernel as the matrix `(inputs, outputs)`. The wrapped layer is linear
    in its kernel, so that its inputs are divided instead: no trainable weight is ever
    assigned, and every backend trains alike, which `keras.layers.SpectralNormalization`
    does not.

    Args:
        layer: a `Dense`, `Embedding` or convolution without an activation.

    Example:

    >>> x = SpectralNormalization(layers.Conv2D(64, 3, padding="same"))(x)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        activation = getattr(layer, "activation", None)
        if activation not in (None, keras.activations.linear):
            raise ValueError(
                "Expected a layer without an activation, to be linear in its kernel. "
                f"Received: {layer.name} with {activation.__name__}. Put the "
                "activation after it."
            )

    def build(self, input_shape=None):
        super().build(input_shape)
        transposed = isinstance(self.layer, keras.layers.Conv2DTranspose)
        self.outputs_axis = -2 if transposed else -1
        self.u = self.add_weight(
            shape=(self.kernel().shape[self.outputs_axis],),
            initializer=keras.initializers.RandomNormal(),
            name="u",
            trainable=False,
            dtype="float32",
        )

    def kernel(self):
        embeds = isinstance(self.layer, keras.layers.Embedding)
        return self.layer.embeddings if embeds else self.layer.kernel

    def call(self, inputs, training=False):
        scale = ops.cast(1 / self.sigma(training), self.compute_dtype)
        if isinstance(self.layer, keras.layers.Embedding):  # whose inputs are numbers
            return self.layer(inputs) * scale
        return self.layer(ops.cast(inputs, self.compute_dtype) * scale)

    def sigma(self, training=False):
        """The largest singular value, whose vectors are constants to the gradient."""
        kernel = ops.cast(self.kernel(), "float32")
        kernel = ops.moveaxis(kernel, self.outputs_axis, -1)
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        v = ops.stop_gradient(ops.normalize(ops.matmul(matrix, self.u), axis=0))
        product = ops.matmul(v, matrix)
        sigma = ops.sqrt(ops.sum(ops.square(product)))  # its gradient is v u^T
        if training:
            self.u.assign(ops.stop_gradient(product / sigma))
        return sigma
