"""Small classifiers whose features and probabilities the metrics compare.

A residual network (He et al., arXiv:1512.03385) small enough to ship with the package.
Its file holds the weights in float16 and all that is needed to build it.
"""

import pathlib

import keras
import numpy as np
from keras import layers

from kzoo import checks
from kzoo.files import replacing

FOLDER = pathlib.Path(__file__).parent / "weights"


def build_classifier(image_shape, num_classes, widths=(16, 32, 64)):
    """Images in [0, 1] to `{"features": (n, widths[-1]), "logits": (n, classes)}`.

    A convolution, then for each further width one that halves the sides and a residual
    block; the features are the means over positions, the logits linear in them.
    """
    checks.positive_int("num_classes", num_classes)
    widths = checks.positive_ints("widths", widths)
    images = keras.Input(image_shape, name="images")
    x = layers.Rescaling(2.0, -1.0)(images)
    x = layers.ReLU()(convolution(x, widths[0]))
    for width in widths[1:]:
        x = layers.ReLU()(convolution(x, width, strides=2))
        change = layers.ReLU()(convolution(x, width))
        x = layers.ReLU()(layers.Add()([x, convolution(change, width)]))
    features = layers.GlobalAveragePooling2D("channels_last", name="features")(x)
    logits = layers.Dense(num_classes, name="logits")(features)
    return keras.Model(images, {"features": features, "logits": logits})


def convolution(x, width, strides=1):
    x = layers.Conv2D(width, 3, strides, "same", "channels_last", use_bias=False)(x)
    return layers.BatchNormalization(momentum=0.9)(x)


def save_classifier(path, model, widths):
    """Writes a classifier made by `build_classifier` with the same `widths`."""
    weights = [w.astype("float16") for w in model.get_weights()]
    with replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            *weights,
            image_shape=model.input_shape[1:],
            num_classes=model.get_layer("logits").units,
            widths=widths,
        )


def shipped():
    """Names of the classifiers in the package."""
    return sorted(file.stem for file in FOLDER.glob("*.npz"))


def load_classifier(name):
    """A classifier shipped with kzoo, such as `"mnist-v1"`, or one in a `.npz` file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a name that is not shipped, or a file that holds no classifier.
    """
    path = pathlib.Path(name)
    if path.suffix != ".npz":
        path = FOLDER / f"{checks.one_of('classifier', name, shipped())}.npz"
    try:
        with np.load(path) as file:
            return _from_arrays(dict(file))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            "Expected a classifier of recipes/classifier.py, an .npz file. Received: "
            f"{path}, which fails: {type(error).__name__}: {error}. Write it anew."
        ) from error


def _from_arrays(arrays):
    settings = {
        "image_shape": tuple(map(int, arrays.pop("image_shape"))),
        "num_classes": int(arrays.pop("num_classes")),
        "widths": tuple(map(int, arrays.pop("widths"))),
    }
    model = build_classifier(**settings)
    weights = [arrays[f"arr_{i}"] for i in range(len(arrays))]
    model.set_weights([array.astype("float32") for array in weights])
    model.trainable = False
    return model
