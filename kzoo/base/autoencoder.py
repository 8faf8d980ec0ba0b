"""A generative model that also encodes: reconstructions, samplers of its latents."""

import keras
import numpy as np

from kzoo import checks, samplers
from kzoo.backend import keras_internals
from kzoo.base.generative import GenerativeModel


class AutoencoderModel(GenerativeModel):
    """A generative model that also encodes.

    A subclass has `encode_batch`, tensors to tensors, as well as `generate_batch`, and
    may have a `reconstruct_batch` of its own.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sampler = None  # or what `fit_sampler` has fitted

    def encode(self, images, labels=None):
        """Codes, or posterior means, `(n, latent_dim)` of images `(n, h, w, c)`."""
        images = self.medium.array(images)
        return self._run(self.encode_batch, images, labels=labels)

    def decode(self, latents, labels=None):
        """`generate`, by the name that goes with `encode`."""
        return self.generate(latents, labels)

    def reconstruct(self, images, labels=None):
        """Images decoded from what `encode` returns, in [0, 1], float32."""
        images = self.medium.array(images)
        return self._run(self.reconstruct_batch, images, labels=labels)

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(self.medium.normalized(images), labels)

    def check_inputs(self, inputs):
        images, labels = self._inputs_and_labels(inputs)
        self.medium.check_values(images)
        checks.same_length(images, labels)

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def posterior_batch(self, images, noise, labels=None):
        """A draw of each image's latents by `noise` from N(0, I), `(n, latent_dim)`.

        Without a posterior, as here, these are its codes.
        """
        return self.encode_batch(images, labels)

    def fit_sampler(self, kind, images=None, labels=None, seed=0, **options):
        """Fits to the latents of images what `sample` shall draw them from.

        The sampler is saved and exported with the model, in the place of an earlier
        one. Call it between runs of `fit`: training goes on as it would have, by the
        prior, and does not move the sampler, which has to be fitted again. Losses and
        likelihoods stay those of the prior.

        Args:
            kind: `"normal"`, with all covariances; `"mixture"` of such (option
                `components`, 10); `"flow"` (`flows`, `widths`, `steps`); `"two_stage"`,
                a VAE of latents (`widths`, `steps`): see `kzoo.samplers`. None goes
                back to the prior.
            images: `(n, height, width, channels)`, uint8 in [0, 255] or float in
                [0, 1]: those that the model was trained on.
            labels: `(n,)` integers, if the model has classes. The sampler is that of
                all classes together.
            seed: whole number, of one latent for each image and of the fit.
            **options: of the kind.

        Example:

        >>> model.fit_sampler("mixture", images, components=20)
        >>> model.sample(16, seed=0)
        """
        if kind is None:
            return self._set_sampler(None)
        checks.one_of("kind", kind, samplers.KINDS)
        checks.whole_number("seed", seed)
        self.medium.check_batch(images)
        images = self.medium.array(images)
        shape = len(images), self.latent_dim
        noise = np.random.default_rng(seed).standard_normal(shape, "float32")
        latents = self._run(self.posterior_batch, images, noise, labels=labels)
        self._set_sampler(samplers.fit(kind, latents, seed, **options))

    def _set_sampler(self, sampler):
        keras_internals.untrack(self, self.sampler)  # Keras would keep its weights
        self.sampler = sampler
        self.forget_compiled()

    @property
    def latent_source(self):
        """The layer that `sample` draws latents by: the sampler, or else the prior."""
        return self.prior if self.sampler is None else self.sampler

    def get_config(self):
        config = super().get_config()
        if self.sampler is not None:
            config["sampler"] = keras.saving.serialize_keras_object(self.sampler)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        sampler = config.pop("sampler", None)
        model = super().from_config(config)
        if sampler is not None:
            model._set_sampler(keras.saving.deserialize_keras_object(sampler))
        return model

    def signatures(self):
        inputs = [self.medium.spec(), *self.label_specs()]
        generate = super().signatures()["generate"]
        return {
            "reconstruct": (self.reconstruct_batch, inputs),
            "encode": (self.encode_batch, inputs),
            "decode": generate,
            "generate": generate,
        }
