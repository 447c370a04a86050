"""The command `dnn predict`: classify the digits in image files."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_lines, table, warn

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from dnn_cli.evaluation.predict import Prediction, Predictions
    from dnn_cli.typing import Array

HALF_BLOCK = "▀"  # shows two pixels: the upper as the text colour, the lower as the background colour
SHADES = " .:-=+*#%@"  # from black to white


@click.command
@click.argument("words", nargs=-1, required=True, metavar="[RUN] IMAGE...")
@options.checkpoint
@click.option(
    "--engine",
    type=click.Choice(["numpy", "keras"]),
    metavar="ENGINE",
    help="Library that computes: numpy or keras.  [default: numpy if it supports every layer, else keras]",
)
@click.option(
    "--min-probability",
    type=click.FloatRange(0, 1),
    metavar="X",
    default=0.0,
    help="Answer ? where the most probable digit has a probability below X.  [default: 0]",
)
@click.option("--answer-all", is_flag=True, help="Answer what looks like no digit as well.")
@click.option("--show", is_flag=True, help="Draw each image in the terminal as the network sees it.")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print the result as CSV instead of a table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the result to FILE.json or FILE.csv instead of printing it.",
)
@options.quiet
@options.verbose
def predict(
    words: tuple[str, ...],
    checkpoint: str,
    engine: Literal["numpy", "keras"] | None,
    min_probability: float,
    answer_all: bool,
    show: bool,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Classify the digits in image files.

    RUN is a run directory or a .keras file, by default the newest run in runs/. IMAGE is a PNG, JPEG, GIF, BMP, TIFF or
    WebP file, a folder of such files, a pattern such as 'scans/*.png', or - for standard input.

    An image may show one digit or several, in any size and colour, on plain, ruled or squared paper, in a frame or
    with dark edges. Each is converted to the format of MNIST: a light digit on black, scaled to fit 20 by 20 pixels and
    centred in 28 by 28. What may be no digit is answered with ? and the reason. An unreadable image is reported, and
    the others are classified. Without an answer for each the exit code is 1. For a network that was trained on pictures
    of your own, images are prepared as those were, and each has one answer.

    IMAGE may also be one CSV file with a row of pixels for each image, such as Kaggle's test.csv. The result has the
    columns ImageId and Label.

    \b
    Examples:
      dnn predict seven.jpg
      dnn predict runs/mnist-1 seven.jpg --show
      dnn predict runs/mnist-1 scans --out digits.csv
      dnn predict model.keras - --json < seven.png
      dnn predict runs/digits-1 test.csv --out submission.csv
    """
    if sum((show, as_json, as_csv, out is not None)) > 1:
        raise click.UsageError("--show, --json, --csv and --out exclude each other: choose one")
    from dnn_cli.evaluation import model_source, submission
    from dnn_cli.evaluation import predict as prediction

    target, names = model_source.split_target(words)
    if not names:
        raise click.UsageError("Missing argument 'IMAGE...'.")
    if submission.is_table(names):
        if show or as_json:
            raise click.UsageError("--show and --json do not apply to the rows of a CSV file")
        if min_probability:
            raise click.UsageError("--min-probability does not apply to the rows of a CSV file")
        _submit(target, Path(names[0]), checkpoint, engine, out, verbose=verbose)
        return
    if out is not None:
        prediction.check_output(out)
    found = prediction.predict(
        target,
        names,
        checkpoint=checkpoint,
        engine=engine,
        min_probability=min_probability,
        answer_all=answer_all,
        notify=warn,
        quiet=quiet,
        verbose=verbose,
    )
    if out is not None:
        prediction.save(found, out)
        click.echo(out)
    else:
        print_predictions(found, as_json=as_json, as_csv=as_csv, show=show)
    found.raise_if_broken()


def _submit(
    target: Path | None,
    table: Path,
    checkpoint: str,
    engine: Literal["numpy", "keras"] | None,
    out: Path | None,
    *,
    verbose: bool,
) -> None:
    from dnn_cli import files
    from dnn_cli.evaluation import submission

    if out is not None:
        submission.check_output(out)
    text = submission.predict(target, table, checkpoint=checkpoint, engine=engine, notify=warn, verbose=verbose)
    if out is None:
        sys.stdout.write(text)
        return
    files.write_output(out, text)
    click.echo(out)


def print_predictions(found: "Predictions", *, as_json: bool, as_csv: bool, show: bool) -> None:
    """Print the prediction for each image; with `show`, draw the network's input above it."""
    if as_json or as_csv:
        sys.stdout.write(found.to_json() if as_json else found.to_csv())
        return
    predictions, is_calibrated = found.guesses, found.subject.calibration is not None
    if not show:
        if predictions:
            print_lines(_table(predictions, is_calibrated=is_calibrated))
        return
    for number, one in enumerate(predictions):
        print_lines(*[""] * bool(number), *_drawing(one.image), colours="auto")
        print_lines(_table([one], is_calibrated=is_calibrated))


def _table(predictions: "Sequence[Prediction]", *, is_calibrated: bool) -> "Table":
    probability = "calibrated probability" if is_calibrated else "probability"
    has_reasons = any(one.reason for one in predictions)
    rows = table("file", "predicted", probability, "runner-up", "probability", *["reason"] * has_reasons)
    for one in predictions:
        first, second = (f"{one.probabilities[which]:.4f}" for which in (one.digit, one.runner_up))
        reason = [f"perhaps {one.name}; {one.reason}" if one.reason else ""] * has_reasons
        rows.add_row(one.file, one.answer, first, one.runner_up_name, second, *reason)
    return rows


def _drawing(image: "Array") -> "list[Text]":
    """Draw a grey image, (height, width) of uint8, as lines of text.

    With colours, one character shows two pixels, one above the other; without, two equal characters show one pixel.
    """
    from rich.text import Text

    if not (sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _can_print(HALF_BLOCK)):
        shades = image.astype(int) * len(SHADES) // 256
        return [Text("".join(SHADES[shade] * 2 for shade in row)) for row in shades]
    rows = [[f"rgb({level},{level},{level})" for level in row] for row in image.tolist()]
    rows += [["default"] * image.shape[1]] * (len(rows) % 2)
    return [
        Text.assemble(*((HALF_BLOCK, f"{above} on {below}") for above, below in zip(*pair, strict=True)))
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
