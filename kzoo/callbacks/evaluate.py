"""Scoring a model while it trains."""

import pathlib

import keras

from kzoo import backend, checks
from kzoo.metrics import Evaluator


class Evaluate(keras.callbacks.Callback):
    """Scores the model after every `every`-th epoch: `kzoo.metrics.evaluate` in `fit`.

    The scores are added to the logs, and so to the history and to the callbacks that
    come after it: put it before `Checkpoint`. The model's random seeds are left alone:
    training goes on as it would have without it.

    Args:
        images: real images, as in `kzoo.metrics.evaluate`; use ones that are not
            trained on.
        labels: `(n,)` integers, which a conditional autoencoder needs.
        every: number of epochs from one scoring to the next.
        folder: where to write `epoch_0005.json` and so on, or None.
        **options: those of `kzoo.metrics.Evaluator`: features, metrics and others.

    Example:

    >>> scores = Evaluate(test_images, every=5, features="mnist-v1")
    >>> model.fit(images, epochs=20, callbacks=[scores])
    """

    def __init__(self, images, labels=None, every=1, folder=None, **options):
        super().__init__()
        self.every = checks.positive_int("every", every)
        self.folder = None if folder is None else pathlib.Path(folder)
        self.evaluator = Evaluator(images, labels, **{"verbose": False} | options)

    def set_model(self, model):
        # A part that is trained by itself, such as a VQ-VAE's prior, names the whole.
        super().set_model(getattr(model, "whole", lambda: model)())

    def get_state(self):
        return {}  # for `Checkpoint`: the evaluator has none

    def set_state(self, state):
        pass

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        report = self.evaluator(self.model)
        logs.update(report.scores())
        if self.folder is not None and backend.is_chief():
            report.save(self.folder / f"epoch_{epoch + 1:04d}.json")
