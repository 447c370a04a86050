"""The command line: parse, call, print. The work lives in the room of each command's name, imported on use."""

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

import dnn_cli

if TYPE_CHECKING:
    from dnn_cli.config.loading import Override
    from dnn_cli.training.loop import Result

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Tell nothing on the way but warnings.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Let TensorFlow's own messages through.")


class _Commands(click.Group):
    """Commands listed in the order in which one needs them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Commands, context_settings=CONTEXT)
@click.version_option(dnn_cli.__version__, prog_name="dnn")
def cli() -> None:
    """A YAML file in, a trained and evaluated digit classifier out.

    \b
    Start here:
      dnn train -c mnist        train the textbook network
      dnn evaluate              score the newest run on the test images
      dnn runs                  list the runs, and how to go on with each
      dnn train --help          what else a command can do

    \b
    Exit codes: 0 done, 1 failed while running, 2 bad usage or config,
    3 --min-accuracy or --tolerance not met, 130 and 143 stopped by SIGINT and SIGTERM.
    """


@cli.command(short_help="Train the network that a config describes.")
@click.option(
    "-c",
    "--config",
    multiple=True,
    metavar="CONFIG",
    help="A YAML file, or a shipped config: mnist, smoke, small, fast, best, tiny, zero-to-four, five-to-nine. "
    "Several are trained in turn.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one setting; may be repeated.")
@click.option("--epochs", type=int, metavar="N", help="Short for --set training.epochs=N.")
@click.option("--batch-size", type=int, metavar="N", help="Short for --set training.batch_size=N.")
@click.option(
    "--seed", type=int, multiple=True, metavar="N", help="Short for --set seed=N. Several are trained in turn."
)
@click.option("--engine", metavar="ENGINE", help="Short for --set engine=ENGINE: keras or numpy.")
@click.option(
    "--run-dir", type=click.Path(path_type=Path), help="Where the run is to be.  [default: runs/<config>-<n>]"
)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with this run instead.")
@click.option("--dry-run", is_flag=True, help="Only check, and print what would be trained.")
@as_json
@quiet
@verbose
def train(
    config: tuple[str, ...],
    settings: tuple[str, ...],
    epochs: int | None,
    batch_size: int | None,
    seed: tuple[int, ...],
    engine: str | None,
    run_dir: Path | None,
    resume: Path | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Train the network that a config describes; the run it makes is never overwritten.

    Ctrl-C stops it after the epoch under way is saved; --resume goes on from there. Several configs, or seeds, are all
    checked first and then trained one after the other, each as if it were alone.

    \b
    Examples:
      dnn train -c mnist
      dnn train -c mine.yaml --set optimizer.learning_rate=0.01 --epochs 5
      dnn train -c mine.yaml --dry-run
      dnn train -c mine.yaml -c other.yaml --seed 0 --seed 1
      dnn train --resume runs/mnist-1 --epochs 20
    """
    from dnn_cli.config import loading
    from dnn_cli.runs.directory import RunDirectory

    if not config and resume is None:
        raise click.UsageError("say what to train: --config CONFIG, or --resume RUN")
    if len(config) > 1 or len(seed) > 1:
        if resume is not None:
            raise click.UsageError("--resume goes on with one run; give it one --config and one --seed at most")
        if run_dir is not None:
            raise click.UsageError("--run-dir is for one training; without it, each of several gets a folder in runs/")
        overrides = _overrides(settings, epochs=epochs, batch_size=batch_size, engine=engine)
        return _train_each(config, overrides, seed, dry_run=dry_run, as_json=as_json, quiet=quiet, verbose=verbose)
    if resume is not None and run_dir is not None:
        raise click.UsageError("--resume goes on in the run's own directory; --run-dir is for a new run")
    run = RunDirectory.open(resume) if resume is not None else None
    source = config[0] if config else str(run and run.config_file)
    overrides = _overrides(
        settings, epochs=epochs, batch_size=batch_size, seed=seed[0] if seed else None, engine=engine
    )
    chosen = loading.load(source, overrides)

    # A wrong config is answered before the rest is imported.
    from dnn_cli import progress
    from dnn_cli.training import loop
    from dnn_cli.training import plan as training_plan

    if dry_run:
        plan = training_plan.preview(chosen, folder=run_dir, run=run)
    elif run is not None:
        result = loop.resume(run, chosen, progress.choose(quiet=quiet), verbose=verbose)
    else:
        told = progress.choose(quiet=quiet)
        result = loop.start(chosen, Path(source).stem, told, folder=run_dir, verbose=verbose)

    # By now Keras has imported most of what draws the tables.
    from dnn_cli.cli import display

    if dry_run:
        display.preview(plan, as_json=as_json)
    else:
        display.training(result, as_json=as_json)
    return None


