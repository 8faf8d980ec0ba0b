"""What several models' networks are built from."""

import contextlib
import functools

import keras
from keras import layers, ops

from kzoo import checks
from kzoo.config import Part
from kzoo.layers import SelfAttention, SpectralNormalization

CONDITIONINGS = ("concatenation", "projection")
NORMALIZATIONS = ("batch", "layer", "spectral", None)
# Keras's own layers would take `keras.config.image_data_format()`.
AveragePooling2D, Flatten, UpSampling2D = (
    functools.partial(layer, data_format="channels_last")
    for layer in (layers.AveragePooling2D, layers.Flatten, layers.UpSampling2D)
)


class GANNetworks(Part):
    """A generator and a discriminator. Your own pair is a subclass.

    Args:
        widths: layer widths from latents to images; the discriminator mirrors them.
            None means `default_widths(image_shape)`.
    """

    learning_rate = 2e-4  # of Adam, with which a GAN trains these networks

    def __init__(self, widths=None):
        self.widths = None if widths is None else check_widths(widths)

    def default_widths(self, image_shape):
        """Widths for images of this shape."""
        raise NotImplementedError

    def widths_for(self, image_shape):
        return self.default_widths(image_shape) if self.widths is None else self.widths

    def generator(self, image_shape, latent_dim, num_classes=None):
        """Latents, or `[latents, labels]`, to images in [0, 1], a `keras.Model`."""
        raise NotImplementedError

    def discriminator(self, image_shape, num_classes=None):
        """Images in [0, 1], or `[images, labels]`, to a logit `(batch, 1)`."""
        raise NotImplementedError


@contextlib.contextmanager
def precision(policy):
    """Builds the layers inside under a model's dtype policy, whatever the global one.

    A model saved in mixed precision is then rebuilt in it where it is loaded.
    """
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def vector_and_label(vector, num_classes, conditioning="concatenation"):
    """The network inputs and the tensor `[vector, one-hot label]` for a condition.

    Args:
        vector: symbolic tensor `(batch, features)`, a `keras.Input` or made from one.
        num_classes: number of labels, or None for no condition.
        conditioning: `"concatenation"`, or `"projection"` to leave the vector as it is.

    Returns:
        `(label inputs, tensor)`: a list of no or one `keras.Input` of int labels, and
        a tensor `(batch, features + num_classes)`.
    """
    if num_classes is None:
        return [], vector
    labels = label_input(num_classes)
    if conditioning == "projection":
        return labels, vector
    one_hot = ops.one_hot(labels[0], num_classes)
    return labels, layers.Concatenate()([vector, one_hot])


def image_and_label(images, num_classes, conditioning="concatenation"):
    """As `vector_and_label`, with one constant map for each class as a channel."""
    if num_classes is None:
        return [], images
    height, width, _ = images.shape[1:]
    labels = label_input(num_classes)
    if conditioning == "projection":
        return labels, images
    maps = layers.RepeatVector(height * width)(ops.one_hot(labels[0], num_classes))
    maps = layers.Reshape((height, width, num_classes))(maps)
    return labels, layers.Concatenate()([images, maps])


def projection(features, labels, num_classes, normalization):
    """Inner product of features and their label's embedding, added to the logit.

    Miyato and Koyama, arXiv:1802.05637, section 3: symbolic tensors of shapes
    `(batch, features)` and `(batch,)` to `(batch, 1)`.
    """
    embedding = layers.Embedding(
        num_classes, features.shape[-1], "glorot_uniform", dtype="float32"
    )
    embedded = normalized(embedding, normalization)(labels)
    return ops.sum(embedded * features, axis=-1, keepdims=True)


def normalized(layer, normalization):
    """The layer, under `SpectralNormalization` if `normalization` is `"spectral"`."""
    if normalization == "spectral":
        return SpectralNormalization(layer, dtype=layer.dtype_policy)
    return layer


def attention_setting(attention):
    """A height, `"auto"` or None, as the argument `attention` of networks is given."""
    if attention in (None, "auto"):
        return attention
    return checks.positive_int("attention", attention)


def attention_height(attention, image_shape):
    """Height of the maps with self-attention: `attention`, or what `"auto"` means.

    That is the largest of at most 32 that is a half, a quarter and so on of the
    images': 32 for 128 pixels, as in SAGAN's paper, 16 for 32 and 14 for 28.
    """
    if attention != "auto":
        return attention
    height = image_shape[0] // 2
    while height > 32:
        height //= 2
    return height


def attended(x, attention, normalization):
    """Self-attention after maps of the height `attention`, where there are such."""
    if x.shape[1] != attention:
        return x
    return SelfAttention(spectral=normalization == "spectral")(x)


def layer_norm():
    """Over all of an image's features, so that images do not see each other."""
    return layers.LayerNormalization(axis=(1, 2, 3))


def check_attention(attention, network):
    """The network; a `ValueError` if it lacks self-attention though it is wanted."""
    found = any(isinstance(layer, SelfAttention) for layer in network.layers)
    if attention is not None and not found:
        raise ValueError(
            "Expected attention to be the height of hidden maps of both networks, half "
            f"of the images' or a quarter. Received: attention={attention!r}, "
            f"which the {network.name} does not have. Pass another, or more widths."
        )
    return network


def given(inputs, labels):
    """What a network takes: `inputs`, or `[inputs, labels]` under a condition."""
    return inputs if labels is None else [inputs, labels]


def network(inputs, outputs, name):
    """A `keras.Model` whose single input is not wrapped in a list."""
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs, name=name)


def features(discriminator):
    """What its last layer, the logit's, sees: a symbolic tensor `(batch, features)`."""
    return discriminator.layers[-1].input


