"""An autoencoder that gives images a likelihood, and bounds of it."""

import numpy as np
import scipy.special
from keras import ops

from kzoo import checks
from kzoo.base.autoencoder import AutoencoderModel


class LikelihoodModel(AutoencoderModel):
    """An autoencoder that gives images a likelihood.

    A subclass has `likelihood`, a part from `kzoo.parts.likelihoods`, and
    `log_weights_batch`, which maps images, latent noise `(batch, samples, latent_dim)`
    and labels to two tensors `(batch, samples)` in nats: log p(images | latents), and
    log p(latents) - log q(latents | images).
    """

    def elbo(self, images, samples=10, labels=None, seed=0):
        """The evidence lower bound and its parts, in nats, by sampling the posterior.

        Args:
            images: `(n, height, width, channels)`, uint8 in [0, 255] or float in
                [0, 1]. With `Bernoulli(binarize=True)` one binary draw of them is
                scored.
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
        import tqdm

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
        checks.whole_number("seed", seed)
        self.medium.check_values(images)
        labels = None if labels is None else checks.flat_labels(checks.to_numpy(labels))
        checks.check_labels(labels, self.num_classes)
        checks.same_length(images, labels)
        rng = np.random.default_rng(seed)
        step = min(samples, max(1, rows // 32))
        for i in range(0, len(images), 32):
            batch = self.medium.array(images[i : i + 32])
            if self.likelihood.binarize:
                batch = np.float32(rng.random(batch.shape, "float32") < batch)
            given = [] if labels is None else [np.int32(labels[i : i + 32])]
            parts = []
            for k in range(0, samples, step):
                shape = (len(batch), min(step, samples - k), self.latent_dim)
                noise = rng.standard_normal(shape, "float32")
                tensors = map(ops.convert_to_tensor, (batch, noise, *given))
                run = self.compiled_for_inference(self.log_weights_batch)
                parts.append([ops.convert_to_numpy(part) for part in run(*tensors)])
            yield np.concatenate(parts, axis=2).astype("float64")
