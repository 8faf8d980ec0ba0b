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
    def __init__(self, width, epsilon=1e-5):
        self.epsilon = epsilon
        self.weights = [tf.Variable(tf.ones(width)), bias(width)]
        self.mean, self.variance = bias(width), tf.Variable(tf.ones(width))

    def __call__(self, x):
        scale, offset = self.weights
        x, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, scale, offset, epsilon=self.epsilon
        )
        self.mean.assign(0.9 * self.mean + 0.1 * mean)
        self.variance.assign(0.9 * self.variance + 0.1 * variance)
        return x


class DCGANGenerator:
    def __init__(self, latents):
        self.latents, self.stem = latents, variable(latents, 7 * 7 * 256)
        self.norms = first, second = [BatchNorm(256), BatchNorm(128)]
        self.up = [variable(4, 4, 128, 256)]
        self.pixels = [variable(4, 4, 1, 128), bias(1)]
        self.weights = [self.stem, *self.up, *self.pixels]
        self.weights += first.weights + second.weights

    def __call__(self, n):
        x = tf.random.normal((n, self.latents)) @ self.stem
        x = tf.nn.relu(self.norms[0](tf.reshape(x, (n, 7, 7, 256))))
        x = tf.nn.relu(self.norms[1](apply_transposed(self.up, x)))
        return tf.tanh(apply_transposed(self.pixels, x))


class DCGANDiscriminator:
    def __init__(self, norm):
        self.first, self.second = conv(4, 1, 128), [variable(4, 4, 128, 256)]
        self.norm, self.logit = norm, dense(7 * 7 * 256, 1)
        self.weights = [*self.first, *self.second, *norm.weights, *self.logit]

    def __call__(self, images):
        x = tf.nn.leaky_relu(apply_conv(self.first, images), 0.2)
        x = tf.nn.leaky_relu(self.norm(apply_conv(self.second, x)), 0.2)
        return apply_dense(self.logit, tf.reshape(x, (x.shape[0], -1)))


class GAN:
    """`steps` of the discriminator, then one of the generator, on scaled images."""

    def __init__(self, generator, discriminator, steps, *adam):
        self.fakes, self.logits, self.steps = generator, discriminator, steps
        self.artist = Adam(generator.weights, *adam)
        self.critic = Adam(discriminator.weights, *adam)
        self.weights = self.artist.weights + self.critic.weights

    def step(self, images):
        images = 2 * tf.cast(images, "float32") / 255 - 1
        for _ in range(self.steps):
            fakes = self.fakes(images.shape[0])
            with tf.GradientTape() as tape:
                loss = self.critic_loss(images, fakes)
            self.critic.apply(tape.gradient(loss, self.critic.weights))

        with tf.GradientTape() as tape:
            fooled = self.artist_loss(self.logits(self.fakes(images.shape[0])))
        self.artist.apply(tape.gradient(fooled, self.artist.weights))
        return loss

    def artist_loss(self, fake):
        return -tf.reduce_mean(fake)


class DCGAN(GAN):
    def __init__(self):
        critic = DCGANDiscriminator(BatchNorm(256))
        super().__init__(DCGANGenerator(100), critic, 1, 2e-4, 0.5)

    def critic_loss(self, images, fakes):
        real, fake = self.logits(images), self.logits(fakes)
        real, fake = tf.nn.softplus(-real), tf.nn.softplus(fake)
        return tf.reduce_mean(real) + tf.reduce_mean(fake)

    def artist_loss(self, fake):
        return tf.reduce_mean(tf.nn.softplus(-fake))


class LayerNorm:
    def __init__(self, *shape):
        self.weights = [tf.Variable(tf.ones(shape)), tf.Variable(tf.zeros(shape))]

    def __call__(self, x):
        mean, variance = tf.nn.moments(x, (1, 2, 3), keepdims=True)
        scale, offset = self.weights
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)


class WGANGP(GAN):
    def __init__(self):
        critic = DCGANDiscriminator(LayerNorm(7, 7, 256))
        super().__init__(DCGANGenerator(128), critic, 5, 1e-4, 0.0, 0.9)

    def critic_loss(self, images, fakes):
        real, fake = self.logits(images), self.logits(fakes)
        distance = tf.reduce_mean(real) - tf.reduce_mean(fake)
        return 10 * self.penalty(images, fakes) - distance

    def penalty(self, images, fakes):
        mix = tf.random.uniform((images.shape[0], 1, 1, 1))
        between = mix * images + (1 - mix) * fakes
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.logits(between)
        slopes = 2 * tape.gradient(scores, between)  # by images in [0, 1]
        norms = tf.sqrt(tf.reduce_sum(slopes**2, (1, 2, 3)) + 1e-12)
        return tf.reduce_mean((norms - 1) ** 2)