def halved(image_shape, times, architecture):
    """Height and width after halving `times` times.

    Raises:
        ValueError: if a side cannot be halved so often.
    """
    height, width, _ = image_shape
    if height % 2**times or width % 2**times:
        raise ValueError(
            f"architecture={architecture!r} with that many widths halves the images "
            f"{times} times. Expected sides divisible by {2**times}. Received: "
            f"image_shape={tuple(image_shape)}. Pad or resize the images, or pass "
            "fewer widths."
        )
    return height // 2**times, width // 2**times


def halved_sizes(image_shape, largest=7):
    """`[(height, width)]` of the images, their halves and so on, down to 4 to 7 pixels.

    The last is the first of which a side is odd, or neither above `largest`.
    """
    sizes = [tuple(image_shape[:2])]
    while all(n % 2 == 0 for n in sizes[-1]) and max(sizes[-1]) > largest:
        sizes.append(tuple(n // 2 for n in sizes[-1]))
    return sizes


def of_width(x, width, layer=layers.Dense):
    """The map `x`, by `layer(width)` where it has another number of channels."""
    return x if x.shape[-1] == width else layer(width)(x)


def the_label(num_classes, networks):
    """The `keras.Input` of int labels of networks that cannot do without.

    Raises:
        ValueError: if there are no classes.
    """
    if num_classes is None:
        raise ValueError(
            f"{networks} are conditional. Expected num_classes, the number of labels. "
            "Received: num_classes=None. Pass it, or take other networks."
        )
    return label_input(num_classes)[0]


def label_input(num_classes):
    """A list of no or one `keras.Input` of int labels."""
    return [keras.Input((), dtype="int32", name="labels")] if num_classes else []


def embedded(labels, num_classes, width, stddev):
    """A learned vector for each label: `(batch,)` to `(batch, width)`."""
    normal = keras.initializers.RandomNormal(stddev=stddev)
    embed = layers.Dense(width, use_bias=False, kernel_initializer=normal)
    return embed(ops.one_hot(labels, num_classes))


def check_widths(widths, argument="widths"):
    """Returns `widths` as a tuple of positive ints; at least one is needed."""
    return checks.positive_ints(argument, widths)


def check_shapes(argument, own, inputs, outputs, num_classes=None):
    """Raises a `ValueError` unless the user's network `own` maps these shapes.

    Calls it on symbolic tensors, which also builds it.

    Args:
        argument: what the user passed it as.
        own: a `keras.Model` or layer.
        inputs: shape of its input without the batch axis, or a list of them; with
            `num_classes` int labels follow as another input.
        outputs: shape of its output without the batch axis, or a list of them,
            in which None is any shape.
    """
    shapes = inputs if isinstance(inputs, list) else [inputs]
    tensors = [keras.KerasTensor((None, *shape)) for shape in shapes]
    expected = [f"(batch, {', '.join(map(str, shape))})" for shape in shapes]
    if num_classes is not None:
        tensors.append(keras.KerasTensor((None,), dtype="int32"))
        expected.append("int labels (batch,)")
    tensors = tensors[0] if len(tensors) == 1 else tensors
    expected = expected[0] if len(expected) == 1 else f"[{', '.join(expected)}]"
    try:
        symbolic = own(tensors)
        received = keras.tree.map_structure(lambda t: tuple(t.shape[1:]), symbolic)
    except Exception as error:
        raise ValueError(
            f"Expected {argument} to be a Keras model that takes {expected}. "
            f"Received: {own!r}, which fails: {error}{_channels_hint(own)}"
        ) from error
    received = list(received) if isinstance(outputs, list) else received
    if not _fits(received, outputs):
        raise ValueError(
            f"Expected {argument} to map {expected} to outputs of shape {outputs}, the "
            f"batch axis left out. Received: {argument} with outputs {received}."
            f"{_channels_hint(own)}"
        )
    for tensor in keras.tree.flatten(symbolic):
        if "float" not in checks.dtype_name(tensor):
            raise ValueError(
                f"Expected {argument} to have floating point outputs. Received: "
                f"outputs of {checks.dtype_name(tensor)}. Leave out the argmax or cast."
            )


def _channels_hint(own):
    """What to change in a network that was made under Keras's other setting."""
    layers_of = [own, *getattr(own, "layers", [])]
    if all(getattr(x, "data_format", "") != "channels_first" for x in layers_of):
        return ""
    return (
        " Its layers are channels first, as Keras is set to; kzoo's images are "
        "channels last. Make them with data_format='channels_last'."
    )


def check_losses(argument, own, inputs, num_classes=None):
    """Raises a `ValueError` if the user's network `own` adds losses of its outputs.

    Args:
        argument, own, inputs, num_classes: as in `check_shapes`.
    """
    shapes = inputs if isinstance(inputs, list) else [inputs]
    tensors = [ops.zeros((2, *shape)) for shape in shapes]
    if num_classes is not None:
        tensors.append(ops.zeros((2,), "int32"))
    with keras.StatelessScope(collect_losses=True) as scope:
        own(tensors[0] if len(tensors) == 1 else tensors, training=True)
    if scope.losses:
        raise ValueError(
            f"Expected {argument} without activity_regularizer and add_loss, as a step "
            "runs a network on several batches. Received: one that adds "
            f"{len(scope.losses)} losses. Add them to a loss in a subclass of the "
            "model; a kernel_regularizer takes effect."
        )


def _fits(received, expected):
    if not isinstance(expected, list):
        return received == expected
    return len(received) == len(expected) and all(
        shape is None or shape == other
        for shape, other in zip(expected, received, strict=True)
    )
