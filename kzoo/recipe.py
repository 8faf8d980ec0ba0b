"""The shared part of all recipes: options, data, training, output files.

A recipe is a function of a `Run` and of the options that are its model's own:

    @recipe(epochs=100, batch_size=64)
    def main(run, latent_dim: int = 100):
        images = run.images()
        run.score_by("kernel_distance", "prdc")
        model = kzoo.models.DCGAN(images.shape[1:], latent_dim)
        run.fit(model)
        run.report(model)

`main(epochs=2, output="runs/dcgan")` runs it from Python, `script(main)` with the
options of the command line, where `--help` lists all of them. The fields of `Run` are
the options that recipes share. Into the folder `output` a recipe writes:

    checkpoint.keras    after each epoch, for --resume
    samples/ and other folders of pictures, after each epoch
    model.keras, SavedModel/, history.json, history.png, scores.json    at the end
"""

import contextlib
import dataclasses
import inspect
import json
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated

import keras
import typer

from kzoo import data, distribution, metrics
from kzoo.callbacks import Checkpoint, LatentGrid, ReconstructionGrid, SampleGrid
from kzoo.figures import draw_history
from kzoo.files import replacing
from kzoo.weights import start_from

# The files of a run, any of which shows that there has been one. The first is the one
# that a run goes on from.
WRITTEN = (
    "checkpoint.keras",
    "samples",
    "reconstructions",
    "model.keras",
    "SavedModel",
    "history.json",
    "scores.json",
)


# For `Run.report`.
ELBO = (
    "Test negative ELBO: {loss:.2f} nats an image "
    "(reconstruction {reconstruction:.2f}, KL {kl:.2f})"
)


def recipe(**defaults):
    """Makes a function of a `Run` and own options one of all its options, by keyword.

    The name of the file is the recipe's: `saved_models/<name>` is where it writes. The
    docstring of the file is the help text.

    Args:
        **defaults: of the shared options: `epochs`, `batch_size`, and for a recipe that
            is tested on images held back, `test_split`. Without it the recipe has no
            such option.
    """

    def decorate(function):
        name = Path(function.__code__.co_filename).stem
        settings = {"output": Path("saved_models", name), **defaults}
        shared = shared_options(settings)

        def main(**options):
            own = {key: options.pop(key) for key in {*options} - {*shared}}
            run = Run(**settings | options)
            with run.explaining_stops():
                run.start()
                try:
                    function(run, **own)
                except ValueError as error:
                    if run.training:
                        raise
                    raise typer.BadParameter(str(error)) from error

        own = list(inspect.signature(function).parameters.values())[1:]
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in own]
        main.__signature__ = inspect.Signature([*own, *shared.values()])
        main.__doc__ = function.__globals__["__doc__"]
        return main

    return decorate


def named(argument, name, known, **settings):
    """A part by its name, with those settings that are not None.

    Args:
        argument: what the name is passed as.
        name, known: one of the names in the dict `known` of classes.
        **settings: of the part's constructor.

    Raises:
        ValueError: for an unknown name, or a setting that the part does not have.
    """
    if name not in known:
        raise ValueError(
            f"Expected {argument} to be one of {', '.join(known)}. Received: {name!r}."
        )
    settings = {key: value for key, value in settings.items() if value is not None}
    own = list(inspect.signature(known[name]).parameters)
    wrong = [key for key in settings if key not in own]
    if wrong:
        raise ValueError(
            f"Expected settings of {argument}={name!r}: {', '.join(own) or 'none'}. "
            f"Received: {', '.join(wrong)}. Leave it out, or choose another {argument}."
        )
    return known[name](**settings)


def script(main):
    """Runs a recipe, or any function, with the options of the command line."""
    help = help_text(main.__doc__ or main.__globals__["__doc__"])
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=help)(main)
    app()


def shared_options(settings):
    """The fields of `Run` as parameters, with these defaults."""
    fields = inspect.signature(Run).parameters.values()
    options = {
        field.name: field.replace(
            kind=field.KEYWORD_ONLY, default=settings.get(field.name, field.default)
        )
        for field in fields
    }
    if "test_split" not in settings:
        del options["test_split"]
    return options


def help_text(docstring):
    """The docstring, its commands marked by `\\b`: typer keeps their lines."""
    return docstring.replace("\n\npython ", "\n\n\b\npython ")


