"""Going on from the weights of a trained model."""

import keras


def start_from(path, model):
    """Gives `model` the weights of the trained model at `path`, not its optimizers.

    What is fitted after training, a sampler or a PixelCNN, is left out.

    Args:
        path: a `.keras` file, or a folder that `keras.saving.load_model` reads.
        model: a model of the same class, image shape and networks.

    Raises:
        ValueError: if `path` cannot be loaded, or holds another model.
    """
    try:
        trained = keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ValueError(
            "Expected a trained model, a .keras file or a folder that Keras loads. "
            f"Received: {path}, which it does not: {error}"
        ) from error
    _check_same_networks(path, trained, model)
    model.set_weights([keras.ops.convert_to_numpy(w) for w in _weights(trained)])


def _check_same_networks(path, trained, model):
    name, received = type(model).__name__, type(trained).__name__
    if received != name:
        raise ValueError(
            f"Expected a trained {name}. Received: {path}, a {received}. Pass the file "
            "of another one, or train that model instead."
        )
    if trained.image_shape != model.image_shape:
        raise ValueError(
            f"Expected a trained {name} of images of shape {model.image_shape}, as the "
            f"data are. Received: {path}, of images of shape {trained.image_shape}. "
            "Take that data set, or resize the images to that size."
        )
    if [w.shape for w in _weights(trained)] != [w.shape for w in _weights(model)]:
        raise ValueError(
            f"Expected a trained {name} with the networks that are to be trained. "
            f"Received: {path}, with {_differences(trained, model)}. Set the options "
            "as it was trained."
        )


def _differences(trained, model):
    """The settings of `trained` that `model` does not have, as text."""
    theirs, ours = trained.get_config(), model.get_config()
    different = [
        f"{key}={theirs.get(key)!r} instead of {value!r}"
        for key, value in ours.items()
        if key != "name" and theirs.get(key) != value
    ]
    return ", ".join(different) or "weights of other shapes"


def _weights(model):
    """The weights that `fit` starts from, without those of what is fitted after it."""
    parts = [getattr(model, name, None) for name in ("sampler", "pixelcnn")]
    later = {id(weight) for part in parts if part for weight in part.weights}
    return [weight for weight in model.weights if id(weight) not in later]
