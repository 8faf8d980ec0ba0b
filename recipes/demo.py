"""Trains a VAE and a GAN on 10,000 handwritten digits and draws what they have learned.

python recipes/demo.py

Run it again to go on where it was stopped. It writes a picture, `demo.png`, and the
models `vae.keras` and `dcgan.keras`, which `kzoo sample` and Keras load.
"""

import time
from pathlib import Path

import keras
import numpy as np
from keras.optimizers import Adam

import kzoo
from kzoo.figures import new_figure, save_figure
from kzoo.networks import DCGANNetworks
from kzoo.recipe import script

SHAPE, COLUMNS, SHOWN = (28, 28, 1), 10, 80


def main(
    output: Path = Path("saved_models/demo"),
    vae_epochs: int = 20,
    gan_epochs: int = 8,
    seed: int = 0,
):
    start = time.perf_counter()
    keras.utils.set_random_seed(seed)
    images, digits = kzoo.data.load("mnist_10k", "train")  # uint8 (8000, 28, 28, 1)
    test_images, _ = kzoo.data.load("mnist_10k", "test")

    vae = kzoo.models.VAE(SHAPE, latent_dim=16)
    vae.compile(Adam(2e-3))
    path = output / "checkpoints" / "vae.keras"
    vae_losses = train(vae, path, seed, images, batch_size=64, epochs=vae_epochs)
    # Samples are then drawn from a mixture of normals, fitted to the images' latents.
    vae.fit_sampler("mixture", images, seed=seed, components=100)
    vae.save(output / "vae.keras")

    networks = DCGANNetworks((64, 32))
    gan = kzoo.models.DCGAN(SHAPE, architecture=networks, num_classes=10, ema=0.99)
    names = ("generator", "discriminator")
    gan.compile({name: Adam(1e-3, beta_1=0.5) for name in names})
    path = output / "checkpoints" / "dcgan.keras"
    gan_losses = train(
        gan, path, seed, images, digits, batch_size=32, epochs=gan_epochs
    )
    gan.save(output / "dcgan.keras")

    fids = [frechet_distance(model, test_images, seed) for model in (vae, gan)]
    grids = pictures(vae, gan, fids, images, test_images, seed)
    curves = {"VAE: losses, nats an image": vae_losses, "DCGAN: losses": gan_losses}
    draw(output / "demo.png", grids, curves)
    print(f"FID, {len(test_images)} samples against as many test images (mnist-v1):")
    print("VAE {:.2f}, DCGAN {:.2f}".format(*fids))
    print(f"{time.perf_counter() - start:.0f} s. Picture: {output / 'demo.png'}")


def train(model, path, seed, *data, epochs, **options):
    """Trains with a line an epoch. Returns the logs: `{name: [one an epoch]}`."""

    def report(epoch, logs):
        losses = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        print(f"{path.stem}, epoch {epoch + 1} of {epochs}: {losses}", flush=True)

    lines = keras.callbacks.LambdaCallback(on_epoch_end=report)
    checkpoint = kzoo.callbacks.Checkpoint(path, resume=True, seed=seed)
    options |= {"epochs": epochs, "callbacks": [lines, checkpoint], "verbose": 0}
    return model.fit(*data, **options).history


def frechet_distance(model, images, seed):
    """Of as many samples as there are images."""
    options = {"features": "mnist-v1", "metrics": ["frechet_distance"], "seed": seed}
    scores = kzoo.metrics.evaluate(model, images, verbose=False, **options)
    return scores["frechet_distance"]


def pictures(vae, gan, fids, images, test_images, seed):
    """What is drawn: `{title: images}`, the first samples of the seed."""
    real = test_images[: SHOWN // 2] / np.float32(255)
    pairs = np.stack([real, vae.reconstruct(real)], axis=1).reshape(-1, *SHAPE)
    asked = np.arange(SHOWN) % COLUMNS  # a digit a column
    return {
        "Real digits": images[:SHOWN],
        "VAE: digits, each beside its reconstruction": pairs,
        f"VAE: samples (FID {fids[0]:.1f})": vae.sample(SHOWN, seed),
        f"DCGAN: samples of 0 to 9 (FID {fids[1]:.1f})": gan.sample(SHOWN, seed, asked),
    }


def draw(path, grids, curves):
    """Grids of images and curves, each under its title, as one picture."""
    figure = new_figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3).T.flat  # column by column
    for title, images in grids.items():
        panel = next(panels)
        panel.imshow(kzoo.callbacks.tile(images, COLUMNS), cmap="gray")
        panel.set_title(title)
        panel.axis("off")
    for title, losses in curves.items():
        panel = next(panels)
        for name, values in losses.items():
            panel.plot(range(1, len(values) + 1), values, label=name)
        panel.set(title=title, xlabel="epoch")
        panel.locator_params("x", integer=True)
        panel.legend()
    save_figure(figure, path)


if __name__ == "__main__":
    script(main)
