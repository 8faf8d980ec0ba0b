"""Samples by seed, interpolation of latents, and output files of the command."""

import math
import pathlib
import re

import numpy as np

from kzoo import checks, media
from kzoo.base.generative import normal_numbers
from kzoo.figures import show
from kzoo.files import replacing

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf")
MIN_SIDE = 200  # in pixels, of an animation


def numbers(text, argument):
    """Whole numbers of a text such as `"0-3,7"`: `[0, 1, 2, 3, 7]`."""
    ranges = [
        re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip()) for part in text.split(",")
    ]
    bounds = [(int(r[1]), int(r[2] or r[1])) for r in ranges if r]
    if len(bounds) < len(ranges) or any(last < first for first, last in bounds):
        raise ValueError(
            f"Expected {argument} to be whole numbers and ranges of them, separated by "
            f"commas, such as 0-63 or 1,5,9. Received: {argument}={text!r}."
        )
    return [n for first, last in bounds for n in range(first, last + 1)]


def labels_for(model, text, count):
    """`(count,)` labels: those of the text, over and over; None without classes.

    Args:
        model: a `GenerativeModel`.
        text: as for `numbers`, or None for all classes in order.
        count: how many.

    Raises:
        ValueError: for labels that the model does not know, or more than `count`.
    """
    if not model.num_classes:
        if text is not None:
            raise ValueError(
                "Expected labels for a model with classes only. Received: labels="
                f"{text!r} for {checks.title(model)} without. Leave --labels out."
            )
        return None
    labels = numbers(text, "labels") if text else range(model.num_classes)
    if text and len(labels) > count:
        raise ValueError(
            f"Expected at most as many labels as images, {count}. Received: "
            f"{len(labels)} labels. Give one for all, or one a seed."
        )
    labels = np.resize(np.array(labels), count)
    checks.check_labels(labels, model.num_classes)
    return labels.astype("int32")


def truncate(model, truncation):
    """Sets a model's own truncation; returns the limit for the latents, or None.

    StyleGAN2 draws its styles towards their mean: its `psi`. Others cut off the normal
    numbers behind the latents.
    """
    if truncation is not None and hasattr(model, "psi"):
        model.psi = truncation
        return None
    return truncation


def seeded_latents(model, seeds, labels=None, truncation=None):
    """Latents `(n, latent_dim)`, each row that of its seed, whatever the others are."""
    labels = [None] * len(seeds) if labels is None else labels[:, None]
    rows = [
        model.draw_latents(1, seed, truncation, label)
        for seed, label in zip(seeds, labels, strict=True)
    ]
    return np.concatenate(rows)


def walk(model, seeds, steps, labels=None, truncation=None):
    """Latents on the way from each seed to the next, and from the last to the first.

    The standard normal numbers behind the latents move along great circles (White,
    arXiv:1609.04468), at constant speed, so that each point is as likely as a draw,
    whatever prior is made of them.

    Args:
        model: a `GenerativeModel`.
        seeds: at least two whole numbers.
        steps: how many points from one seed to the next, the first included.
        labels: `(len(seeds) * steps,)`, or None.
        truncation: as in `model.sample`.

    Returns:
        float32 `(len(seeds) * steps, latent_dim)`.
    """
    if len(seeds) < 2:
        raise ValueError(
            f"Expected at least two seeds to go between. Received: seeds={seeds}."
        )
    checks.positive_int("steps", steps)
    source = model.latent_source
    corners = [normal_numbers((1, source.size), seed) for seed in seeds]
    normal = np.concatenate(
        [
            great_circle(start, end, share)
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True)
            for share in np.arange(steps) / steps
        ]
    )
    if truncation is not None:
        normal = source.truncated(normal, truncation)
    return checks.to_numpy(source(normal, labels))


