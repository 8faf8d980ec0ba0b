"""What a trained model does: sample, generate, export."""

import types

import keras
import numpy as np
import scipy.special
import tqdm
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

        `(n, prior_size)` to `(n, latent_dim)`. One function for training, `sample` and
        the exported `sample`; a model with another prior overrides it.
        """
        return normal

    @property
    def prior_size(self):
        """How many standard normal numbers `prior` takes for a draw."""
        return self.latent_dim

    def conditional_prior(self, normal, labels=None):
        """`prior` given labels `(n,)`, for a model whose prior depends on them."""
        return self.prior(normal)

    def draw_latents(self, n, seed=None, truncation=None, labels=None):
        """Latents from the prior: float32 `(n, latent_dim)`, the same for a seed.

        `truncation` and `labels` as in `sample`.
        """
        normal = normal_numbers((n, self.prior_size), seed)
        if truncation is not None:
            normal = truncated(normal, truncation)
        return np.array(ops.convert_to_numpy(self.conditional_prior(normal, labels)))

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
        return self._run(self.generate_batch, latents, labels)

    def _run(self, verb, inputs, labels=None):
        """Runs the tensor function `verb` over numpy inputs in batches."""
        labels = None if labels is None else np.asarray(labels)
        checks.check_labels(labels, self.num_classes)
        arrays = [inputs] if labels is None else [inputs, labels.astype("int32")]
        if any(len(array) != len(inputs) for array in arrays):
            raise ValueError(
                f"Expected as many labels as inputs. Received: {len(labels)} labels "
                f"for {len(inputs)} inputs."
            )
        run = self._compiled(verb)
        batches = (
            run(*(ops.convert_to_tensor(a[i : i + BATCH]) for a in arrays))
            for i in range(0, max(len(inputs), 1), BATCH)
        )
        return np.concatenate([ops.convert_to_numpy(batch) for batch in batches])

    def _compiled(self, verb):
        # In a namespace, because Keras and TensorFlow track what they find in a dict.
        if not hasattr(self, "_compiled_verbs"):
            self._compiled_verbs = types.SimpleNamespace()
        if not hasattr(self._compiled_verbs, verb.__name__):
            compiled = backend.inference(verb, self.variables)
            setattr(self._compiled_verbs, verb.__name__, compiled)
        return getattr(self._compiled_verbs, verb.__name__)

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


class AutoencoderVerbs(Verbs):
    """The verbs of a model that can also encode.

    The model has `encode_batch` and `reconstruct_batch` as well, tensors to tensors.
    """

    def encode(self, images, labels=None):
        """Codes, or posterior means, `(n, latent_dim)` of images `(n, h, w, c)`."""
        images = checks.images_array(images, self.image_shape)
        return self._run(self.encode_batch, images, labels)

    def decode(self, latents, labels=None):
        """The same as `generate`."""
        return self.generate(latents, labels)

    def reconstruct(self, images, labels=None):
        """Images decoded from what `encode` returns, in [0, 1], float32."""
        images = checks.images_array(images, self.image_shape)
        return self._run(self.reconstruct_batch, images, labels)

    def signatures(self):
        shape = (None, *self.image_shape)
        images = keras.InputSpec(shape=shape, dtype="float32", name="images")
        inputs = [images, *self.label_specs()]
        generate = super().signatures()["generate"]
        return {
            "reconstruct": (self.reconstruct_batch, inputs),
            "encode": (self.encode_batch, inputs),
            "decode": generate,
            "generate": generate,
        }


class LikelihoodVerbs(AutoencoderVerbs):
    """The verbs of an autoencoder that gives images a likelihood.

    The model has `binarize`, whether it models pixels as 0 or 1, and
    `log_weights_batch`, which maps images, latent noise `(batch, samples, latent_dim)`
    and labels to two tensors `(batch, samples)` in nats: log p(images | latents), and
    log p(latents) - log q(latents | images).
    """

    def elbo(self, images, samples=10, labels=None, seed=0):
        """The evidence lower bound and its parts, in nats, by sampling the posterior.

        Args:
            images: `(n, height, width, channels)`, uint8 in [0, 255] or float in
                [0, 1]. A model with `binarize` scores one binary draw of them.
            samples: latents drawn for each image.
            labels: `(n,)` integers, if the model has classes.
            seed: whole number; the same gives the same numbers on each backend, up to
                rounding.

        Returns:
            `{"elbo", "reconstruction", "kl"}`, each float64 `(n,)`: elbo =
            -(reconstruction + kl), where reconstruction is -log p(image | latents) and
            kl is log q(latents | image) - log p(latents), means over the samples.
        """
        parts = {"reconstruction": [], "kl": []}
        for evidence, prior in self._log_weights(images, samples, labels, seed):
            parts["reconstruction"].append(-evidence.mean(axis=1))
            parts["kl"].append(-prior.mean(axis=1))
        parts = {name: np.concatenate(values) for name, values in parts.items()}
        return {"elbo": -(parts["reconstruction"] + parts["kl"]), **parts}

    def log_likelihood(self, images, samples=5000, labels=None, seed=0, verbose=False):
        """A lower bound of log p(image) in nats, by importance sampling: `(n,)`.

        log mean p(image, latents) / q(latents | image) over `samples` latents from the
        posterior: Burda et al., arXiv:1509.00519, equation 8. It grows with `samples`
        and converges to the log-likelihood. Arguments as for `elbo`; `verbose` shows
        a progress bar.
        """
        weights = self._log_weights(images, samples, labels, seed)
        bars = tqdm.tqdm(total=len(images), disable=not verbose, desc="log-likelihood")
        bounds = []
        with bars:
            for evidence, prior in weights:
                total = scipy.special.logsumexp(evidence + prior, axis=1)
                bounds.append(total - np.log(samples))
                bars.update(len(total))
        return np.concatenate(bounds)

    def _log_weights(self, images, samples, labels, seed, rows=4096):
        """Yields what `log_weights_batch` returns for a few images, all their samples.

        At most about `rows` latents are decoded at a time.
        """
        checks.positive_int("samples", samples)
        checks.check_values(checks.to_numpy(images), self.image_shape)
        labels = None if labels is None else np.asarray(labels)
        checks.check_labels(labels, self.num_classes)
        rng = np.random.default_rng(seed)
        step = min(samples, max(1, rows // 32))
        for i in range(0, len(images), 32):
            batch = checks.images_array(images[i : i + 32], self.image_shape)
            if self.binarize:
                batch = np.float32(rng.random(batch.shape, "float32") < batch)
            given = [] if labels is None else [np.int32(labels[i : i + 32])]
            parts = []
            for k in range(0, samples, step):
                shape = (len(batch), min(step, samples - k), self.latent_dim)
                noise = rng.standard_normal(shape, "float32")
                tensors = map(ops.convert_to_tensor, (batch, noise, *given))
                run = self._compiled(self.log_weights_batch)
                parts.append([ops.convert_to_numpy(part) for part in run(*tensors)])
            yield np.concatenate(parts, axis=2).astype("float64")


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
