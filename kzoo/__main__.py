"""`python -m kzoo evaluate MODEL.keras --dataset mnist`: scores a saved model."""

from pathlib import Path
from typing import Annotated

import keras
from typer import Argument, Option, Typer

import kzoo

app = Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main():
    """The Keras 3 zoo of generative models."""


@app.command()
def evaluate(
    model: Annotated[Path, Argument(help="A .keras file of a kzoo model.")],
    dataset: Annotated[str, Option(help="What kzoo.data.load takes.")] = "digits",
    split: Annotated[str, Option(help="Images to compare with.")] = "test",
    train_split: Annotated[
        str, Option(help="What it was trained on, to see whether it copies.")
    ] = "train",
    features: Annotated[
        str | None,
        Option(help="See kzoo.metrics.Extractor. Default: those of the data set."),
    ] = None,
    metrics: Annotated[
        str | None,
        Option(help="Separated by commas. Default: all but log_likelihood."),
    ] = None,
    num_samples: Annotated[
        int | None, Option(help="Images to generate. Default: as many as real ones.")
    ] = None,
    likelihood_samples: Annotated[int, Option(help="Latents an image.")] = 5000,
    limit: Annotated[
        int | None, Option(help="Use only the first images of each split.")
    ] = None,
    seed: int = 0,
    output: Annotated[
        Path | None, Option(help="The JSON report. Default: MODEL.scores.json.")
    ] = None,
):
    """Prints the scores of a model with their protocol, and writes them as JSON."""
    loaded = keras.saving.load_model(model)
    size = loaded.image_shape[:2]
    images, labels = kzoo.data.load(dataset, split, size, limit)
    train_images, _ = kzoo.data.load(dataset, train_split, size, limit)
    output = output or model.with_suffix(".scores.json")
    report = kzoo.metrics.evaluate(
        loaded,
        images,
        labels,
        path=output,
        features=features or kzoo.metrics.features_for(dataset),
        metrics=None if metrics is None else metrics.split(","),
        train_images=train_images,
        num_samples=num_samples,
        likelihood_samples=likelihood_samples,
        seed=seed,
        dataset=dataset,
        split=split,
    )
    print(report)
    print(f"Report: {output}")


if __name__ == "__main__":
    app()