class Spectral:
    """A layer whose kernel is divided by its largest singular value at each call."""

    def __init__(self, layer):
        self.weights = layer
        self.u = tf.Variable(tf.random.normal(layer[1].shape))

    def __call__(self):
        kernel, bias = self.weights
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))
        fixed = tf.stop_gradient(matrix)
        v = tf.math.l2_normalize(tf.linalg.matvec(fixed, self.u))
        u = tf.math.l2_normalize(tf.linalg.matvec(fixed, v, transpose_a=True))
        self.u.assign(u)
        return kernel / tf.reduce_sum(tf.linalg.matvec(matrix, u) * v), bias


def double(x):
    return tf.repeat(tf.repeat(x, 2, 1), 2, 2)


def halve(x):
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


class UpBlock:
    def __init__(self, width):
        self.norms = [BatchNorm(width, 2e-5), BatchNorm(width, 2e-5)]
        self.kernels = [variable(size, size, width, width) for size in (3, 3, 1)]
        self.weights = self.kernels + self.norms[0].weights + self.norms[1].weights

    def __call__(self, x):
        first, second, shortcut = self.kernels
        y = double(tf.nn.relu(self.norms[0](x)))
        y = tf.nn.relu(self.norms[1](apply_conv([first], y, 1)))
        return apply_conv([second], y, 1) + double(apply_conv([shortcut], x, 1))


class DownBlock:
    """The first block does not activate its input; those that do not halve add it."""

    def __init__(self, inputs, width, halves, first=False):
        self.first, self.halves = first, halves
        shapes = [(3, inputs, width), (3, width, width), (1, inputs, width)]
        self.layers = [Spectral(conv(*shape)) for shape in shapes[: 2 + halves]]
        self.weights = weights_of(self.layers)

    def __call__(self, x):
        first, second, *shortcut = (layer() for layer in self.layers)
        y = apply_conv(first, x if self.first else tf.nn.relu(x), 1)
        y = apply_conv(second, tf.nn.relu(y), 1)
        return halve(y) + apply_conv(*shortcut, halve(x), 1) if self.halves else y + x


def weights_of(parts):
    return [weight for part in parts for weight in part.weights]


class SNGANGenerator:
    def __init__(self):
        self.stem, self.pixels = dense(128, 4 * 4 * 256), conv(3, 256, 1)
        self.blocks, self.norm = [UpBlock(256) for _ in range(3)], BatchNorm(256, 2e-5)
        self.weights = weights_of([*self.blocks, self.norm])
        self.weights += [*self.stem, *self.pixels]

    def __call__(self, n):
        x = apply_dense(self.stem, tf.random.normal((n, 128)))
        x = tf.reshape(x, (n, 4, 4, 256))
        for block in self.blocks:
            x = block(x)
        return tf.tanh(apply_conv(self.pixels, tf.nn.relu(self.norm(x)), 1))


class SNGANDiscriminator:
    def __init__(self):
        self.blocks = [
            DownBlock(1, 128, halves=True, first=True),
            DownBlock(128, 128, halves=True),
            DownBlock(128, 128, halves=False),
            DownBlock(128, 128, halves=False),
        ]
        self.logit = Spectral(dense(128, 1))
        self.weights = weights_of([*self.blocks, self.logit])

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return apply_dense(self.logit(), tf.reduce_sum(tf.nn.relu(x), (1, 2)))


class SNGAN(GAN):
    def __init__(self):
        super().__init__(SNGANGenerator(), SNGANDiscriminator(), 5, 2e-4, 0.0, 0.9)

    def critic_loss(self, images, fakes):
        real, fake = self.logits(images), self.logits(fakes)
        real, fake = tf.nn.relu(1 - real), tf.nn.relu(1 + fake)
        return tf.reduce_mean(real) + tf.reduce_mean(fake)


MODELS = {
    "MLP VAE": MLPVAE,
    "conv VAE": ConvVAE,
    "DCGAN": DCGAN,
    "WGANGP": WGANGP,
    "SNGAN": SNGAN,
}