def great_circle(start, end, share):
    """The point at `share` of the arc from `start` to `end`, `(1, size)` each."""
    cosine = np.sum(start * end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:  # one direction, or opposite ones
        return np.float32((1 - share) * start + share * end)
    weights = np.sin([(1 - share) * angle, share * angle]) / np.sin(angle)
    return np.float32(weights[0] * start + weights[1] * end)


def walk_labels(model, text, seeds, steps):
    """`(len(seeds) * steps,)` labels, each that of the nearer seed; None without.

    Without a text all are 0.
    """
    if text is None and model.num_classes:
        text = "0"
    of_seeds = labels_for(model, text, len(seeds))
    if of_seeds is None:
        return None
    nearest = np.rint(np.arange(len(seeds) * steps) / steps).astype(int)
    return of_seeds[nearest % len(seeds)]


def check_out(path, *kinds):
    """Raises unless `path` does not exist and ends as one of the kinds of output.

    Args:
        path: where to write.
        *kinds: suffixes, of which `""` is a folder's.

    Raises:
        FileExistsError: if something is there.
        ValueError: for another suffix.
    """
    if path.exists():
        raise FileExistsError(
            f"Expected an output that does not exist yet. Received: {path}, which "
            "does and is left as it is. Give another --out, or remove it."
        )
    if kinds and path.suffix.lower() not in kinds:
        raise ValueError(
            f"Expected an output that ends in {', '.join(filter(None, kinds))}, or one "
            f"without a suffix, which is a folder. Received: {path}."
        )


def check_reconstructs(model, path):
    """Raises a `TypeError` unless the model, loaded from `path`, is an autoencoder."""
    if not hasattr(model, "reconstruct"):
        raise TypeError(
            "Expected an autoencoder, which can reconstruct. Received: "
            f"{checks.title(model)}. Draw from it: kzoo sample {path}."
        )


def write(path, images, names, columns=None, **arrays):
    """Writes images `(n, h, w, c)` as the suffix of `path` says.

    Args:
        path: `.npz`: images in uint8, and the other arrays; without a suffix: a folder
            of `<name>.png`, each in its own size; else one picture.
        images: float in [0, 1], up to rounding.
        names: `n` of them.
        columns: images in a row of the one picture.
        **arrays: arrays or None.
    """
    if path.suffix.lower() == ".npz":
        save_arrays(path, images=to_bytes(images), **arrays)
    elif path.suffix:
        show(to_bytes(images), columns).save(path)
    else:
        save_each(to_bytes(images), path, names)
    print(f"{len(images)} images: {path}")


def write_pairs(path, model, images, labels=None, columns=None):
    """Writes images `(n, h, w, c)` and what an autoencoder makes of them.

    A picture has each row of images above that of its reconstructions.
    """
    columns = min(columns or 8, len(images))
    inputs = model.medium.array(images)
    outputs = model.reconstruct(inputs, labels)
    if path.suffix.lower() == ".npz":
        arrays = {"latents": model.encode(inputs, labels), "labels": labels}
        return write(path, inputs, [], reconstructions=to_bytes(outputs), **arrays)
    if path.suffix:
        show(to_bytes(model.medium.pairs(inputs, outputs, columns)), columns).save(path)
        return print(f"{len(inputs)} images and their reconstructions: {path}")
    stems = ("image", "reconstruction")
    names = [f"{stem}{i:04d}" for stem in stems for i in range(len(images))]
    write(path, np.concatenate([inputs, outputs]), names)


def save_each(images, path, names):
    """Writes images `(n, h, w, c)` to a folder of `<name>.png`, in their own size."""
    import keras

    with replacing(path) as partial:
        partial.mkdir()
        for image, name in zip(images, names, strict=True):
            file = partial / f"{name}.png"
            keras.utils.save_img(file, image, "channels_last", scale=False)


def save_arrays(path, **arrays):
    """Writes arrays, those that are not None, as `.npz`."""
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with replacing(path) as partial:
        np.savez_compressed(partial, **arrays)


def save_animation(images, path, fps=20):
    """Writes images `(n, h, w, c)` as a GIF that plays over and over."""
    from PIL import Image

    checks.number("fps", fps, above=0)
    zoom = math.ceil(MIN_SIDE / min(images.shape[1:3]))
    frames = [
        Image.fromarray(f.squeeze()) for f in media.enlarged(to_bytes(images), zoom)
    ]
    if images.shape[-1] == 3:
        frames = [f.quantize(method=Image.Quantize.FASTOCTREE) for f in frames]
    first, *others = frames
    with replacing(pathlib.Path(path)) as partial:
        first.save(
            partial,
            save_all=True,
            append_images=others,
            duration=round(1000 / fps),
            loop=0,
        )


def to_bytes(images):
    """Float images in [0, 1], up to rounding, as uint8."""
    return np.uint8(np.clip(images, 0, 1) * 255 + 0.5)
