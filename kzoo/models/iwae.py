"""Importance weighted autoencoder: Burda et al., arXiv:1509.00519.

The VAE's networks with a tighter bound: the logarithm of a mean of k importance weights
(equation 8). The more samples, the less the gradient of the encoder says (Rainforth et
al., arXiv:1802.04537); two estimators without that fault may be chosen: STL of Roeder
et al., arXiv:1703.09194, which leaves out a part whose mean is 0 for a bound of one
sample, and DReG of Tucker et al., arXiv:1810.04152, which is right for any number.
Differs from the paper: one layer of latents, and the rate of Adam does not fall unless
you let it, as benchmarks/likelihood.py does.
"""

import keras
from keras import ops

from kzoo import checks, losses
from kzoo.models.vae import VAE

GRADIENTS = ("dreg", "reparameterized", "stl")


@keras.saving.register_keras_serializable("kzoo")
class IWAE(VAE):
    """Importance weighted autoencoder (arXiv:1509.00519): a VAE with a tighter bound.

    Logs `loss`, the negative bound of k samples, and the parts of the bound of one
    sample, `reconstruction` and `kl`, all in nats an image. The networks are the
    paper's: 200-200 tanh units on each side, 50 latents, binarised pixels.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        samples: k, the latents drawn for an image in a step. 1 is a VAE.
        gradient: `"reparameterized"`, that of the bound itself; or for the encoder
            `"stl"` or `"dreg"`, which runs the decoder twice.
        widths: layer widths from image to latents; the decoder mirrors them.
        activation: of the hidden layers, a name that Keras knows.
        binarize: whether pixels are drawn as 0 or 1 in each step, as in `VAE`.
        **kwargs: any other argument of `VAE` that is not of its KL divergence: it has
            no `beta`, `kl`, `warmup_steps`, `capacity` or `free_bits`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.IWAE(image_shape=(8, 8, 1), samples=5)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.log_likelihood(images, samples=5000).mean()
    """

    fixed = ("beta", "kl", "warmup_steps", "capacity", "capacity_steps", "free_bits")

    def __init__(
        self,
        image_shape,
        latent_dim=50,
        samples=5,
        gradient="reparameterized",
        widths=(200, 200),
        activation="tanh",
        binarize=True,
        **kwargs,
    ):
        self.refuse(kwargs)
        super().__init__(
            image_shape,
            latent_dim,
            widths=widths,
            activation=activation,
            binarize=binarize,
            **kwargs,
        )
        self.samples = checks.positive_int("samples", samples)
        self.gradient = checks.one_of("gradient", gradient, GRADIENTS)
        if gradient != "reparameterized" and self.posterior_name != "normal":
            raise ValueError(
                "gradient='stl' and 'dreg' need the density of given latents. Expected "
                f"posterior='normal'. Received: posterior={self.posterior_name!r}, "
                f"gradient={gradient!r}."
            )

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3, epsilon=1e-4)

    def negative_elbo(self, images, labels=None, training=True):
        images = self.binarized(images)
        noise = self.latent_noise(images)
        evidence, prior = self.weighted(images, noise, labels, training)
        loss = -self.bound(evidence + prior)
        logs = {"reconstruction": -ops.mean(evidence), "kl": -ops.mean(prior)}
        return loss, {"loss": loss, **logs}

    @property
    def draws_per_image(self):
        return self.samples

    def latent_noise(self, images):
        rows = ops.shape(images)[0]
        return self.noise((rows, self.draws_per_image, self.latent_dim))

    def bound(self, log_weights):
        """Equation 8, a mean over images, of `(batch, samples)` to a scalar."""
        return ops.mean(losses.log_mean_exp(log_weights))

    def weighted(self, images, noise, labels, training):
        """`log_weights`, `(batch, samples)` each, with the estimator's gradients."""
        if self.gradient == "reparameterized" or not training:
            return self.log_weights(images, noise, labels, training)
        parameters, latents, log_density = self.draws(images, noise, labels, training)
        if self.gradient == "dreg":
            weights = sum(self.weigh(images, latents, log_density, labels, training))
            share = ops.reshape(ops.softmax(weights, axis=-1), (-1, 1))
            latents = scale_gradient(latents, ops.stop_gradient(share))
        # The encoder learns by where the latents are, not by how they are judged.
        fixed = [ops.stop_gradient(p) for p in parameters]
        log_density = losses.normal_log_density(latents, *fixed)
        return self.weigh(images, latents, log_density, labels, training)

    def get_config(self):
        config = super().get_config()
        return {**config, "samples": self.samples, "gradient": self.gradient}


def scale_gradient(tensor, factor):
    """The tensor itself, of whose gradient only the `factor` is passed on."""
    return factor * tensor + ops.stop_gradient((1 - factor) * tensor)
