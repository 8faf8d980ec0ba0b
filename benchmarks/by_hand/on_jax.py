"""The benchmark's models as a JAX user writes them: one jitted, donated step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn, random

glorot, zeros = nn.initializers.glorot_uniform(), jnp.zeros


def trainer(name, batch_size):
    """`(epoch, weights)`: a function that trains once over images, and their count."""
    init, loss_fns = MODELS[name]
    state = init(random.key(0))
    rng = np.random.default_rng(0)
    step = jax.jit(functools.partial(train_step, *loss_fns), donate_argnums=0)
    carried = {
        "state": {"key": random.key(1), "step": 0, "networks": state},
        "total": zeros(()),
    }

    def epoch(images):
        carried["total"] = zeros(())
        order = rng.permutation(len(images))
        for i in range(0, len(images), batch_size):
            batch = images[order[i : i + batch_size]]
            carried["state"], loss = step(carried["state"], batch)
            carried["total"] += loss
        return float(carried["total"])

    weights = [network["weights"] for network in state.values()]
    return epoch, sum(w.size for w in jax.tree.leaves(weights))


def train_step(losses, rates, state, images):
    images = images.astype("float32") / 255
    key, *keys = random.split(state["key"], 1 + len(losses))
    step, networks, values = state["step"] + 1, state["networks"], []
    for name, loss_fn, noise in zip(rates, losses, keys, strict=True):

        def loss_of(weights, loss_fn=loss_fn, old=networks, name=name, noise=noise):
            changed = {**old, name: {**old[name], "weights": weights}}
            return loss_fn(changed, images, noise)

        weights = networks[name]["weights"]
        grad = jax.value_and_grad(loss_of, has_aux=True)
        (value, statistics), grads = grad(weights)
        trained = adam(networks[name], grads, step, *rates[name])
        networks = {**networks, name: {**networks[name], **trained}}
        networks = {
            n: {**net, "statistics": statistics[n]} for n, net in networks.items()
        }
        values.append(value)
    return {"key": key, "step": step, "networks": networks}, values[0]


def adam(network, grads, step, rate, beta_1, beta_2=0.999):
    m = jax.tree.map(lambda m, g: beta_1 * m + (1 - beta_1) * g, network["m"], grads)
    v = jax.tree.map(
        lambda v, g: beta_2 * v + (1 - beta_2) * g * g, network["v"], grads
    )
    rate = rate * jnp.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), network["weights"], m, v
    )
    return {"weights": weights, "m": m, "v": v}


def with_moments(weights, statistics=()):
    blank = functools.partial(jax.tree.map, jnp.zeros_like)
    return {
        "weights": weights,
        "m": blank(weights),
        "v": blank(weights),
        "statistics": statistics,
    }


def dense(key, inputs, outputs, bias=True):
    kernel = glorot(key, (inputs, outputs))
    return {"kernel": kernel, "bias": zeros(outputs)} if bias else {"kernel": kernel}


def conv(key, size, inputs, outputs, bias=True):
    kernel = glorot(key, (size, size, inputs, outputs))
    return {"kernel": kernel, "bias": zeros(outputs)} if bias else {"kernel": kernel}


def apply_dense(layer, x):
    return x @ layer["kernel"] + layer.get("bias", 0.0)


CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def apply_conv(layer, x, stride=2):
    y = lax.conv_general_dilated(
        x, layer["kernel"], (stride, stride), "SAME", dimension_numbers=CHANNELS_LAST
    )
    return y + layer.get("bias", 0.0)


def apply_transposed(layer, x, stride=2):
    y = lax.conv_transpose(x, layer["kernel"], (stride, stride), "SAME")
    return y + layer.get("bias", 0.0)


def vae_loss(encode, decode, networks, images, key):
    weights = networks["vae"]["weights"]
    features = encode(weights, images)
    mean = apply_dense(weights["mean"], features)
    log_var = apply_dense(weights["log_var"], features)
    latents = mean + jnp.exp(0.5 * log_var) * random.normal(key, mean.shape)
    logits = decode(weights, latents).reshape(images.shape)
    nats = jnp.sum(nn.softplus(logits) - images * logits)
    kl = 0.5 * jnp.sum(jnp.exp(log_var) + mean**2 - 1 - log_var)
    return (nats + kl) / len(images), {"vae": ()}


def init_mlp_vae(key):
    keys = random.split(key, 5)
    return {
        "vae": with_moments(
            {
                "encoder": dense(keys[0], 784, 400),
                "mean": dense(keys[1], 400, 20),
                "log_var": dense(keys[2], 400, 20),
                "hidden": dense(keys[3], 20, 400),
                "pixels": dense(keys[4], 400, 784),
            }
        )
    }


def mlp_encode(weights, images):
    return nn.relu(apply_dense(weights["encoder"], images.reshape(len(images), -1)))


def mlp_decode(weights, latents):
    return apply_dense(
        weights["pixels"], nn.relu(apply_dense(weights["hidden"], latents))
    )


def init_conv_vae(key):
    keys = random.split(key, 9)
    return {
        "vae": with_moments(
            {
                "down": [conv(keys[0], 3, 1, 32), conv(keys[1], 3, 32, 64)],
                "features": dense(keys[2], 7 * 7 * 64, 40),
                "mean": dense(keys[3], 40, 20),
                "log_var": dense(keys[4], 40, 20),
                "stem": dense(keys[5], 20, 7 * 7 * 64),
                "up": [conv(keys[6], 3, 64, 64), conv(keys[7], 3, 64, 32)],
                "pixels": conv(keys[8], 3, 32, 1),
            }
        )
    }


def conv_encode(weights, images):
    x = images
    for layer in weights["down"]:
        x = nn.relu(apply_conv(layer, x))
    return nn.relu(apply_dense(weights["features"], x.reshape(len(x), -1)))


def conv_decode(weights, latents):
    x = nn.relu(apply_dense(weights["stem"], latents)).reshape(-1, 7, 7, 64)
    for layer in weights["up"]:
        x = nn.relu(apply_transposed(layer, x))
    return apply_transposed(weights["pixels"], x, stride=1)


def init_dcgan(key):
    keys = random.split(key, 6)
    generator = {
        "stem": dense(keys[0], 100, 7 * 7 * 256, bias=False),
        "norms": [norm(256), norm(128)],
        "up": conv(keys[1], 4, 256, 128, bias=False),
        "pixels": conv(keys[2], 4, 128, 1),
    }
    discriminator = {
        "first": conv(keys[3], 4, 1, 128),
        "second": conv(keys[4], 4, 128, 256, bias=False),
        "norm": norm(256),
        "logit": dense(keys[5], 7 * 7 * 256, 1),
    }
    return {
        "discriminator": with_moments(discriminator, [moments(256)]),
        "generator": with_moments(generator, [moments(256), moments(128)]),
    }


def norm(width):
    return {"scale": jnp.ones(width), "offset": zeros(width)}


def moments(width):
    return {"mean": zeros(width), "variance": jnp.ones(width)}


def batch_norm(layer, statistics, x):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    new = {"mean": mean, "variance": variance}
    statistics = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, statistics, new)
    x = (x - mean) * lax.rsqrt(variance + 1e-5) * layer["scale"] + layer["offset"]
    return x, lax.stop_gradient(statistics)


def generate(network, latents):
    weights, (first, second) = network["weights"], network["statistics"]
    x = apply_dense(weights["stem"], latents).reshape(-1, 7, 7, 256)
    x, first = batch_norm(weights["norms"][0], first, x)
    x = apply_transposed(weights["up"], nn.relu(x))
    x, second = batch_norm(weights["norms"][1], second, x)
    return jnp.tanh(apply_transposed(weights["pixels"], nn.relu(x))), [first, second]


def discriminate(network, images):
    weights, (statistics,) = network["weights"], network["statistics"]
    x = nn.leaky_relu(apply_conv(weights["first"], images), 0.2)
    x, statistics = batch_norm(
        weights["norm"], statistics, apply_conv(weights["second"], x)
    )
    x = nn.leaky_relu(x, 0.2).reshape(len(x), -1)
    return apply_dense(weights["logit"], x), [statistics]


def discriminator_loss(networks, images, key):
    latents = random.normal(key, (len(images), 100))
    fakes, made = generate(networks["generator"], latents)
    critic = networks["discriminator"]
    real, seen = discriminate(critic, 2 * images - 1)
    fake, seen = discriminate({**critic, "statistics": seen}, lax.stop_gradient(fakes))
    loss = nn.softplus(-real).mean() + nn.softplus(fake).mean()
    return loss, {"discriminator": seen, "generator": made}


def generator_loss(networks, images, key):
    latents = random.normal(key, (len(images), 100))
    fakes, made = generate(networks["generator"], latents)
    fake, seen = discriminate(networks["discriminator"], fakes)
    return nn.softplus(-fake).mean(), {"discriminator": seen, "generator": made}


def vae(init, encode, decode):
    losses = (functools.partial(vae_loss, encode, decode),)
    return init, (losses, {"vae": (1e-3, 0.9)})


ADAM = (2e-4, 0.5)
MODELS = {
    "MLP VAE": vae(init_mlp_vae, mlp_encode, mlp_decode),
    "conv VAE": vae(init_conv_vae, conv_encode, conv_decode),
    "DCGAN": (
        init_dcgan,
        (
            (discriminator_loss, generator_loss),
            {"discriminator": ADAM, "generator": ADAM},
        ),
    ),
}
