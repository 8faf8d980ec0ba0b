"""The benchmark's models as a JAX user writes them: one jitted, donated step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn, random

glorot, zeros = nn.initializers.glorot_uniform(), jnp.zeros


def trainer(name, batch_size, precision="float32"):
    """`(epoch, weights, flops)`: a function that trains once over images, how many
    weights it trains and how many operations `flops(images)` a step takes.
    """
    init, players = MODELS[name]
    players = [(who, computing(precision, loss), adam) for who, loss, adam in players]
    state = init(random.key(0))
    rng = np.random.default_rng(0)
    step = jax.jit(functools.partial(train_step, players), donate_argnums=0)
    carried = {"state": {"key": random.key(1), "networks": state}, "total": zeros(())}

    def epoch(images):
        carried["total"] = zeros(())
        order = rng.permutation(len(images))
        for i in range(0, len(images), batch_size):
            batch = images[order[i : i + batch_size]]
            carried["state"], loss = step(carried["state"], batch)
            carried["total"] += loss
        return float(carried["total"])

    def flops(batch):
        return step.lower(carried["state"], batch).cost_analysis()["flops"]

    weights = [network["weights"] for network in state.values()]
    return epoch, sum(w.size for w in jax.tree.leaves(weights)), flops


def computing(precision, loss_fn):
    """The loss with weights of that type, to which a layer brings what it is given."""

    def loss(networks, *batch):
        networks = {
            name: {**net, "weights": cast(net["weights"], precision)}
            for name, net in networks.items()
        }
        value, statistics = loss_fn(networks, *batch)
        return value.astype("float32"), cast(statistics, "float32")

    return loss_fn if precision == "float32" else loss


def cast(tree, dtype):
    return jax.tree.map(lambda x: x.astype(dtype), tree)


def train_step(players, state, images):
    """A step of each player in turn: a network's name, its loss and Adam's settings."""
    images = images.astype("float32") / 255
    key, *keys = random.split(state["key"], 1 + len(players))
    networks, values = state["networks"], []
    for (name, loss_fn, rates), noise in zip(players, keys, strict=True):

        def loss_of(weights, loss_fn=loss_fn, old=networks, name=name, noise=noise):
            changed = {**old, name: {**old[name], "weights": weights}}
            return loss_fn(changed, images, noise)

        weights = networks[name]["weights"]
        grad = jax.value_and_grad(loss_of, has_aux=True)
        (value, statistics), grads = grad(weights)
        trained = adam(networks[name], grads, *rates)
        networks = {**networks, name: {**networks[name], **trained}}
        networks = {
            n: {**net, "statistics": statistics[n]} for n, net in networks.items()
        }
        values.append(value)
    return {"key": key, "networks": networks}, values[0]


def adam(network, grads, rate, beta_1, beta_2=0.999):
    step = network["step"] + 1
    m = jax.tree.map(lambda m, g: beta_1 * m + (1 - beta_1) * g, network["m"], grads)
    v = jax.tree.map(
        lambda v, g: beta_2 * v + (1 - beta_2) * g * g, network["v"], grads
    )
    rate = rate * jnp.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), network["weights"], m, v
    )
    return {"weights": weights, "m": m, "v": v, "step": step}


def with_moments(weights, statistics=()):
    m, v = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return {"weights": weights, "m": m, "v": v, "step": 0, "statistics": statistics}


def dense(key, inputs, outputs, bias=True):
    kernel = glorot(key, (inputs, outputs))
    return {"kernel": kernel, "bias": zeros(outputs)} if bias else {"kernel": kernel}


def conv(key, size, inputs, outputs, bias=True):
    kernel = glorot(key, (size, size, inputs, outputs))
    return {"kernel": kernel, "bias": zeros(outputs)} if bias else {"kernel": kernel}


def apply_dense(layer, x):
    return x.astype(layer["kernel"].dtype) @ layer["kernel"] + layer.get("bias", 0.0)


CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def apply_conv(layer, x, stride=2):
    x, kernel = x.astype(layer["kernel"].dtype), layer["kernel"]
    y = lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=CHANNELS_LAST
    )
    return y + layer.get("bias", 0.0)


def apply_transposed(layer, x, stride=2):
    x = x.astype(layer["kernel"].dtype)
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


def init_dcgan(latents, norm_shape, statistics, key):
    keys = random.split(key, 6)
    generator = {
        "stem": dense(keys[0], latents, 7 * 7 * 256, bias=False),
        "norms": [norm(256), norm(128)],
        "up": conv(keys[1], 4, 256, 128, bias=False),
        "pixels": conv(keys[2], 4, 128, 1),
    }
    discriminator = {
        "first": conv(keys[3], 4, 1, 128),
        "second": conv(keys[4], 4, 128, 256, bias=False),
        "norm": norm(*norm_shape),
        "logit": dense(keys[5], 7 * 7 * 256, 1),
    }
    return {
        "discriminator": with_moments(discriminator, statistics),
        "generator": with_moments(generator, [moments(256), moments(128)]),
    }


def norm(*shape):
    return {"scale": jnp.ones(shape), "offset": zeros(shape)}


def moments(width):
    return {"mean": zeros(width), "variance": jnp.ones(width)}


def batch_norm(layer, statistics, x, epsilon=1e-5):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    new = {"mean": mean, "variance": variance}
    statistics = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, statistics, new)
    x = (x - mean) * lax.rsqrt(variance + epsilon) * layer["scale"] + layer["offset"]
    return x, lax.stop_gradient(statistics)


def layer_norm(layer, statistics, x):
    mean, variance = (f((1, 2, 3), keepdims=True) for f in (x.mean, x.var))
    x = (x - mean) * lax.rsqrt(variance + 1e-3) * layer["scale"] + layer["offset"]
    return x, statistics


def dcgan_generate(network, latents):
    weights, (first, second) = network["weights"], network["statistics"]
    x = apply_dense(weights["stem"], latents).reshape(-1, 7, 7, 256)
    x, first = batch_norm(weights["norms"][0], first, x)
    x = apply_transposed(weights["up"], nn.relu(x))
    x, second = batch_norm(weights["norms"][1], second, x)
    return jnp.tanh(apply_transposed(weights["pixels"], nn.relu(x))), [first, second]


def dcgan_discriminate(normalize, network, images):
    weights = network["weights"]
    x = nn.leaky_relu(apply_conv(weights["first"], images), 0.2)
    x = apply_conv(weights["second"], x)
    x, statistics = normalize(weights["norm"], network["statistics"], x)
    x = nn.leaky_relu(x, 0.2).reshape(len(x), -1)
    return apply_dense(weights["logit"], x), statistics


def discriminator_loss(model, networks, images, key):
    key, noise = random.split(key)
    latents = random.normal(key, (len(images), model["latents"]))
    fakes, made = model["generate"](networks["generator"], latents)
    images, fakes = 2 * images - 1, lax.stop_gradient(fakes)
    critic, discriminate = networks["discriminator"], model["discriminate"]
    real, seen = discriminate(critic, images)
    fake, seen = discriminate({**critic, "statistics": seen}, fakes)
    loss = model["critic"](real, fake)
    if "penalty" in model:
        score = functools.partial(discriminate, critic)
        loss += model["penalty"](score, images, fakes, noise)
    return loss, {"discriminator": seen, "generator": made}


def generator_loss(model, networks, images, key):
    latents = random.normal(key, (len(images), model["latents"]))
    fakes, made = model["generate"](networks["generator"], latents)
    fake, seen = model["discriminate"](networks["discriminator"], fakes)
    return model["artist"](fake), {"discriminator": seen, "generator": made}


def gradient_penalty(score, images, fakes, key):
    mix = random.uniform(key, (len(images), 1, 1, 1))
    between = mix * images + (1 - mix) * fakes
    slopes = jax.grad(lambda x: score(x)[0].sum())(between)
    slopes = 2 * slopes  # by images in [0, 1]
    norms = jnp.sqrt((slopes**2).sum((1, 2, 3)) + 1e-12)
    return 10 * ((norms - 1) ** 2).mean()


def init_sngan(key):
    keys = iter(random.split(key, 40))

    def up_block():
        kernels = [conv(next(keys), size, 256, 256, bias=False) for size in (3, 3, 1)]
        return {"convs": kernels, "norms": [norm(256), norm(256)]}

    generator = {
        "stem": dense(next(keys), 128, 4 * 4 * 256),
        "blocks": [up_block() for _ in range(3)],
        "norm": norm(256),
        "pixels": conv(next(keys), 3, 256, 1),
    }
    # Each block's two convolutions and, in those that halve, the shortcut's.
    kernels = [(3, 1), (3, 128), (1, 1), (3, 128), (3, 128), (1, 128), *4 * [(3, 128)]]
    discriminator = [conv(next(keys), *kernel, 128) for kernel in kernels]
    discriminator += [dense(next(keys), 128, 1)]
    vectors = [random.normal(next(keys), w["bias"].shape) for w in discriminator]
    return {
        "discriminator": with_moments(discriminator, vectors),
        "generator": with_moments(generator, [moments(256) for _ in range(7)]),
    }


def resnet_generate(network, latents):
    weights, new, old = network["weights"], [], iter(network["statistics"])

    def active(layer, x):
        x, statistics = batch_norm(layer, next(old), x, 2e-5)
        new.append(statistics)
        return nn.relu(x)

    x = apply_dense(weights["stem"], latents).reshape(-1, 4, 4, 256)
    for block in weights["blocks"]:
        first, second, shortcut = block["convs"]
        y = apply_conv(first, double(active(block["norms"][0], x)), 1)
        y = apply_conv(second, active(block["norms"][1], y), 1)
        x = y + double(apply_conv(shortcut, x, 1))
    x = apply_conv(weights["pixels"], active(weights["norm"], x), 1)
    return jnp.tanh(x), new


def resnet_discriminate(network, x):
    pairs = zip(network["weights"], network["statistics"], strict=True)
    layers, vectors = zip(*(spectral(*pair) for pair in pairs), strict=True)
    layers = iter(layers)
    for i in range(4):
        y = apply_conv(next(layers), nn.relu(x) if i else x, 1)
        y = apply_conv(next(layers), nn.relu(y), 1)
        if i < 2:
            x, y = apply_conv(next(layers), halve(x), 1), halve(y)
        x = x + y
    return apply_dense(next(layers), nn.relu(x).sum((1, 2))), list(vectors)


def spectral(layer, u):
    """The layer with its kernel divided by its largest singular value; the next `u`."""
    matrix = layer["kernel"].reshape(-1, len(u))
    fixed = lax.stop_gradient(matrix)
    v = fixed @ u
    v = v / jnp.linalg.norm(v)
    u = v @ fixed
    u = u / jnp.linalg.norm(u)
    kernel = layer["kernel"]
    return {**layer, "kernel": (kernel / (v @ matrix @ u)).astype(kernel.dtype)}, u


def double(x):
    return x.repeat(2, 1).repeat(2, 2)


def halve(x):
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def vae(init, encode, decode):
    loss = functools.partial(vae_loss, encode, decode)
    return init, [("vae", loss, (1e-3, 0.9))]


def gan(init, steps, adam, **model):
    """`steps` of the discriminator, then one of the generator."""
    critic, artist = (
        functools.partial(loss, model) for loss in (discriminator_loss, generator_loss)
    )
    discriminator = "discriminator", critic, adam
    return init, [*steps * [discriminator], ("generator", artist, adam)]


MODELS = {
    "MLP VAE": vae(init_mlp_vae, mlp_encode, mlp_decode),
    "conv VAE": vae(init_conv_vae, conv_encode, conv_decode),
    "DCGAN": gan(
        lambda key: init_dcgan(100, [256], moments(256), key),
        steps=1,
        adam=(2e-4, 0.5),
        latents=100,
        generate=dcgan_generate,
        discriminate=functools.partial(dcgan_discriminate, batch_norm),
        critic=lambda real, fake: nn.softplus(-real).mean() + nn.softplus(fake).mean(),
        artist=lambda fake: nn.softplus(-fake).mean(),
    ),
    "WGANGP": gan(
        lambda key: init_dcgan(128, [7, 7, 256], (), key),
        steps=5,
        adam=(1e-4, 0.0, 0.9),
        latents=128,
        generate=dcgan_generate,
        discriminate=functools.partial(dcgan_discriminate, layer_norm),
        critic=lambda real, fake: fake.mean() - real.mean(),
        artist=lambda fake: -fake.mean(),
        penalty=gradient_penalty,
    ),
    "SNGAN": gan(
        init_sngan,
        steps=5,
        adam=(2e-4, 0.0, 0.9),
        latents=128,
        generate=resnet_generate,
        discriminate=resnet_discriminate,
        critic=lambda real, fake: nn.relu(1 - real).mean() + nn.relu(1 + fake).mean(),
        artist=lambda fake: -fake.mean(),
    ),
}
