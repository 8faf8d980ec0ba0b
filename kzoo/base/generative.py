"""A model of a density: latents in, samples out."""

import keras
import numpy as np
from keras import ops

from kzoo import checks
from kzoo.backend import keras_internals
from kzoo.base.phased import PhasedModel
from kzoo.export import saved_model
from kzoo.media import Images
from kzoo.networks.blocks import given
from kzoo.parts.priors import StandardNormal

BATCH = 256  # how many examples are run at a time


class GenerativeModel(PhasedModel):
    """A model that maps latents to samples: numpy in, numpy out, any number of them.

    A subclass has `generate_batch`, which maps latents and labels to images in [0, 1],
    tensors to tensors, and may call `set_prior`. It passes what follows by position:
    what of it users may set are arguments of its own constructor.

    Args:
        image_shape: `(height, width, channels)` of the images.
        latent_dim: size of the latent vectors.
        num_classes: number of labels to condition on, or None for no labels.
        **kwargs: those of `PhasedModel`.
    """

    given = staticmethod(given)

    def __init__(self, image_shape, latent_dim, num_classes=None, /, **kwargs):
        super().__init__(**kwargs)
        self.medium = Images(image_shape)
        self.image_shape = self.medium.shape
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        if num_classes is not None:
            num_classes = checks.positive_int("num_classes", num_classes)
        self.num_classes = num_classes
        self.prior = None
        self.set_prior(StandardNormal())

    def set_prior(self, prior):
        """Makes `prior`, a layer from `kzoo.parts.priors`, that of the latents."""
        keras_internals.untrack(self, self.prior)
        self.prior = prior.connect(self.latent_dim, self)

    def split_batch(self, batch):
        return self.medium.split(batch)

    def check_batch(self, batch):
        self.medium.check_examples(batch, self.num_classes)

    def plausible(self, batch):
        return self.medium.plausible(batch, self.num_classes)

    def check_inputs(self, inputs):
        """Raises a `ValueError` for what `call`, and so `predict`, cannot take."""
        latents, labels = self._inputs_and_labels(inputs)
        self.check_latents(checks.to_numpy(latents))
        checks.same_length(latents, labels)

    def _inputs_and_labels(self, inputs):
        if self.num_classes is None:
            return inputs, None
        if not isinstance(inputs, tuple | list) or len(inputs) != 2:
            raise ValueError(
                f"The model has num_classes={self.num_classes}. Expected [inputs, "
                f"labels] in predict. Received: {checks.describe(inputs)}."
            )
        labels = checks.to_numpy(inputs[1])
        checks.check_labels(labels, self.num_classes)
        return inputs[0], labels

    def unpack(self, data):
        """A batch as `(images, labels)`: float32 images in [0, 1], labels or None."""
        images, labels = self.split_batch(data)
        self.medium.check_batch(images)
        checks.check_labels(labels, self.num_classes)
        if labels is not None:  # run eagerly, JAX leaves them NumPy's
            labels = ops.convert_to_tensor(labels)
        return self.medium.normalized(images), labels

    def latents_like(self, images, labels=None):
        """As many latents from the prior as there are images, in training."""
        return self.prior(self.noise((ops.shape(images)[0], self.prior.size)), labels)

    @property
    def latent_source(self):
        """The layer that `sample`, here and exported, draws latents by: the prior."""
        return self.prior

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        """Latents to sample from: float32 `(n, latent_dim)`, the same for a seed.

        `truncation` and `labels` as in `sample`.
        """
        checks.positive_int("n", n)
        source = self.latent_source
        normal = normal_numbers((n, source.size), seed)
        if truncation is not None:
            normal = source.truncated(normal, truncation)
        return np.array(ops.convert_to_numpy(source(normal, labels)))

    def sample(self, n, seed=None, labels=None, truncation=None):
        """Draws `n` images: float32 `(n, height, width, channels)` in [0, 1].

        Args:
            n: how many.
            seed: whole number; the same seed gives the same images. None draws a new
                one, which `keras.utils.set_random_seed` fixes.
            labels: for a conditional model, one label or `n` of them; drawn uniformly
                if None.
            truncation: where the normal numbers behind the latents are cut off, to
                either side: clearer, less varied images (Brock et al.,
                arXiv:1809.11096, section 3.1). None cuts nothing off.
        """
        checks.positive_int("n", n)
        if seed is not None:
            checks.whole_number("seed", seed)
        seed = np.random.randint(2**31) if seed is None else seed
        checks.whole_number("seed", seed)
        labels = self.draw_labels(n, seed, labels)
        return self.generate(self.draw_latents(n, seed, truncation, labels), labels)

    def draw_labels(self, n, seed, labels=None):
        """`n` labels: those given, one of them for all, or uniform ones; or None."""
        if self.num_classes and labels is None:
            return _generator([seed, 1]).integers(self.num_classes, size=n)
        if labels is None:
            return None
        labels = checks.flat_labels(checks.to_numpy(labels))
        labels = labels if labels.ndim else np.full(n, labels)
        checks.check_labels(labels, self.num_classes)
        return labels

    def generate(self, latents, labels=None):
        """Maps latents `(n, latent_dim)` to float32 images `(n, h, w, c)` in [0, 1]."""
        latents = np.asarray(checks.to_numpy(latents), "float32")
        self.check_latents(latents)
        return self._run(self.generate_batch, latents, labels=labels)

    def check_latents(self, latents):
        """Raises a `ValueError` unless latents are finite, `(n, latent_dim)`, NumPy."""
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(
                f"Expected latents of shape (n, {self.latent_dim}). "
                f"Received: {checks.describe(latents)}."
            )
        if not np.isfinite(latents).all():
            raise ValueError("Expected finite latents. Received: NaN or infinity.")

    def _run(self, verb, *arrays, labels=None):
        """Runs the tensor function `verb` over numpy arrays, labels last, in batches"""
        labels = None if labels is None else checks.flat_labels(checks.to_numpy(labels))
        checks.check_labels(labels, self.num_classes)
        count = len(arrays[0])
        if labels is not None and len(labels) != count:
            raise ValueError(
                f"Expected as many labels as inputs. Received: {len(labels)} labels "
                f"for {count} inputs."
            )
        if labels is not None:
            arrays = (*arrays, labels.astype("int32"))
        run = self.compiled_for_inference(verb)
        batches = (
            run(*(ops.convert_to_tensor(a[i : i + BATCH]) for a in arrays))
            for i in range(0, max(count, 1), BATCH)
        )
        return np.concatenate([ops.convert_to_numpy(batch) for batch in batches])

    def signatures(self):
        """What `export` offers: `{name: (function of tensors, input specs)}`.

        The first is the default. `sample` is added by `export`.
        """
        shape = (None, self.latent_dim)
        latents = keras.InputSpec(shape=shape, dtype="float32", name="latents")
        return {"generate": (self.generate_batch, [latents, *self.label_specs()])}

    def label_specs(self):
        """The input spec of labels in a list, which is empty for a model without."""
        if self.num_classes is None:
            return []
        return [keras.InputSpec(shape=(None,), dtype="int32", name="labels")]

    def export(self, filepath, format="tf_saved_model", verbose=True, **kwargs):
        """Writes a TensorFlow SavedModel from any backend: `kzoo.export.saved_model`.

        Other formats are Keras's own and hold what `call` computes.
        """
        if format != "tf_saved_model":
            return super().export(filepath, format=format, verbose=verbose, **kwargs)
        return saved_model(self, filepath, verbose=verbose, **kwargs)


def normal_numbers(shape, seed=None):
    """Standard normal float32 numbers, the same for a seed on every backend."""
    if seed is not None:
        checks.whole_number("seed", seed)
    return _generator(seed).standard_normal(shape, "float32")


def _generator(seed):
    """NumPy's generator, because its stream is the same on every backend."""
    return np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
