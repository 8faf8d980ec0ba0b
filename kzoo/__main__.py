"""The command `kzoo`, also `python -m kzoo`: trains, draws with and scores models.

Keras takes seconds to import, so that imports are inside the commands.
"""

import sys
import traceback
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option, Typer
from typer.core import TyperGroup

from kzoo import inventory

USERS = (ValueError, TypeError, FileExistsError, LookupError, ImportError)


class Commands(TyperGroup):
    """Ends with one message for an error that is the user's."""

    def resolve_command(self, ctx, args):
        if args[0] not in self.commands:
            ctx.fail(inventory.unknown("command", args[0], self.commands))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (*USERS, OSError) as error:
            if not is_users(error):
                raise
            message = error.args[0] if isinstance(error, LookupError) else error
            print(f"Error: {message}", file=sys.stderr)
            raise Exit(1) from error


def is_users(error):
    """Whether the user can do something: kzoo raised it, or a file refused."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    in_kzoo = Path(innermost.filename).parent.is_relative_to(Path(__file__).parent)
    raised = (innermost.line or "").startswith("raise ")
    return (in_kzoo and raised) or (isinstance(error, OSError) and error.filename)


app = Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[Path, Argument(help="A .keras file, or the folder of a run.")]
Seeds = Annotated[str, Option(help="Numbers and ranges: 0-63, or 1,5,9.")]
Labels = Annotated[
    str | None, Option(help="Of a model with classes: one for all, or as seeds.")
]
Truncation = Annotated[
    float | None,
    Option(
        help="Clearer, less varied images: where the normal numbers behind the latents "
        "are cut off; for StyleGAN2, psi. Default: nothing is cut off."
    ),
]
Dataset = Annotated[str, Option(help="What kzoo.data.load takes: see `kzoo list`.")]
Columns = Annotated[int | None, Option(min=1, help="Images in a row of a picture.")]


@app.callback()
def main():
    """The Keras 3 zoo of generative models."""


@app.command("list")
def list_names(
    what: Annotated[
        str | None,
        Argument(help="models, recipes, datasets, metrics or features. Default: all."),
    ] = None,
):
    """Lists models, recipes, data sets, metrics and features."""
    lists = inventory.LISTS
    if what is not None and what not in lists:
        raise BadParameter(inventory.unknown("list", what, lists))
    for name in [what] if what else lists:
        print(f"{name}\n{inventory.table(lists[name]())}")


# Options after NAME are the recipe's, --help too.
@app.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
def train(
    name: Annotated[str, Argument(help="A recipe: see `kzoo list recipes`.")],
    options: Annotated[
        list[str] | None, Argument(help="Its own: see `kzoo train NAME --help`.")
    ] = None,
):
    """Runs a recipe, which trains a model.

    Such as: kzoo train dcgan --dataset ./photos --epochs 20
    """
    import runpy

    paths, stem = inventory.recipes(), name.replace("-", "_")
    if stem not in paths:
        raise BadParameter(inventory.unknown("recipe", name, paths))
    inventory.import_all()
    # The recipe as a script: on PyTorch --devices starts sys.argv anew.
    sys.argv = [str(paths[stem]), *(options or [])]
    runpy.run_path(sys.argv[0], run_name="__main__")


@app.command()
def sample(
    model: Model,
    out: Annotated[Path, Option(help="grid.png, x.npz, or a folder to make.")],
    seeds: Seeds = "0-63",
    labels: Labels = None,
    truncation: Truncation = None,
    columns: Columns = None,
):
    """Draws an image for each seed.

    It is the same whatever the other seeds are. A model with classes takes all of them
    in turn unless --labels says otherwise. An .npz file holds images (uint8), seeds,
    latents and labels; a folder seed0000.png and so on.
    """
    from kzoo import drawing

    drawing.check_out(out, *drawing.PICTURES, ".npz", "")
    numbers = drawing.numbers(seeds, "seeds")
    loaded = inventory.load_model(model)
    of_images = drawing.labels_for(loaded, labels, len(numbers))
    truncation = drawing.truncate(loaded, truncation)
    latents = drawing.seeded_latents(loaded, numbers, of_images, truncation)
    images = loaded.generate(latents, of_images)
    if labels is None and 1 < (loaded.num_classes or 0) <= 16:
        columns = columns or min(loaded.num_classes, len(images))  # one class a column
    names = [f"seed{seed:04d}" for seed in numbers]
    arrays = {"seeds": numbers, "latents": latents, "labels": of_images}
    drawing.write(out, images, names, columns, **arrays)


@app.command()
def interpolate(
    model: Model,
    out: Annotated[Path, Option(help="walk.gif, grid.png, x.npz, or a folder.")],
    seeds: Seeds = "0-3",
    steps: Annotated[int, Option(min=1, help="Images from a seed to the next.")] = 30,
    labels: Labels = None,
    truncation: Truncation = None,
    fps: Annotated[int, Option(min=1, max=100, help="Images a second of a .gif.")] = 20,
):
    """Draws the way from seed to seed.

    It goes from each seed to the next, and from the last back to the first. The normal
    numbers behind the latents are interpolated spherically. A picture has a row from
    each seed to the next. A model with classes takes label 0, or --labels, one for all
    or one a seed: an image has that of the nearer seed.
    """
    from kzoo import drawing

    drawing.check_out(out, ".gif", *drawing.PICTURES, ".npz", "")
    numbers = drawing.numbers(seeds, "seeds")
    loaded = inventory.load_model(model)
    of_images = drawing.walk_labels(loaded, labels, numbers, steps)
    truncation = drawing.truncate(loaded, truncation)
    latents = drawing.walk(loaded, numbers, steps, of_images, truncation)
    images = loaded.generate(latents, of_images)
    if out.suffix.lower() == ".gif":
        drawing.save_animation(images, out, fps)
        return print(f"{len(images)} images: {out}")
    names = [f"step{i:04d}" for i in range(len(images))]
    arrays = {"seeds": numbers, "latents": latents, "labels": of_images}
    drawing.write(out, images, names, steps, **arrays)


@app.command()
def reconstruct(
    model: Model,
    out: Annotated[Path, Option(help="pairs.png, x.npz, or a folder to make.")],
    dataset: Dataset = "digits",
    split: Annotated[str, Option(help="Of the data set.")] = "test",
    limit: Annotated[int, Option(min=1, help="Only its first images.")] = 32,
    columns: Columns = None,
):
    """Draws images and what an autoencoder makes of them.

    Each row of images is above the row of its reconstructions.

    An .npz file holds images and reconstructions (uint8), latents and labels.
    """
    from kzoo import data, drawing

    drawing.check_out(out, *drawing.PICTURES, ".npz", "")
    loaded = inventory.load_model(model)
    drawing.check_reconstructs(loaded, model)
    images, labels = data.load(dataset, split, loaded.image_shape[:2], limit)
    labels = labels if loaded.num_classes else None
    drawing.write_pairs(out, loaded, images, labels, columns)


@app.command()
def evaluate(
    model: Model,
    dataset: Dataset = "digits",
    split: Annotated[str, Option(help="Images to compare with.")] = "test",
    train_split: Annotated[
        str, Option(help="What it was trained on, to see whether it copies.")
    ] = "train",
    features: Annotated[
        str | None,
        Option(help="See `kzoo list features`. Default: those of the data set."),
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
        Path | None,
        Option(help="The JSON report. Default: MODEL.scores.json, which is replaced."),
    ] = None,
):
    """Scores a model, with the protocol of each score."""
    from kzoo import data, drawing
    from kzoo import metrics as scores

    if output is not None:
        drawing.check_out(output)
    loaded = inventory.load_model(model)
    size = loaded.image_shape[:2]
    images, labels = data.load(dataset, split, size, limit)
    train_images, _ = data.load(dataset, train_split, size, limit)
    output = output or inventory.model_path(model).with_suffix(".scores.json")
    report = scores.evaluate(
        loaded,
        images,
        labels,
        path=output,
        features=features or scores.features_for(dataset),
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


@app.command()
def export(
    model: Model, out: Annotated[Path, Option(help="The SavedModel, a folder to make.")]
):
    """Writes a TensorFlow SavedModel.

    It needs neither Keras nor kzoo.
    """
    from kzoo import drawing

    drawing.check_out(out)
    inventory.load_model(model).export(out)


@app.command()
def env():
    """Prints versions, devices and folders, for a bug report."""
    print(inventory.table(inventory.environment()))


if __name__ == "__main__":
    app()
