"""VQ-VAE on MNIST by the protocol of keras.io's example, with its PixelCNN prior.

keras.io/examples/generative/vq_vae: 128 codes of 16 numbers on a 7x7 grid, layers of
32 and 64 channels, batches of 128, Adam 1e-3; `reconstruction` there is the mean
squared error over the variance of the training data, `vq` the mean over numbers, both
means over an epoch's batches. It prints 0.0612 and 0.2061 after 10 epochs, 0.0444 and
0.1682 after 30; its PixelCNN (Adam 3e-4, the last tenth of the training codes held
out) reaches 1.313 nats a code after 1 epoch and 1.055 after 10. The gated PixelCNN here
has another size. Samples are compared with the test images as in `zoo.py`.

python benchmarks/vqvae.py --output runs/vqvae
"""

import json
import math
import time
from pathlib import Path

import keras
import numpy as np
import typer

import kzoo
from kzoo.callbacks import tile
from kzoo.parts import Gaussian
from kzoo.parts.quantizers import QUANTIZERS


def main(
    dataset: str = "mnist",
    quantizers: str = "gradient,ema",
    epochs: int = 30,
    prior_epochs: int = 10,
    width: int = 64,
    blocks: int = 4,
    limit: int | None = None,
    output: Path = Path("saved_models/vqvae_benchmark"),
    seed: int = 0,
):
    images, _ = kzoo.data.load(dataset, "train", limit=limit)
    test_images, _ = kzoo.data.load(dataset, "test", limit=limit)
    output.mkdir(parents=True, exist_ok=True)
    for quantizer in quantizers.split(","):
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        model, figures = trained(quantizer, images, epochs)
        pixels, again = test_images / 255, model.reconstruct(test_images)
        figures["test mse / variance"] = float(
            np.square(pixels - again).mean() / np.var(images / 255)
        )
        history = model.fit_prior(
            images,
            width=width,
            blocks=blocks,
            epochs=prior_epochs,
            validation_split=0.1,
            verbose=2,
        ).history
        figures["prior val_loss"] = history["val_loss"]
        figures["seconds"] = time.perf_counter() - start
        report = kzoo.metrics.evaluate(
            model,
            test_images,
            features=kzoo.metrics.features_for(dataset),
            metrics=["frechet_distance", "prdc"],
            seed=seed,
            dataset=dataset,
            split="test",
            verbose=False,
        )
        figures |= report.scores()
        (output / f"{quantizer}.json").write_text(json.dumps(figures, indent=1))
        print(quantizer, {name: np.round(x, 4) for name, x in figures.items()})
        model.save(output / f"{quantizer}.keras")
        draw(model, test_images, output / f"{quantizer}.png")


def trained(quantizer, images, epochs):
    """The autoencoder, and each epoch's figures in the units of keras.io's example."""
    variance = float(np.var(images / 255))
    sizes = (128,) if quantizer == "lfq" else (128, 16)
    model = kzoo.models.VQVAE(
        images.shape[1:],
        QUANTIZERS[quantizer](*sizes),
        "conv",
        Gaussian(math.sqrt(variance / 2)),  # -log p is then mse / variance
    )
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(images, batch_size=128, epochs=epochs, verbose=2).history
    constant = 0.5 * math.log(math.pi * variance)
    reconstruction = np.array(history["reconstruction"]) / math.prod(model.image_shape)
    return model, {
        "reconstruction": list(reconstruction - constant),
        "vq": list(np.array(history["vq"]) / model.latent_dim),
        "perplexity": history["perplexity"],
    }


def draw(model, images, path):
    """Rows of images, of their reconstructions and of samples from the prior."""
    rows = [images[:16] / 255, model.reconstruct(images[:16]), model.sample(64, seed=0)]
    picture = tile(np.clip(np.concatenate(rows), 0, 1).astype("float32"), 16)
    picture = picture.repeat(2, axis=0).repeat(2, axis=1)
    keras.utils.save_img(path, picture, scale=False)


if __name__ == "__main__":
    typer.run(main)