@cli.command(short_help="Score a trained network on the test images, or on others.")
@click.argument("target", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    metavar="SPLIT",
    default="test",
    help="test, validation (what was held out) or train.  [default: test]",
)
@click.option("--data", metavar="PATH", help="Other images: a dataset's name, an .npz file or a folder of IDX files.")
@click.option("--checkpoint", metavar="WHICH", default="best", help="best, last or a .keras file.  [default: best]")
@click.option(
    "--min-accuracy",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Exit with code 3 if the accuracy, 0 to 1, is below.",
)
@as_json
@verbose
def evaluate(
    target: Path | None,
    split: str,
    data: str | None,
    checkpoint: str,
    min_accuracy: float | None,
    as_json: bool,
    verbose: bool,
) -> None:
    """Score a trained network on every image of a split.

    RUN is a run's folder or a .keras file; without it, the newest run in runs/ is scored. A .keras file is scored on
    MNIST unless --data says otherwise. What is found of a run is kept in its evaluation/ folder.

    \b
    Examples:
      dnn evaluate
      dnn evaluate runs/mnist-1
      dnn evaluate runs/mnist-1 --min-accuracy 0.97 --json
      dnn evaluate model.keras --data mine.npz
    """
    from dnn_cli.errors import GateError
    from dnn_cli.evaluation import evaluate

    result = evaluate.evaluate(target, split=split, dataset=data, checkpoint=checkpoint, say=_warn, verbose=verbose)

    from dnn_cli.cli import display

    display.evaluation(result, as_json=as_json)
    if min_accuracy is not None and not result["accuracy"] >= min_accuracy:
        raise GateError(f"accuracy {result['accuracy']:.6g} is below --min-accuracy {min_accuracy:g}")


@cli.command(short_help="List the runs: running, done, interrupted or damaged.")
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@as_json
def runs(folder: Path | None, as_json: bool) -> None:
    """List the runs in DIR with their states, figures and age; the one that was written last comes first.

    DIR is runs/ unless it is given. A run is running while a process trains it; done with all of its epochs, or with as
    many as early stopping allowed; damaged if its files cannot be read; otherwise interrupted. For what is interrupted
    or damaged the command that goes on is told. Checksums of checkpoints are left to `dnn show`. Damaged runs do not
    change the exit code.

    \b
    Examples:
      dnn runs
      dnn runs elsewhere --json
    """
    from dnn_cli.cli import display
    from dnn_cli.runs import status

    display.runs(status.list_runs(folder), folder, as_json=as_json)


