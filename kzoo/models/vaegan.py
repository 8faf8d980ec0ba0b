"""VAE/GAN: Larsen et al., arXiv:1512.09300.

A VAE and a GAN that share a network: the VAE's decoder is the GAN's generator, and
reconstructions are compared with images by features of the discriminator instead of
pixel by pixel. Differs from the paper: the networks are those of `GAN`, and each phase
draws its own latents and sees what the phase before it has learned, where algorithm 1
takes all three gradients at the same point. Algorithm 1 lowers L_GAN by the
discriminator and raises it by the decoder, so L_GAN is a cross-entropy here, the
negative of what the paper writes.
"""

import functools

import keras
from keras import ops

from kzoo import backend, checks, config
from kzoo.base import AutoencoderModel
from kzoo.networks.autoencoder import posterior_layers
from kzoo.networks.blocks import GANNetworks, features, network
from kzoo.networks.dcgan import DCGANNetworks
from kzoo.networks.mlp import MLPNetworks
from kzoo.parts.densities import normal_draw, normal_kl, normal_log_density

# Not "resnet", whose features are sums over all pixels and do not say what is where.
NETWORKS = {
    "dcgan": DCGANNetworks,
    "mlp": functools.partial(MLPNetworks, dropout=0.0),  # features without noise
}


