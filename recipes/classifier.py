"""Trains a classifier whose features the metrics can compare.

The ones that kzoo ships were made by

python recipes/classifier.py --dataset mnist --epochs 12
python recipes/classifier.py --dataset fashion_mnist --flip --epochs 15
python recipes/classifier.py --dataset cifar10 --flip --epochs 24 --widths 32,64,128
"""

import json
from pathlib import Path

import keras
import numpy as np
import typer
from keras import layers

import kzoo
from kzoo.metrics.classifiers import build_classifier, load_classifier, save_classifier
from kzoo.recipe import script


def main(
    dataset: str = "digits",
    epochs: int = 15,
    batch_size: int = 128,
    learning_rate: float = 0.1,
    weight_decay: float = 5e-4,
    shift: float = 0.1,
    flip: bool = False,
    widths: str = "16,32,64",
    limit: int | None = None,
    output: Path = Path("saved_models/classifier"),
    seed: int = 0,
):
    path = output / "classifier.npz"
    if path.exists():
        raise typer.BadParameter(
            f"Expected a folder without a classifier. Received: {output}, which has "
            "one. Pass another --output."
        )
    keras.utils.set_random_seed(seed)
    images, labels = kzoo.data.load(dataset, "train", limit=limit)
    test_images, test_labels = kzoo.data.load(dataset, "test", limit=limit)
    widths = tuple(int(width) for width in widths.split(","))

    classifier = build_classifier(images.shape[1:], int(labels.max()) + 1, widths)
    inputs = keras.Input(images.shape[1:])
    x = layers.Rescaling(1 / 255)(inputs)
    last = {"data_format": "channels_last"}
    x = layers.RandomTranslation(
        shift, shift, "constant", interpolation="nearest", **last
    )(x)
    x = layers.RandomFlip("horizontal", **last)(x) if flip else x
    model = keras.Model(inputs, classifier(x)["logits"])

    steps = epochs * -(-len(images) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10,
        steps * 4 // 5,
        warmup_target=learning_rate,
        warmup_steps=steps // 5,
    )
    model.compile(
        keras.optimizers.SGD(
            rate, momentum=0.9, nesterov=True, weight_decay=weight_decay
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(images, labels, batch_size, epochs)

    save_classifier(path, classifier, widths)
    (output / "history.json").write_text(json.dumps(history.history, indent=1))
    logits = load_classifier(path).predict(test_images / np.float32(255), batch_size)
    accuracy = np.mean(logits["logits"].argmax(axis=1) == test_labels)
    print(f"Classifier: {path} ({path.stat().st_size / 1e6:.2f} MB)")
    print(f"Test accuracy of the saved weights: {accuracy:.2%}")


if __name__ == "__main__":
    script(main)