@cli.command(short_help="Print one run: settings, environment, history, figures, files.")
@click.argument("path", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@as_json
def show(path: Path | None, as_json: bool) -> None:
    """Print all that is known of a run, and the commands that go on with it.

    Without RUN it is the newest run in runs/. Its checkpoints are held against their checksums. Of a damaged run
    what can be read is printed, and the exit code is 1.

    \b
    Examples:
      dnn show
      dnn show runs/mnist-1
      dnn show runs/mnist-1 --json
    """
    from dnn_cli.cli import display
    from dnn_cli.runs import status
    from dnn_cli.runs.directory import RunDirectory

    details = status.inspect_run(RunDirectory.open(path) if path else RunDirectory.newest())
    display.run(details, as_json=as_json)
    details.entry.raise_if_damaged()


@cli.command(short_help="Say which digit image files show.")
@click.argument("target", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--checkpoint", metavar="WHICH", default="best", help="best, last or a .keras file.  [default: best]")
@click.option(
    "--engine",
    type=click.Choice(["numpy", "keras"]),
    metavar="ENGINE",
    help="numpy or keras.  [default: numpy, where it knows the network]",
)
@click.option("--show", is_flag=True, help="Draw each picture as the network saw it.")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print the result as CSV.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the result in FILE.json or FILE.csv instead of printing it.",
)
@quiet
@verbose
def predict(
    target: Path,
    names: tuple[str, ...],
    checkpoint: str,
    engine: Literal["numpy", "keras"] | None,
    show: bool,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Say which digit each image file shows, and how sure the network is.

    RUN is a run's folder or a .keras file. IMAGE is a PNG, JPEG, GIF, BMP, TIFF or WebP file, a folder of them, a
    pattern such as 'scans/*.png', or - for standard input. A picture shows one digit, of any size and colour, on a
    plain background; it is brought to what MNIST is: light on dark, in a box of 20 by 20 pixels, centred in 28 by 28.

    \b
    Examples:
      dnn predict runs/mnist-1 seven.jpg --show
      dnn predict runs/mnist-1 scans --out digits.csv
      dnn predict model.keras - --json < seven.png
    """
    if sum((show, as_json, as_csv, out is not None)) > 1:
        raise click.UsageError("--show, --json, --csv and --out each say where the result goes; choose one")
    from dnn_cli.evaluation import predict as predicting

    if out is not None:
        predicting.check_output(out)
    found = predicting.predict(
        target, names, checkpoint=checkpoint, engine=engine, say=_warn, quiet=quiet, verbose=verbose
    )
    if out is not None:
        predicting.save(found, out)
        click.echo(out)
    else:
        from dnn_cli.cli import display

        display.prediction(found, as_json=as_json, as_csv=as_csv, show=show)
    found.raise_if_broken()


@cli.command(short_help="Show why an image is taken for what it is.")
@click.argument("target", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option("--index", type=int, metavar="N", help="Explain this image of a split, from 0, instead of a file.")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    metavar="SPLIT",
    default="test",
    help="Of which --index counts: test, validation or train.  [default: test]",
)
@click.option("--data", metavar="PATH", help="Other images for --index: a dataset's name, an .npz file or a folder.")
@click.option("--checkpoint", metavar="WHICH", default="best", help="best, last or a .keras file.  [default: best]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write FILE.png or FILE.html alone.  [default: both, in the run's explanations/]",
)
@as_json
def explain(
    target: Path | None,
    image: str | None,
    index: int | None,
    split: str,
    data: str | None,
    checkpoint: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show which pixels and which hidden units made a network take an image for what it does.

    RUN is a run's folder or a .keras file; with --index it may be left out for the newest run. IMAGE is an image file,
    or - for standard input, prepared as `dnn predict` does. Integrated gradients, saliency and occlusion are drawn for
    the predicted class, the runner-up and their difference; --json prints all numbers.

    \b
    Examples:
      dnn explain runs/mnist-1 seven.jpg
      dnn explain --index 8
      dnn explain runs/mnist-1 --index 8 --split test --json
    """
    if (image is None) == (index is None):
        raise click.UsageError("say what to explain: RUN and an IMAGE, or --index N")
    if index is None and data is not None:
        raise click.UsageError("--data is for --index")
    from dnn_cli.explanation import explain as explaining
    from dnn_cli.report import explanation_page

    explanation_page.check(out, image)
    chosen = image if image is not None else explaining.SplitImage(index or 0, split, data)
    found = explaining.explain(target, chosen, checkpoint=checkpoint, say=_warn)
    files = explanation_page.write(found, out)

    from dnn_cli.cli import display

    display.explanation(found, files, as_json=as_json)


@cli.command(short_help="Compare runs: what differs, and what they reached.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--sort",
    type=click.Choice(["val_accuracy", "test_accuracy", "seconds", "parameters"]),
    metavar="FIGURE",
    help="val_accuracy, test_accuracy, seconds or parameters; best first.  [default: the first that can be compared]",
)
@as_json
def compare(runs: tuple[Path, ...], sort: str | None, as_json: bool) -> None:
    """Show runs beside each other: what differs in their configs, and what they reached.

    They are ranked by the accuracy on what was held out, if all held out the same images, or else on the test images,
    if all were evaluated on the same ones. Otherwise they are not ranked, and it is said why.

    \b
    Examples:
      dnn compare runs/mnist-1 runs/small-1
      dnn compare runs/* --sort parameters
      dnn compare runs/* --json
    """
    from dnn_cli.cli import display
    from dnn_cli.runs import comparison as comparing

    found = comparing.compare_runs(runs, sort)
    display.comparison(found, as_json=as_json)
    found.raise_if_damaged()


@cli.command(short_help="Show what a run learned on one HTML page; compare several.")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]...")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.html", help="Where the page is to be.")
@click.option(
    "--plots", type=click.Choice(["svg", "png"]), metavar="TYPE", help="Save the pictures too, as svg or png."
)
@as_json
def report(runs: tuple[Path, ...], out: Path | None, plots: Literal["svg", "png"] | None, as_json: bool) -> None:
    """Write one HTML page that shows how a run learned, what it can do, where it fails, and what to try.

    The page is the run's report.html, its pictures go into plots/ there; without RUN it is the newest in runs/. Of
    several runs it is comparison.html in this folder: their curves, what differs in their configs, and whether one is
    better than another by more than chance. Nothing is fetched when a page is opened.

    \b
    Examples:
      dnn report
      dnn report runs/mnist-1 --plots svg
      dnn report runs/mnist-1 runs/small-1 --out both.html
    """
    from dnn_cli.report import write as reports

    result = reports.report(runs, out=out, kind=plots)
    for warning in result.warnings:
        _warn(f"warning: {warning}")

    from dnn_cli.cli import display

    display.report(result, as_json=as_json)


