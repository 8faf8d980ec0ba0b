"""The VAE and the DCGAN as keras.io's examples train them: TensorFlow, a `train_step`.

Keras layers and `model.fit`, and in each model a `train_step` of its own with gradient
tapes, optimizers and `keras.metrics.Mean`. The networks are those of the benchmark.
"""

import math

import keras
import tensorflow as tf
from keras import layers


def trainer(name, batch_size, compiled=False):
    """`(epoch, weights)`: a function that trains once over images, and their count."""
    model = MODELS[name]()
    model.start(compiled)
    data = {}

    def epoch(images):
        if not data:
            data["images"] = images.astype("float32") / 255
        model.fit(data["images"], batch_size=batch_size, verbose=0)

    return epoch, sum(math.prod(w.shape) for w in model.trainable_weights)


class Sampling(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs):
        mean, log_var = inputs
        noise = keras.random.normal(tf.shape(mean), seed=self.seed_generator)
        return mean + tf.exp(0.5 * log_var) * noise


def encoder():
    images = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, 2, "same", activation="relu")(images)
    x = layers.Conv2D(64, 3, 2, "same", activation="relu")(x)
    x = layers.Dense(40, activation="relu")(layers.Flatten()(x))
    mean, log_var = layers.Dense(20)(x), layers.Dense(20)(x)
    return keras.Model(images, [mean, log_var, Sampling()([mean, log_var])])


def decoder():
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(7 * 7 * 64, activation="relu"),
            layers.Reshape((7, 7, 64)),
            layers.Conv2DTranspose(64, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(32, 3, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
        ]
    )


class VAE(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = encoder(), decoder()
        names = ("loss", "reconstruction_loss", "kl_loss")
        self.means = [keras.metrics.Mean(name=name) for name in names]

    @property
    def metrics(self):
        return self.means

    def start(self, compiled):
        self.compile(keras.optimizers.Adam(), jit_compile=compiled)

    def train_step(self, data):
        with tf.GradientTape() as tape:
            mean, log_var, latents = self.encoder(data)
            nats = keras.losses.binary_crossentropy(data, self.decoder(latents))
            reconstruction = tf.reduce_mean(tf.reduce_sum(nats, axis=(1, 2)))
            kl = 0.5 * (tf.exp(log_var) + tf.square(mean) - 1 - log_var)
            kl = tf.reduce_mean(tf.reduce_sum(kl, axis=1))
            loss = reconstruction + kl
        grads = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        for metric, value in zip(self.means, (loss, reconstruction, kl), strict=True):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.means}


def generator():
    return keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            layers.Reshape((7, 7, 256)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(128, 4, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ]
    )


def discriminator():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(128, 4, 2, "same"),
            layers.LeakyReLU(0.2),
            layers.Conv2D(256, 4, 2, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


class DCGAN(keras.Model):
    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = generator(), discriminator()
        self.seed_generator = keras.random.SeedGenerator(0)
        names = ("d_loss", "g_loss")
        self.means = [keras.metrics.Mean(name=name) for name in names]
        self.loss_fn = keras.losses.BinaryCrossentropy()
        self.built = True

    @property
    def metrics(self):
        return self.means

    def start(self, compiled):
        self.compile(jit_compile=compiled)
        self.d_optimizer, self.g_optimizer = (
            keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)
        )

    def train_step(self, images):
        n = tf.shape(images)[0]
        latents = keras.random.normal((n, 100), seed=self.seed_generator)
        both = tf.concat([self.generator(latents, training=True), images], axis=0)
        labels = tf.concat([tf.ones((n, 1)), tf.zeros((n, 1))], axis=0)
        with tf.GradientTape() as tape:
            scores = self.discriminator(both, training=True)
            d_loss = self.loss_fn(labels, scores)
        weights = self.discriminator.trainable_weights
        grads = tape.gradient(d_loss, weights)
        self.d_optimizer.apply_gradients(zip(grads, weights, strict=True))

        latents = keras.random.normal((n, 100), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            fakes = self.generator(latents, training=True)
            scores = self.discriminator(fakes, training=True)
            g_loss = self.loss_fn(tf.zeros((n, 1)), scores)
        weights = self.generator.trainable_weights
        grads = tape.gradient(g_loss, weights)
        self.g_optimizer.apply_gradients(zip(grads, weights, strict=True))
        for metric, value in zip(self.means, (d_loss, g_loss), strict=True):
            metric.update_state(value)
        return {metric.name: metric.result() for metric in self.means}


MODELS = {"conv VAE": VAE, "DCGAN": DCGAN}
