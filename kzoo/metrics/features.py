"""What is compared in place of pixels: features and class probabilities of images."""

import keras
import numpy as np
import scipy.special
from keras import layers, ops

from kzoo import backend, checks, media
from kzoo.metrics.classifiers import load_classifier, shipped
from kzoo.metrics.distances import Moments

INCEPTION_SIDE = 299
FEATURES_OF = {
    "cifar10": "cifar10-v1",
    "fashion_mnist": "fashion-v1",
    "mnist": "mnist-v1",
    "mnist_10k": "mnist-v1",
    "stacked_mnist": "stacked-mnist-v1",
}
NAMED = ["pixels", "inception", "stacked-mnist-v1"]


class Extractor:
    """Maps images to features, and to class probabilities where there are classes.

    Args:
        features: what to extract:
            `"pixels"`, the images themselves, flattened;
            a classifier that kzoo ships: `"mnist-v1"`, `"fashion-v1"`, `"cifar10-v1"`,
            or a `.npz` file that `recipes/classifier.py` made;
            `"stacked-mnist-v1"`, which is `"mnist-v1"` on each of three channels, with
            a class for each of the 1000 combinations;
            `"inception"`: the 2048 features before the last layer of
            `keras.applications.InceptionV3` with its ImageNet weights, which are
            fetched once. They are not those of the 2015 graph that published FIDs use:
            compare such distances with each other only;
            your own `keras.Model` from images in [0, 1] to features `(n, d)` or to
            `{"features": (n, d), "logits": (n, classes)}`.
        image_shape: `(height, width, channels)`.

    Raises:
        ValueError: for an unknown name, or a model that does not take these images.
        ConnectionError: if Inception's weights are neither here nor to be fetched.

    Calling it on images `(n, *image_shape)`, uint8 or float in [0, 1], gives
    `(features (n, d), probabilities (n, classes) or None)`, numpy.
    """

    def __init__(self, features, image_shape):
        self.image_shape = media.image_shape(image_shape)
        self.name = features if isinstance(features, str) else _describe(features)
        model = _model(features, self.image_shape)
        self._check_takes_images(model)

        def run(images):
            return model(images, training=False)

        self._run = backend.inference(run, model.variables)

    def _check_takes_images(self, model):
        try:
            outputs = model(keras.KerasTensor((None, *self.image_shape)))
            named = outputs if isinstance(outputs, dict) else {"features": outputs}
            rank = len(named["features"].shape)
        except Exception as error:
            raise ValueError(
                f"Expected features that take images of shape {self.image_shape}. "
                f"Received: {self.name}, which fails: {error}"
            ) from error
        if rank != 2:
            raise ValueError(
                "Expected a model with features of shape (n, d). Received: "
                f"{self.name} with {named['features'].shape}. Add a pooling layer."
            )
        self.has_classes = "logits" in named

    def __call__(self, images):
        images = media.images_array(images, self.image_shape)
        outputs = self._run(ops.convert_to_tensor(images))
        if not isinstance(outputs, dict):
            return ops.convert_to_numpy(outputs), None
        features, logits = map(
            ops.convert_to_numpy, (outputs["features"], outputs["logits"])
        )
        return features, scipy.special.softmax(logits.astype("float64"), axis=1)


def _model(features, image_shape):
    if isinstance(features, keras.Model):
        return features
    if features == "pixels":
        images = keras.Input(image_shape)
        return keras.Model(images, layers.Flatten("channels_last")(images))
    if features == "inception":
        return _inception(image_shape)
    if features == "stacked-mnist-v1":
        return _stacked(load_classifier("mnist-v1"))
    if isinstance(features, str) and features.endswith(".npz"):
        return load_classifier(features)
    checks.one_of("features", features, NAMED + shipped())
    return load_classifier(features)


def _inception(image_shape):
    """Resized to 299 pixels (bilinear, antialiased), grey repeated, in [-1, 1]."""
    data_format = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")  # it has no argument for it
    try:
        network = keras.applications.InceptionV3(classifier_activation=None)
    except Exception as error:
        raise ConnectionError(
            "Expected a network to fetch InceptionV3's ImageNet weights with, or a "
            f"copy of them in Keras's cache. Received: {error} Pass other features: "
            f"'pixels', {', '.join(map(repr, shipped()))} or your own keras.Model."
        ) from error
    finally:
        keras.config.set_image_data_format(data_format)
    both = keras.Model(
        network.input,
        {"features": network.get_layer("avg_pool").output, "logits": network.output},
    )
    images = keras.Input(image_shape)
    side = (INCEPTION_SIDE, INCEPTION_SIDE)
    x = ops.image.resize(
        images, side, "bilinear", antialias=True, data_format="channels_last"
    )
    x = ops.repeat(x, 3, axis=-1) if image_shape[-1] == 1 else x
    return keras.Model(images, both(layers.Rescaling(2.0, -1.0)(x)))


def _stacked(digit):
    """Each channel is a digit; log-probabilities of digits add up to their number's."""
    height, width, _ = digit.input_shape[1:]
    images = keras.Input((height, width, 3))
    channels = [digit(images[..., i : i + 1]) for i in range(3)]
    features = layers.Concatenate()([channel["features"] for channel in channels])
    hundreds, tens, ones = (ops.log_softmax(c["logits"]) for c in channels)
    logits = hundreds[:, :, None, None] + tens[:, None, :, None] + ones[:, None, None]
    logits = layers.Flatten("channels_last")(logits)
    return keras.Model(images, {"features": features, "logits": logits})


def _describe(model):
    if isinstance(model, keras.Model):
        return f"{model.name} ({type(model).__name__}, {model.count_params()} weights)"
    return repr(model)


def features_for(dataset):
    """Name of the features that were made for a data set; `"pixels"` for others."""
    return FEATURES_OF.get(str(dataset), "pixels")


class FeatureSet:
    """Features that come in batches: classes of all, some of the rows, and moments.

    Memory does not grow with the number of images: at most `KEPT` rows are kept, each
    image with the same chance (reservoir sampling, Vitter's algorithm R), in random
    order after `trim`.

    Args:
        seed: whole number, of what is kept.
        moments: whether to keep mean and covariance of all. They take `d²` numbers,
            which is gigabytes for the pixels of a photograph.
    """

    KEPT = 10_000

    def __init__(self, seed=0, moments=True):
        checks.whole_number("seed", seed)
        self.moments = Moments() if moments else None
        self.rng = np.random.default_rng(seed)
        self.count, self.class_counts = 0, 0
        self.features, self.probabilities = None, None

    def update(self, features, probabilities):
        if self.moments is not None:
            self.moments.update(features)
        order = np.arange(self.count, self.count + len(features))
        slots = np.where(order < self.KEPT, order, self.rng.integers(0, order + 1))
        kept = slots < self.KEPT
        self.features = _put(self.features, slots[kept], features[kept], self.KEPT)
        if probabilities is not None:
            classes = probabilities.shape[1]
            self.class_counts = self.class_counts + np.bincount(
                probabilities.argmax(axis=1), minlength=classes
            )
            self.probabilities = _put(
                self.probabilities, slots[kept], probabilities[kept], self.KEPT
            )
        self.count += len(features)

    def trim(self):
        """Drops the places that no image came for, and shuffles the others."""
        order = self.rng.permutation(min(self.count, self.KEPT))
        self.features = self.features[order]
        if self.probabilities is not None:
            self.probabilities = self.probabilities[order]
        return self


def _put(rows, slots, values, size):
    if rows is None:
        rows = np.empty((size, values.shape[1]), values.dtype)
    rows[slots] = values
    return rows