@cli.command(short_help="List the datasets; fetch and verify one; show its augmentation.")
@click.argument("name", required=False)
@click.option(
    "--preview",
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="Draw images beside copies deformed as training.augmentation says.",
)
@click.option("-c", "--config", metavar="CONFIG", help="The config whose augmentation --preview draws.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a setting for --preview.")
@as_json
@quiet
def data(
    name: str | None, preview: Path | None, config: str | None, settings: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """List the datasets and where each was found; with NAME, fetch that one if need be and verify it.

    NAME is a dataset's name, or the path of an .npz file or of a folder of IDX files. With --preview it may be left
    out for the config's own.

    \b
    Examples:
      dnn data
      dnn data mnist
      dnn data mine.npz
      dnn data mnist --preview mnist.png --set training.augmentation.rotation=15
    """
    if preview is not None:
        return _preview(name, preview, config, settings, as_json=as_json, quiet=quiet)
    if config is not None or settings:
        raise click.UsageError("--config and --set are for --preview")
    from dnn_cli.cli import display
    from dnn_cli.data import datasets

    if name is None:
        display.datasets([(found, _parts(found.dataset)) for found in datasets.list_datasets()], as_json=as_json)
        return None
    dataset = datasets.find(name, split="both", quiet=quiet)
    display.dataset(dataset, _parts(dataset), as_json=as_json)
    return None


@cli.command(short_help="Compare Keras's gradients with backpropagation and differences.")
@click.option("-c", "--config", metavar="CONFIG", required=True, help="A YAML file, or a shipped config.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one setting; may be repeated.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="X",
    default=1e-6,
    help="Exit with code 3 if an error is larger.  [default: 1e-6]",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    metavar="N",
    default=50,
    help="Entries of each parameter that are compared with differences.  [default: 50]",
)
@as_json
@verbose
def gradcheck(
    config: str, settings: tuple[str, ...], tolerance: float, samples: int, as_json: bool, verbose: bool
) -> None:
    """Check Keras and the NumPy network against each other and against finite differences.

    The config's network is built in both with equal weights, in float64, and given the first batch of its training.
    For every layer the outputs are compared, and three gradients: by Keras's automatic differentiation, by
    backpropagation in NumPy, and by central differences of the loss. Errors are relative to the largest number.

    \b
    Examples:
      dnn gradcheck -c mnist
      dnn gradcheck -c small --set model.layers[0].activation=tanh --json
    """
    from dnn_cli.config import loading
    from dnn_cli.errors import GateError

    chosen = loading.load(config, _overrides(settings))

    from dnn_cli.verification import gradcheck as gradients

    result = gradients.check(chosen, samples=samples, verbose=verbose)

    from dnn_cli.cli import display

    display.gradients(result, tolerance, as_json=as_json)
    if not result.largest <= tolerance:
        raise GateError(f"the largest relative error, {result.largest:.2g}, is above --tolerance {tolerance:g}")


@cli.command(short_help="Print one training step, number by number, with every formula.")
@click.option("-c", "--config", metavar="CONFIG", required=True, help="A YAML file, or a shipped config such as tiny.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one setting; may be repeated.")
@click.option(
    "--index",
    type=click.IntRange(0),
    metavar="N",
    help="The first training image of the batch.  [default: the batch that training takes first]",
)
@as_json
def trace(config: str, settings: tuple[str, ...], index: int | None, as_json: bool) -> None:
    """Print one training step of a network in plain NumPy: forward, backward, and the update.

    Every quantity comes with its formula, its shape and its numbers; large ones are cut short, and of the pixels the
    brightest four are shown. docs/backpropagation.md explains them all.

    \b
    Examples:
      dnn trace -c tiny
      dnn trace -c tiny --index 7 --set optimizer=adam
    """
    from dnn_cli.config import loading

    chosen = loading.load(config, _overrides(settings))

    from dnn_cli.cli import display
    from dnn_cli.verification import trace as steps

    display.step(steps.trace(chosen, index), as_json=as_json)


@cli.command(short_help="Print the JSON Schema of config files.")
def schema() -> None:
    """Print the JSON Schema of a config file, for editors that complete and check YAML.

    \b
    Example:
      dnn schema > config.schema.json
    """
    from dnn_cli.config import schema

    click.echo(json_module.dumps(schema.json_schema(), indent=2))


def _train_each(
    sources: Sequence[str],
    overrides: "list[Override]",
    seeds: Sequence[int],
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    from dnn_cli import progress
    from dnn_cli.cli import display
    from dnn_cli.training import series

    entries = series.load(sources, overrides, seeds)
    if dry_run:
        plans = zip((entry.label for entry in entries), series.preview(entries), strict=True)
        return display.previews(list(plans), as_json=as_json)
    results: list[Result] = []

    def done(result: "Result") -> None:
        results.append(result)
        if not as_json:
            display.training(result, as_json=False)

    try:
        series.train(entries, progress.choose(quiet=quiet), done, verbose=verbose)
    finally:  # what was trained to the end is told, whatever becomes of the others
        if results:
            display.trainings(results, as_json=as_json)
    return None


def _preview(
    name: str | None, file: Path, config: str | None, settings: tuple[str, ...], *, as_json: bool, quiet: bool
) -> None:
    from dnn_cli.config import loading

    overrides = _overrides(settings)
    chosen = loading.load(config, overrides) if config else loading.parse("", "the command line", overrides)

    from dnn_cli.report import augmentation_preview

    if note := augmentation_preview.draw(chosen, name or chosen.data.dataset, file, quiet=quiet):
        _warn(note)
    click.echo(json_module.dumps({"preview": str(file)}, indent=2) if as_json else str(file))


def _parts(dataset: Any) -> Any:
    from dnn_cli.data import datasets

    return datasets.verify(dataset) if dataset is not None else []


def _overrides(
    settings: tuple[str, ...],
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: str | None = None,
) -> "list[Override]":
    from dnn_cli.config.loading import Override

    short = (
        ("training.epochs", "--epochs", epochs),
        ("training.batch_size", "--batch-size", batch_size),
        ("seed", "--seed", seed),
        ("engine", "--engine", engine),
    )
    given = [Override(key, value, f"{option} {value}") for key, option, value in short if value is not None]
    return [*map(Override.parse, settings), *given]


def _warn(text: str) -> None:
    click.echo(text, err=True)
