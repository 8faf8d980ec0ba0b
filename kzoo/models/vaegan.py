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

from kzoo import backend, checks, losses
from kzoo.layers import Sampling
from kzoo.models import gan
from kzoo.networks import check_widths, features, network
from kzoo.networks.autoencoder import posterior_layers
from kzoo.training import GenerativeModel
from kzoo.verbs import AutoencoderVerbs

# Not "resnet", whose features are sums over all pixels and do not say what is where.
ARCHITECTURES = {name: gan.ARCHITECTURES[name] for name in ("dcgan", "mlp")}


def build_encoder(image_shape, latent_dim, widths, num_classes=None, build=None):
    """A discriminator of the GAN with a posterior in the place of its logit."""
    judge = build(image_shape, latent_dim, widths, num_classes)
    posterior = posterior_layers(features(judge), latent_dim)
    return network(judge.inputs, posterior, "encoder")


def build_discriminator(image_shape, latent_dim, widths, num_classes=None, build=None):
    """A discriminator of the GAN that also returns its features, Dis_l of the paper."""
    judge = build(image_shape, latent_dim, widths, num_classes)
    return network(judge.inputs, [judge.output, features(judge)], "discriminator")


@keras.saving.register_keras_serializable("kzoo")
class VAEGAN(AutoencoderVerbs, GenerativeModel):
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
            `"mlp"`, as in `GAN`.
        gamma: weight of the features' likelihood, a sum over them, against the game's
            for the decoder.
        widths: layer widths from latents to images; encoder and discriminator mirror
            them. Defaults as in `GAN`.
        num_classes: number of labels to condition all three networks on, or None.
        encoder: your own `keras.Model` from images in [0, 1], or `[images, labels]`, to
            `[mean, log_var]`, each `(batch, latent_dim)`.
        decoder: your own `keras.Model` from latents, or `[latents, labels]`, to images
            in [0, 1]: it ends in a sigmoid, say.
        discriminator: your own `keras.Model` from images in [0, 1], or
            `[images, labels]`, to `[logits, features]`: `(batch, 1)` without a sigmoid,
            and any hidden layer.

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
        widths=None,
        num_classes=None,
        encoder=None,
        decoder=None,
        discriminator=None,
        **kwargs,
    ):
        super().__init__(image_shape, latent_dim, num_classes, **kwargs)
        checks.one_of("architecture", architecture, ARCHITECTURES)
        build_decoder, build_judge, default = ARCHITECTURES[architecture]
        self.architecture = architecture
        self.gamma = gamma
        self.widths = check_widths(
            default(self.image_shape) if widths is None else widths
        )

        code, pixels = (self.latent_dim,), self.image_shape
        build = functools.partial(build_encoder, build=build_judge)
        self.add_network("encoder", encoder, build, pixels, [code, code])
        self.add_network("decoder", decoder, build_decoder, code, pixels)
        build = functools.partial(build_discriminator, build=build_judge)
        any_shape = None
        self.add_network(
            "discriminator", discriminator, build, pixels, [(1,), any_shape]
        )
        self.sampling = Sampling(dtype="float32")
        self.watch(
            "encoder_loss",
            "kl",
            "reconstruction",
            "decoder_loss",
            "discriminator_loss",
        )
        self.built = True

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
        mean, log_var = self.posterior(images, labels, training)
        decoded = self.decoded(mean, log_var, labels, training)
        kl = ops.mean(losses.normal_kl(mean, log_var))
        reconstruction, _, _ = self.compared(images, decoded, labels, training)
        loss = kl + reconstruction
        return loss, {"encoder_loss": loss, "kl": kl, "reconstruction": reconstruction}

    def decoder_loss(self, images, labels=None, training=True):
        reconstruction, cross_entropy = self.game(images, labels, training)
        loss = self.gamma * reconstruction - cross_entropy
        return loss, {"decoder_loss": loss}

    def discriminator_loss(self, images, labels=None, training=True):
        _, cross_entropy = self.game(images, labels, training)
        return cross_entropy, {"discriminator_loss": cross_entropy}

    def game(self, images, labels, training):
        """L_llike and L_GAN of algorithm 1 in nats, means over the batch."""
        posterior = self.posterior(images, labels, training)
        decoded = self.decoded(*posterior, labels, training)
        latents = self.prior(self.noise(ops.shape(posterior[0])))
        samples = self.generate_batch(latents, labels, training)
        reconstruction, real, fake = self.compared(images, decoded, labels, training)
        drawn, _ = self.judged(samples, labels, training)
        wrong = ops.softplus(-real) + ops.softplus(fake) + ops.softplus(drawn)
        return reconstruction, ops.mean(wrong)

    def decoded(self, mean, log_var, labels, training):
        """Images decoded from one draw of each posterior."""
        latents = self.sampling(mean, log_var, self.noise(ops.shape(mean)))
        return self.generate_batch(latents, labels, training)

    def compared(self, images, decoded, labels, training):
        """Equation 7: -log N(features of images; features of `decoded`, I), a mean.

        Returns it in nats with both logits, `(batch, 1)`.
        """
        real, expected = self.judged(images, labels, training)
        fake, received = self.judged(decoded, labels, training)
        nats = -losses.normal_log_density(expected, received)
        return ops.mean(nats), real, fake

    def posterior(self, images, labels=None, training=False):
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

    def call(self, inputs, training=False):
        images, labels = inputs if self.num_classes else (inputs, None)
        return self.reconstruct_batch(checks.unit_range(images), labels)

    def encode_batch(self, images, labels=None):
        return self.posterior(images, labels)[0]

    def posterior_batch(self, images, noise, labels=None):
        return self.sampling(*self.posterior(images, labels), noise)

    def generate_batch(self, latents, labels=None, training=False):
        images = self.decoder(self.given(latents, labels), training=training)
        return ops.cast(images, "float32")

    def reconstruct_batch(self, images, labels=None):
        return self.generate_batch(self.encode_batch(images, labels), labels)

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture,
            "gamma": self.gamma,
            "widths": self.widths,
        }
