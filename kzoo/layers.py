"""Layers that Keras lacks, and some that it has, by faster kernels."""

import keras
from keras import ops

from kzoo import backend


@keras.saving.register_keras_serializable("kzoo")
class Sampling(keras.layers.Layer):
    """Draws from N(mean, exp(log_var)) so that gradients reach both.

    The reparameterisation of Kingma and Welling, arXiv:1312.6114, section 2.4:
    `mean + exp(log_var / 2) * noise`.

    Args:
        seed: whole number, or None for a random one.

    Call arguments:
        mean, log_var: tensors of shape `(batch, latent_dim)`.
        noise: standard normal draws of the same shape; drawn by the layer if None.

    Returns:
        Latents of shape `(batch, latent_dim)`.

    Example:

    >>> latents = Sampling()(mean, log_var)
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # it has no weights

    def call(self, mean, log_var, noise=None):
        if noise is None:
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        noise = ops.cast(noise, mean.dtype)
        return mean + ops.exp(0.5 * log_var) * noise

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("kzoo")
class SharedScale(keras.layers.Layer):
    """Adds to images of means as many channels of one learned log scale.

    Rybkin et al., arXiv:2006.13202, section 3.2: `(batch, h, w, c)` to
    `(batch, h, w, 2 * c)`. The scale starts at exp(-1).
    """

    def build(self, shape):
        start = keras.initializers.Constant(-1.0)
        self.log_scale = self.add_weight(shape=(), initializer=start, name="log_scale")
        self.built = True

    def call(self, means):
        scales = ops.zeros_like(means) + self.log_scale
        return ops.concatenate([means, scales], axis=-1)


@keras.saving.register_keras_serializable("kzoo")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` without the copies that Keras makes on PyTorch.

    Arguments and results are those of Keras's layer.
    """

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

    Arguments and results are those of Keras's layer.
    """

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


@keras.saving.register_keras_serializable("kzoo")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` that drops other units on every replica.

    Arguments and results are those of Keras's layer.
    """

    def call(self, inputs, training=False):
        if not training or self.rate == 0 or self.noise_shape is not None:
            return super().call(inputs, training=training)
        drawn = backend.uniform(ops.shape(inputs), self.seed_generator)
        kept = ops.cast(drawn >= self.rate, inputs.dtype)
        return inputs * kept / (1 - self.rate)


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
        self.num_classes, self.momentum, self.epsilon = num_classes, momentum, epsilon
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

    Miyato et al., arXiv:1802.05957, algorithm 1: one power iteration in each training
    step, with the kernel as the matrix `(inputs, outputs)`. The wrapped layer is linear
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
        fixed = ops.stop_gradient(matrix)
        v = ops.normalize(ops.matmul(fixed, self.u), axis=0)
        u = ops.normalize(ops.matmul(v, fixed), axis=0)
        if training:
            self.u.assign(u)
        return ops.sum(ops.matmul(v, matrix) * u)


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
        self.spectral, self.reduction = spectral, reduction

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
        self.group_size = group_size
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
