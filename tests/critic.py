"""A Wasserstein GAN with a gradient penalty, as small as the engine allows.

It shows what a model of the zoo needs, and takes a gradient of a gradient.
"""

import keras
from keras import layers, ops

from kzoo import GenerativeModel, backend


@keras.saving.register_keras_serializable("test")
class Critic(GenerativeModel):
    """Its arguments are attributes, by which the base class writes its config."""

    def __init__(self, image_shape=(4, 4, 1), latent_dim=3, linear=False, **kwargs):
        super().__init__(image_shape, latent_dim, **kwargs)
        self.linear = linear
        self.generator = keras.Sequential(
            [
                keras.Input((latent_dim,)),
                layers.Dense(16, activation="sigmoid"),
                layers.Reshape(image_shape),
            ]
        )
        hidden = [] if linear else [layers.Dense(8, activation="tanh")]
        self.critic = keras.Sequential(
            [keras.Input(image_shape), layers.Flatten(), *hidden, layers.Dense(1)]
        )
        self.watch("critic_loss", "gradient_penalty", "generator_loss")
        self.built = True

    def default_optimizer(self):
        return {"critic": keras.optimizers.Adam(), "generator": keras.optimizers.Adam()}

    @backend.portable_step
    def train_step(self, images, labels=None):
        for _ in range(2):
            logs = self.minimize(self.critic_loss, images, over="critic")
        logs |= self.minimize(self.generator_loss, images, over="generator")
        return self.report(logs, images)

    @backend.portable_step
    def test_step(self, images, labels=None):
        logs = self.critic_loss(images)[1] | self.generator_loss(images)[1]
        return self.report(logs, images)

    def critic_loss(self, real):
        fake = self.fakes_like(real)
        mix = self.noise((ops.shape(real)[0], 1, 1, 1), keras.random.uniform)
        slope = backend.input_gradient(self.critic, mix * real + (1 - mix) * fake)
        norm = ops.sqrt(ops.sum(ops.square(slope), axis=(1, 2, 3)) + 1e-12)
        penalty = ops.mean(ops.square(norm - 1))
        loss = ops.mean(self.critic(fake)) - ops.mean(self.critic(real)) + 10 * penalty
        return loss, {"critic_loss": loss, "gradient_penalty": penalty}

    def generator_loss(self, real):
        loss = -ops.mean(self.critic(self.fakes_like(real)))
        return loss, {"generator_loss": loss}

    def fakes_like(self, images):
        return self.generate_batch(self.noise((ops.shape(images)[0], self.latent_dim)))

    def generate_batch(self, latents, labels=None):
        return self.generator(latents)

    def call(self, latents):
        return self.generator(latents)