@keras.saving.register_keras_serializable("kzoo")
class VAEGAN(AutoencoderModel):
    """VAE/GAN (arXiv:1512.09300): an autoencoder that draws as sharply as a GAN.

    Logs `encoder_loss` = `kl` + `reconstruction`, in nats an image, where
    `reconstruction` is the negative log-likelihood of the discriminator's features,
    normal with variance 1; `decoder_loss` = gamma * `reconstruction` -
    `discriminator_loss`; and `discriminator_loss`, the cross-entropies of images,
    reconstructions and samples, which are 3 log 2 while it is undecided. Pixels have no
    likelihood.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latents.
        architecture: `"dcgan"`, which doubles the sides once for each width, or
            `"mlp"`, without dropout; or an object of `kzoo.networks`, as in `GAN`, such
            as `DCGANNetworks((256, 128))`. The encoder is built as the discriminator.
        gamma: weight of the features' likelihood, a sum over them, against the
            adversarial loss of the decoder.
        num_classes: number of labels to condition all three networks on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            `[mean, log_var]`, each `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to images
            in [0, 1]: it ends in a sigmoid, say. Where nothing bounds them, they are
            clipped after training; one that ends in a tanh is refused.
        discriminator: your own `keras.Model` from images in [0, 1], or
            `[images, labels]`, to `[logits, features]`: `(batch, 1)` without a sigmoid,
            and any hidden layer.
        **kwargs: `optimizers`, `name`, `dtype`: see `kzoo.base.PhasedModel`.

    Example:

    >>> images, _ = kzoo.data.load("digits")
    >>> model = kzoo.models.VAEGAN(image_shape=(8, 8, 1), latent_dim=16)
    >>> model.compile()
    >>> model.fit(images, epochs=20)
    >>> model.reconstruct(images[:16]).shape
    (16, 8, 8, 1)
    """

    def __init__(
        self,
        image_shape,
        latent_dim=128,
        architecture="dcgan",
        gamma=1e-3,
        num_classes=None,
        encoder=None,
        decoder=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        self.architecture = config.part(
            "architecture", architecture, GANNetworks, NETWORKS
        )
        self.gamma = checks.number("gamma", gamma, least=0)
        self.add_networks(encoder, decoder, discriminator)
        self.watch(
            "encoder_loss",
            "kl",
            "reconstruction",
            "decoder_loss",
            "discriminator_loss",
        )
        self.built = True

    def add_networks(self, encoder, decoder, discriminator):
        build, classes = self.architecture, self.num_classes
        code, pixels = (self.latent_dim,), self.image_shape

        def judge():
            return build.discriminator(pixels, classes)

        self.add_network(
            "encoder",
            encoder,
            lambda: with_posterior(judge(), self.latent_dim),
            pixels,
            [code, code],
            classes,
            ["codes", "log_var"],
        )
        self.add_network(
            "decoder",
            decoder,
            lambda: build.generator(pixels, self.latent_dim, classes),
            code,
            pixels,
            classes,
            "images",
        )
        any_shape = None
        self.add_network(
            "discriminator",
            discriminator,
            lambda: with_features(judge()),
            pixels,
            [(1,), any_shape],
            classes,
            ["logits", None],
        )

    def default_optimizer(self):
        return {
            "encoder": keras.optimizers.RMSprop(3e-4),
            "decoder": keras.optimizers.RMSprop(3e-4),
            "discriminator": keras.optimizers.RMSprop(3e-4),
        }

    @backend.portable_step
    def train_step(self, images, labels=None):
        logs = self.minimize(self.encoder_loss, images, labels, over="encoder")
        logs |= self.minimize(self.decoder_loss, images, labels, over="decoder")
        logs |= self.minimize(
            self.discriminator_loss, images, labels, over="discriminator"
        )
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        _, logs = self.encoder_loss(images, labels, training=False)
        logs |= self.decoder_loss(images, labels, training=False)[1]
        logs |= self.discriminator_loss(images, labels, training=False)[1]
        return self.report(logs, images)

    def encoder_loss(self, images, labels=None, training=True):
        mean, log_var = self.posterior_parameters(images, labels, training)
        decoded = self.decoded(mean, log_var, labels, training)
        kl = ops.mean(normal_kl(mean, log_var))
        reconstruction, _, _ = self.compared(images, decoded, labels, training)
        loss = kl + reconstruction
        return loss, {"encoder_loss": loss, "kl": kl, "reconstruction": reconstruction}

    def decoder_loss(self, images, labels=None, training=True):
        reconstruction, cross_entropy = self.shared_losses(images, labels, training)
        loss = self.gamma * reconstruction - cross_entropy
        return loss, {"decoder_loss": loss}

    def discriminator_loss(self, images, labels=None, training=True):
        _, cross_entropy = self.shared_losses(images, labels, training)
        return cross_entropy, {"discriminator_loss": cross_entropy}

    def shared_losses(self, images, labels, training):
        """L_llike and L_GAN of algorithm 1 in nats, means over the batch."""
        posterior = self.posterior_parameters(images, labels, training)
        decoded = self.decoded(*posterior, labels, training)
        latents = self.latents_like(images)
        samples = self.generate_batch(latents, labels, training)
        reconstruction, real, fake = self.compared(images, decoded, labels, training)
        drawn, _ = self.judged(samples, labels, training)
        wrong = ops.softplus(-real) + ops.softplus(fake) + ops.softplus(drawn)
        return reconstruction, ops.mean(wrong)

    def decoded(self, mean, log_var, labels, training):
        """Images decoded from one draw of each posterior."""
        latents = normal_draw(mean, log_var, self.noise(ops.shape(mean)))
        return self.generate_batch(latents, labels, training)

    def compared(self, images, decoded, labels, training):
        """Equation 7: -log N(features of images; features of `decoded`, I), a mean.

        Returns it in nats with both logits, `(batch, 1)`.
        """
        real, expected = self.judged(images, labels, training)
        fake, received = self.judged(decoded, labels, training)
        nats = -normal_log_density(expected, received)
        return ops.mean(nats), real, fake

    def posterior_parameters(self, images, labels=None, training=False):
        """Mean and log variance of q(latents | images), each `(batch, latent_dim)`."""
        mean, log_var = self.encoder(self.given(images, labels), training=training)
        return ops.cast(mean, "float32"), ops.cast(log_var, "float32")

    def judged(self, images, labels, training):
        """Logits `(batch, 1)`, large for real, and features `(batch, features)`."""
        logits, hidden = self.discriminator(
            self.given(images, labels), training=training
        )
        hidden = ops.reshape(hidden, (ops.shape(hidden)[0], -1))
        return ops.cast(logits, "float32"), ops.cast(hidden, "float32")

    def encode_batch(self, images, labels=None):
        return self.posterior_parameters(images, labels)[0]

    def posterior_batch(self, images, noise, labels=None):
        return normal_draw(*self.posterior_parameters(images, labels), noise)

    def generate_batch(self, latents, labels=None, training=False):
        images = self.decoder(self.given(latents, labels), training=training)
        images = ops.cast(images, "float32")
        return images if training else ops.clip(images, 0.0, 1.0)


def with_posterior(discriminator, latent_dim):
    """An encoder: the discriminator with a posterior in the place of its logit."""
    posterior = posterior_layers(features(discriminator), latent_dim)
    return network(discriminator.inputs, posterior, "encoder")


def with_features(discriminator):
    """The discriminator, which also returns its features, Dis_l of the paper."""
    outputs = [discriminator.output, features(discriminator)]
    return network(discriminator.inputs, outputs, "discriminator")
