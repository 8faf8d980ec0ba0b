"""The benchmark's models as a TensorFlow user writes them: one `tf.function` a step."""

import numpy as np
import tensorflow as tf


def trainer(name, batch_size, compiled=True):
    """`(epoch, weights)`: a function that trains once over images, and their count."""
    model = MODELS[name]()
    step = tf.function(model.step, jit_compile=compiled, autograph=False)
    rng = np.random.default_rng(0)

    def epoch(images):
        total = tf.zeros(())
        order = rng.permutation(len(images))
        for i in range(0, len(images), batch_size):
            total += step(images[order[i : i + batch_size]])
        return float(total)

    return epoch, sum(int(tf.size(w)) for w in model.weights)


class Adam:
    def __init__(self, weights, rate, beta_1, beta_2=0.999):
        self.weights, self.rate, self.betas = weights, rate, (beta_1, beta_2)
        self.moments = [
            (tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w)))
            for w in weights
        ]
        self.count = tf.Variable(0.0)

    def apply(self, grads):
        (beta_1, beta_2), step = self.betas, self.count.assign_add(1)
        rate = self.rate * tf.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        for w, g, (m, v) in zip(self.weights, grads, self.moments, strict=True):
            m.assign(beta_1 * m + (1 - beta_1) * g)
            v.assign(beta_2 * v + (1 - beta_2) * g * g)
            w.assign_sub(rate * m / (tf.sqrt(v) + 1e-7))


def variable(*shape):
    limit = np.sqrt(6 / (np.prod(shape[:-1]) + shape[-1]))
    return tf.Variable(tf.random.uniform(shape, -limit, limit))


def bias(width):
    return tf.Variable(tf.zeros(width))


def dense(inputs, outputs):
    return variable(inputs, outputs), bias(outputs)


def conv(size, inputs, outputs):
    return variable(size, size, inputs, outputs), bias(outputs)


def apply_dense(layer, x):
    return x @ layer[0] + layer[1]


def apply_conv(layer, x, stride=2):
    kernel, *bias = layer
    return sum(bias, tf.nn.conv2d(x, kernel, stride, "SAME"))


def apply_transposed(layer, x, stride=2):
    """The kernel is stored as (height, width, outputs, inputs)."""
    kernel, *bias = layer
    batch, height, width, _ = x.shape
    shape = (batch, height * stride, width * stride, kernel.shape[2])
    return sum(bias, tf.nn.conv2d_transpose(x, kernel, shape, stride, "SAME"))


class VAE:
    def __init__(self):
        self.weights = tf.nest.flatten(self.layers)
        self.optimizer = Adam(self.weights, 1e-3, 0.9)

    def step(self, images):
        images = tf.cast(images, "float32") / 255
        with tf.GradientTape() as tape:
            features = self.encode(images)
            mean = apply_dense(self.layers["mean"], features)
            log_var = apply_dense(self.layers["log_var"], features)
            latents = mean + tf.exp(0.5 * log_var) * tf.random.normal(mean.shape)
            logits = tf.reshape(self.decode(latents), images.shape)
            nats = tf.nn.sigmoid_cross_entropy_with_logits(images, logits)
            kl = 0.5 * tf.reduce_sum(tf.exp(log_var) + mean**2 - 1 - log_var)
            loss = (tf.reduce_sum(nats) + kl) / images.shape[0]
        self.optimizer.apply(tape.gradient(loss, self.weights))
        return loss


class MLPVAE(VAE):
    def __init__(self):
        self.layers = {
            "encoder": dense(784, 400),
            "mean": dense(400, 20),
            "log_var": dense(400, 20),
            "hidden": dense(20, 400),
            "pixels": dense(400, 784),
        }
        super().__init__()

    def encode(self, images):
        flat = tf.reshape(images, (images.shape[0], -1))
        return tf.nn.relu(apply_dense(self.layers["encoder"], flat))

    def decode(self, latents):
        hidden = tf.nn.relu(apply_dense(self.layers["hidden"], latents))
        return apply_dense(self.layers["pixels"], hidden)


