"""Going on from the weights of a trained model."""

import keras

from kzoo import checks


def start_from(path, model):
    """Gives `model` the weights of the trained model at `path`, not its optimizers.

    What is fitted after training, a sampler or a PixelCNN, is left out.

    Args:
        path: a `.keras` file, or a folder that `keras.saving.load_model` reads.
        model: a model of the same class, image shape and networks. Losses, weights of
            losses, optimizers and the name may be others.

    Raises:
        ValueError: if `path` cannot be loaded, or holds another model.
    """
    try:
        trained = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ValueError(
            "Expected a trained model, a .keras file or a folder that Keras loads. "
            f"Received: {path}, which it does not: {error}"
        ) from error
    _check_same_networks(path, trained, model)
    model.set_weights([keras.ops.convert_to_numpy(w) for w in _weights(trained)])


def _check_same_networks(path, trained, model):
    name, received = checks.title(model), checks.title(trained)
    if type(trained) is not type(model):
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
    shapes = [[w.shape for w in _weights(one)] for one in (trained, model)]
    if shapes[0] != shapes[1] or _other_architecture(trained, model):
        raise ValueError(
            f"Expected a trained {name} with the networks that are to be trained. "
            f"Received: {path}, a {received} with {_differences(trained, model)}. Set "
            "the options as it was trained."
        )


def _other_architecture(trained, model):
    """Whether weights of the same shapes would be used in another way.

    A setting of None is a default: the shapes say whether it is that of the other.
    """
    theirs, ours = (getattr(m, "architecture", None) for m in (trained, model))
    if theirs is None or type(theirs) is not type(ours):
        return theirs is not ours
    pairs = ((value, getattr(ours, key)) for key, value in vars(theirs).items())
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)


def _differences(trained, model):
    """The settings of `trained` that `model` does not have, as text."""
    configs = [one.get_config() for one in (trained, model)]
    theirs, ours = (
        {k: v for k, v in c.items() if k not in ("name", "optimizers", "trainable")}
        for c in configs
    )
    return checks.differences(theirs, ours) or "weights of other shapes"


def _weights(model):
    """The weights that `fit` starts from, without those of what is fitted after it."""
    parts = [getattr(model, name, None) for name in ("sampler", "pixelcnn")]
    later = {id(weight) for part in parts if part for weight in part.weights}
    return [weight for weight in model.weights if id(weight) not in later]
