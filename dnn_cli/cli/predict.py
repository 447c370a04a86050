"""`dnn predict`: classify the digits in image files."""

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

HALF_BLOCK = "▀"  # two pixels: the upper in the text's colour, the lower in the background's
SHADES = " .:-=+*#%@"  # from the background to the strongest ink


@click.command
@click.argument("target", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...")
@options.checkpoint
@click.option(
    "--engine",
    type=click.Choice(["numpy", "keras"]),
    metavar="ENGINE",
    help="numpy or keras.  [default: numpy, where it knows the network]",
)
@click.option("--show", is_flag=True, help="Draw each picture as the network saw it.")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print the result as CSV.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the result in FILE.json or FILE.csv instead of printing it.",
)
@options.quiet
@options.verbose
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
    """Say which digit image files show.

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
    from dnn_cli.evaluation import predict as prediction

    if out is not None:
        prediction.check_output(out)
    found = prediction.predict(
        target, names, checkpoint=checkpoint, engine=engine, say=warn, quiet=quiet, verbose=verbose
    )
    if out is not None:
        prediction.save(found, out)
        click.echo(out)
    else:
        print_predictions(found, as_json=as_json, as_csv=as_csv, show=show)
    found.raise_if_broken()


def print_predictions(found: "Predictions", *, as_json: bool, as_csv: bool, show: bool) -> None:
    """Print the predicted class of each image; with `show`, each below the picture that the network saw."""
    if as_json or as_csv:
        sys.stdout.write(found.to_json() if as_json else found.to_csv())
        return
    guesses = found.guesses
    if not show:
        if guesses:
            print_lines(_guesses(guesses))
        return
    for number, guess in enumerate(guesses):
        print_lines(*[""] * bool(number), *_picture(guess.image), colours="auto")
        print_lines(_guesses([guess]))


def _guesses(guesses: "Sequence[Prediction]") -> "Table":
    predictions = table("file", "digit", "probability", "runner-up", "probability")
    for guess in guesses:
        first, second = (f"{guess.probabilities[which]:.4f}" for which in (guess.digit, guess.runner_up))
        predictions.add_row(guess.file, str(guess.digit), first, str(guess.runner_up), second)
    return predictions


def _picture(image: "Array") -> "list[Text]":
    """Draw a grey image of shape (height, width), uint8.

    On a terminal with colours a half block is two pixels, one above the other; elsewhere each pixel is two characters.
    """
    from rich.text import Text

    if not (sys.stdout.isatty() and not os.environ.get("NO_COLOR") and _can_print(HALF_BLOCK)):
        steps = image.astype(int) * len(SHADES) // 256
        return [Text("".join(SHADES[step] * 2 for step in row)) for row in steps]
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