class ConvVAE(VAE):
    def __init__(self):
        self.layers = {
            "down": [conv(3, 1, 32), conv(3, 32, 64)],
            "features": dense(7 * 7 * 64, 40),
            "mean": dense(40, 20),
            "log_var": dense(40, 20),
            "stem": dense(20, 7 * 7 * 64),
            "up": [
                (variable(3, 3, 64, 64), bias(64)),
                (variable(3, 3, 32, 64), bias(32)),
            ],
            "pixels": (variable(3, 3, 1, 32), bias(1)),
        }
        super().__init__()

    def encode(self, images):
        x = images
        for layer in self.layers["down"]:
            x = tf.nn.relu(apply_conv(layer, x))
        flat = tf.reshape(x, (x.shape[0], -1))
        return tf.nn.relu(apply_dense(self.layers["features"], flat))

    def decode(self, latents):
        x = tf.nn.relu(apply_dense(self.layers["stem"], latents))
        x = tf.reshape(x, (-1, 7, 7, 64))
        for layer in self.layers["up"]:
            x = tf.nn.relu(apply_transposed(layer, x))
        return apply_transposed(self.layers["pixels"], x, stride=1)


class BatchNorm:
    def __init__(self, width):
        self.weights = [tf.Variable(tf.ones(width)), bias(width)]
        self.mean, self.variance = bias(width), tf.Variable(tf.ones(width))

    def __call__(self, x):
        scale, offset = self.weights
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, epsilon=1e-5
        )
        self.mean.assign(0.9 * self.mean + 0.1 * mean)
        self.variance.assign(0.9 * self.variance + 0.1 * variance)
        return x


class DCGAN:
    def __init__(self):
        self.norms = [BatchNorm(256), BatchNorm(128), BatchNorm(256)]
        self.stem = variable(100, 7 * 7 * 256)
        self.up, self.pixels = (
            [variable(4, 4, 128, 256)],
            (
                variable(4, 4, 1, 128),
                bias(1),
            ),
        )
        self.first, self.second = conv(4, 1, 128), [variable(4, 4, 128, 256)]
        self.logit = dense(7 * 7 * 256, 1)
        first, second, third = (norm.weights for norm in self.norms)
        artist = [self.stem, *first, *self.up, *second, *self.pixels]
        critic = [*self.first, *self.second, *third, *self.logit]
        self.weights = artist + critic
        self.artist, self.critic = Adam(artist, 2e-4, 0.5), Adam(critic, 2e-4, 0.5)

    def fakes(self, n):
        x = tf.reshape(tf.random.normal((n, 100)) @ self.stem, (n, 7, 7, 256))
        x = apply_transposed(self.up, tf.nn.relu(self.norms[0](x)))
        x = apply_transposed(self.pixels, tf.nn.relu(self.norms[1](x)))
        return tf.tanh(x)

    def logits(self, images):
        x = tf.nn.leaky_relu(apply_conv(self.first, images), 0.2)
        x = tf.nn.leaky_relu(self.norms[2](apply_conv(self.second, x)), 0.2)
        return apply_dense(self.logit, tf.reshape(x, (x.shape[0], -1)))

    def step(self, images):
        images = 2 * tf.cast(images, "float32") / 255 - 1
        fakes = self.fakes(images.shape[0])
        with tf.GradientTape() as tape:
            real, fake = self.logits(images), self.logits(fakes)
            real, fake = tf.nn.softplus(-real), tf.nn.softplus(fake)
            loss = tf.reduce_mean(real) + tf.reduce_mean(fake)
        self.critic.apply(tape.gradient(loss, self.critic.weights))

        with tf.GradientTape() as tape:
            fake = self.logits(self.fakes(images.shape[0]))
            fooled = tf.reduce_mean(tf.nn.softplus(-fake))
        self.artist.apply(tape.gradient(fooled, self.artist.weights))
        return loss


MODELS = {"MLP VAE": MLPVAE, "conv VAE": ConvVAE, "DCGAN": DCGAN}