def option(help, *names):
    return typer.Option(*names, help=help, rich_help_panel="Options of every recipe")


@dataclasses.dataclass(kw_only=True)
class Run:
    """The shared options, and what a recipe does with them."""

    dataset: Annotated[
        str, option("Name of a data set, or a folder of images: see kzoo.data.load.")
    ] = "digits"
    epochs: Annotated[int, option("Passes over the training images.")]
    batch_size: Annotated[int, option("Images in a training step.")]
    split: Annotated[str, option("Images to train on.")] = "train"
    test_split: Annotated[str | None, option("Images to test on.")] = None
    image_size: Annotated[
        int | None, option("Crop and resize the images to squares of this side.")
    ] = None
    limit: Annotated[
        int | None, option("Use only the first images of each split, this many.")
    ] = None
    output: Annotated[Path, option("Folder to write to.")]
    resume: Annotated[
        bool, option("Go on from the checkpoint in the output folder, if there is one.")
    ] = False
    from_: Annotated[
        Path | None,
        option(
            "Go on from the weights of a trained model, a .keras file or a folder that "
            "Keras loads, with fresh optimizers. With --resume, a checkpoint in the "
            "output folder takes precedence.",
            "--from",
        ),
    ] = None
    seed: Annotated[
        int, option("Random seed of weights, noise and order of images.")
    ] = 0
    devices: Annotated[
        int | None, option("Divide each batch among this many devices. Default: one.")
    ] = None

    def __post_init__(self):
        self.output = Path(self.output)
        self.evaluator = self.untrained = None
        self.training = False  # until then, a ValueError is of a setting

    def start(self):
        """Checks the folders, then sets devices and seeds, before anything is built."""
        self._check_folders()
        distribution.data_parallel(self.devices)
        keras.utils.set_random_seed(self.seed)

    def _check_folders(self):
        earlier = [name for name in WRITTEN if (self.output / name).exists()]
        if earlier and not self.resume:
            raise typer.BadParameter(
                f"Expected a folder without an earlier run. Received: {self.output}, "
                f"which has {', '.join(earlier)}. Pass --resume to go on with that "
                "run, or another --output.",
                param_hint="--output",
            )
        above = (self.output, *self.output.absolute().parents)
        folder = next(path for path in above if path.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise typer.BadParameter(
                f"Expected a folder that can be written to. Received: {self.output}, "
                f"but {folder} is not one. Pass another --output.",
                param_hint="--output",
            )
        if self.from_ is not None and not Path(self.from_).exists():
            raise typer.BadParameter(
                "Expected a trained model, a .keras file or a folder. Received: "
                f"{self.from_}, which does not exist.",
                param_hint="--from",
            )

    def images(self):
        """The images to train on, uint8 `(n, height, width, channels)`."""
        return self.train_data[0]

    @cached_property
    def train_data(self):
        """`(images, labels)`, where labels are `(n,)` integers or None."""
        return self._load(self.split)

    @cached_property
    def test_data(self):
        """`(images, labels)` of the test split; None in a recipe without one."""
        return None if self.test_split is None else self._load(self.test_split)

    def _load(self, split):
        try:
            return data.load(self.dataset, split, self.image_size, self.limit)
        except (data.DatasetNotFound, ValueError) as error:
            raise typer.BadParameter(str(error)) from error

    def num_classes(self):
        """The number of classes that the training images have labels of."""
        labels = self.train_data[1]
        if labels is None:
            raise typer.BadParameter(
                f"{self.dataset} has no labels, which a conditional model needs. Pass "
                "another --dataset, or train a model without labels."
            )
        return int(labels.max()) + 1

    @property
    def steps_per_epoch(self):
        return -(-len(self.train_data[0]) // self.batch_size)

    def score_by(self, *names):
        """Chooses the metrics of `report`. Call it before the model is built.

        Scored on the test images, or without them on the first 10,000 trained on.
        """
        images, split = self.train_data[0][:10_000], self.split
        if self.test_data is not None:
            images, split = self.test_data[0], self.test_split
        self.evaluator = metrics.Evaluator(
            images,
            features=metrics.features_for(self.dataset),
            metrics=list(names),
            seed=self.seed,
            dataset=self.dataset,
            split=split,
            verbose=False,
        )

    def fit(self, model, pictures=(), pairs=None, sampler=None):
        """Trains a model, writes it with its pictures and history, and returns it.

        Args:
            model: to train. Compiled as in its paper, if it is not compiled yet.
            pictures: callbacks that draw, beside the samples and reconstructions.
            pairs: images to reconstruct. Default: the first 32 test images, if any.
            sampler: name of what is fitted to the latents afterwards, or None.
        """
        self.ready(model)
        if self.evaluator is not None:
            self.untrained = self.evaluator(model)
        grids = [SampleGrid(self.output / "samples")]
        if self.test_data is not None:
            grids.append(self.reconstructions(model, pairs))
        history = self.train(model, [*grids, *pictures])
        self.save(model, history, sampler)
        return model

    def ready(self, model):
        """Compiles the model if it is not yet, and loads the weights of `--from`."""
        self.training = True
        if not model.compiled:
            model.compile()
        if self.from_ is None:
            return
        try:
            start_from(self.from_, model)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--from") from error

    def reconstructions(self, model, images=None):
        """A callback that draws images, or 32 test images, and what they become."""
        held_back, labels = self.test_data
        images = held_back[:32] if images is None else images
        labels = labels[:32] if model.num_classes else None
        return ReconstructionGrid(self.output / "reconstructions", images, labels)

    def latents(self):
        """A callback that draws what the latents mean."""
        return LatentGrid(self.output / "latents")

    def train(self, model, callbacks):
        """`model.fit` on the images, with a checkpoint. Returns the history, a dict."""
        images, labels = self.train_data
        history = model.fit(
            images,
            labels if model.num_classes else None,
            batch_size=self.batch_size,
            epochs=self.epochs,
            callbacks=[*callbacks, self.checkpoint("checkpoint.keras")],
        )
        return history.history

    def checkpoint(self, name):
        return Checkpoint(self.output / name, self.resume, self.seed)

    def save(self, model, history, sampler=None):
        """Fits a sampler, if one is named, and writes the model and its history."""
        distribution.finish(model)
        if sampler is not None:
            model.fit_sampler(sampler, self.train_data[0], seed=self.seed)
        model.save(self.output / "model.keras")
        with replacing(self.output / "history.json") as partial:
            partial.write_text(json.dumps(history, indent=1))
        draw_history(history, self.output / "history.png")
        try:
            model.export(self.output / "SavedModel", overwrite=self.resume)
        except ImportError as error:
            print(f"No SavedModel: {error}")

    def evaluate(self, model):
        """The logs of `model.evaluate` on the test images, a dict."""
        images, labels = self.test_data
        labels = labels if model.num_classes else None
        return model.evaluate(
            images, labels, batch_size=self.batch_size, return_dict=True
        )

    def likelihood(self, model, samples, images=1000):
        """In words, -log p(x) of the first test images: a bound of so many samples."""
        scored = self.test_data[0][:images]
        nats = -model.log_likelihood(scored, samples=samples, verbose=True)
        return (
            f"{nats.mean():.2f} nats an image (bound of {samples} samples, "
            f"{len(scored)} images)"
        )

    def report(self, model, text=""):
        """Prints where everything is, the scores of `score_by`, and `text`.

        Names in braces in `text` become the logs of `evaluate`: `"Loss {loss:.2f}"`.
        """
        if "{" in text:
            text = text.format(**self.evaluate(model))
        if self.evaluator is None:
            print(f"Model, samples and history: {self.output}")
        else:
            scores = self.evaluator(model)
            scores.save(self.output / "scores.json")
            print(f"Model, samples, history and scores: {self.output}")
            print(scores)
        if self.untrained is not None:
            before = self.untrained["kernel_distance"]
            print(f"Kernel distance before training: {before:.4g}")
        if text:
            print(text)

    @contextlib.contextmanager
    def explaining_stops(self):
        """On Ctrl-C or a disk error, exits and says what can be resumed."""
        try:
            yield
        except (KeyboardInterrupt, OSError) as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if distribution.is_chief():
                reason = "" if interrupted else f" by {type(error).__name__}: {error}"
                print(f"\nStopped{reason}. {self.what_is_left()}", file=sys.stderr)
            raise SystemExit(130 if interrupted else 1) from None

    def what_is_left(self):
        path = self.output / WRITTEN[0]
        if not path.exists():
            return f"No epoch was finished yet: {path} is not there."
        return (
            f"The last epoch that was finished is in {path}: start the same command "
            "with --resume to go on from there."
        )
