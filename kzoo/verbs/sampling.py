"""What every trained model does: sample, generate, export."""

import types

import keras
import numpy as np
import scipy.special
from keras import ops

from kzoo import backend, checks
from kzoo.export import saved_model

BATCH = 256  # how many examples are run at a time


class Verbs:
    """The verbs of every generative model: numpy in, numpy out, any number of examples.

    The model has `image_shape`, `latent_dim`, `num_classes` and `generate_batch`, which
    maps latents and labels to images in [0, 1], tensors to tensors.
    """

    def prior(self, normal):
        """Latents from the prior, made of standard normal numbers.

        `(n, prior_size)` to `(n, latent_dim)`. One function for training and, unless a
        sampler is fitted, for what is drawn after it; a model with another prior
        overrides it.
        """
        return normal

    @property
    def prior_size(self):
        """How many standard normal numbers `prior` takes for a draw."""
        return self.latent_dim

    def conditional_prior(self, normal, labels=None):
        """`prior` given labels `(n,)`, for a model whose prior depends on them."""
        return self.prior(normal)

    @property
    def latent_source(self):
        """What `sample`, here and exported, draws latents by: a function and its size.

        The function maps `(n, size)` standard normal numbers, and labels where there
        are classes, to `(n, latent_dim)`.
        """
        return self.conditional_prior, self.prior_size

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        """Latents to sample from: float32 `(n, latent_dim)`, the same for a seed.

        `truncation` and `labels` as in `sample`.
        """
        source, size = self.latent_source
        normal = normal_numbers((n, size), seed)
        if truncation is not None:  # numbers after these choose, say, a component
            latents = slice(self.latent_dim)
            normal[:, latents] = truncated(normal[:, latents], truncation)
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
        seed = np.random.randint(2**31) if seed is None else seed
        labels = self.draw_labels(n, seed, labels)
        return self.generate(self.draw_latents(n, seed, truncation, labels), labels)

    def draw_labels(self, n, seed, labels=None):
        """`n` labels: those given, one of them for all, or uniform ones; or None."""
        if self.num_classes and labels is None:
            return _generator([seed, 1]).integers(self.num_classes, size=n)
        if np.ndim(labels) == 0 and labels is not None:
            return np.full(n, labels)
        return labels

    def generate(self, latents, labels=None):
        """Maps latents `(n, latent_dim)` to float32 images `(n, h, w, c)` in [0, 1]."""
        latents = np.asarray(latents, "float32")
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise ValueError(
                f"Expected latents of shape (n, {self.latent_dim}). "
                f"Received: {checks.describe(latents)}."
            )
        return self._run(self.generate_batch, latents, labels=labels)

    def _run(self, verb, *arrays, labels=None):
        """Runs the tensor function `verb` over numpy arrays, labels last, in batches"""
        labels = None if labels is None else np.asarray(labels)
        checks.check_labels(labels, self.num_classes)
        count = len(arrays[0])
        if labels is not None and len(labels) != count:
            raise ValueError(
                f"Expected as many labels as inputs. Received: {len(labels)} labels "
                f"for {count} inputs."
            )
        if labels is not None:
            arrays = (*arrays, labels.astype("int32"))
        run = self._compiled(verb)
        batches = (
            run(*(ops.convert_to_tensor(a[i : i + BATCH]) for a in arrays))
            for i in range(0, max(count, 1), BATCH)
        )
        return np.concatenate([ops.convert_to_numpy(batch) for batch in batches])

    def _compiled(self, verb):
        # In a namespace, because Keras and TensorFlow track what they find in a dict.
        if not hasattr(self, "_compiled_verbs"):
            self.forget_compiled()
        if not hasattr(self._compiled_verbs, verb.__name__):
            compiled = backend.inference(verb, self.variables)
            setattr(self._compiled_verbs, verb.__name__, compiled)
        return getattr(self._compiled_verbs, verb.__name__)

    def forget_compiled(self):
        """Drops compiled functions, which hold on to the variables of the model."""
        self._compiled_verbs = types.SimpleNamespace()

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


def truncated(normal, limit):
    """Standard normal numbers to such as are normal given that they lie in +- limit.

    Increasing, so that numbers stay near what they were.

    Raises:
        ValueError: unless `limit` is above 0.
    """
    if not limit > 0:
        raise ValueError(
            "Expected truncation to be a number above 0, such as 0.5, or None. "
            f"Received: truncation={limit!r}."
        )
    low, high = scipy.special.ndtr([-limit, limit])
    share = scipy.special.ndtr(normal.astype("float64"))
    return scipy.special.ndtri(low + share * (high - low)).astype("float32")


def normal_numbers(shape, seed=None):
    """Standard normal float32 numbers, the same for a seed on every backend."""
    return _generator(seed).standard_normal(shape, "float32")


def _generator(seed):
    """NumPy's generator, because its stream is the same on every backend."""
    return np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
