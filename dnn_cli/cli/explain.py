"""The command `dnn explain`: show which pixels and hidden units decided a prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import NOTHING, print_facts, print_json, print_lines, table, warn

if TYPE_CHECKING:
    from rich.table import Table

    from dnn_cli.explanation.explain import Explanation


@click.command
@click.argument("target", type=click.Path(path_type=Path), metavar="[RUN]", required=False)
@click.argument("image", metavar="[IMAGE]", required=False)
@click.option("--index", type=int, metavar="N", help="Explain image N of a split, counted from 0, instead of a file.")
@click.option("--digit", type=int, metavar="N", help="Explain digit N of a picture of several, counted from 1.")
@options.split(help="Split that --index refers to: test, validation or train.  [default: test]")
@click.option(
    "--data",
    metavar="PATH",
    help="Dataset that --index refers to: its name, an .npz file or a folder.  [default: the run's]",
)
@options.checkpoint
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write only FILE.png or FILE.html.  [default: both, in the run's explanations/ directory]",
)
@options.as_json
def explain(
    target: Path | None,
    image: str | None,
    index: int | None,
    digit: int | None,
    split: str,
    data: str | None,
    checkpoint: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show which pixels and hidden units decided a prediction.

    RUN is a run directory or a .keras file, by default the newest run in runs/. IMAGE is an image
    file or - for standard input, and is prepared in the same way as by `dnn predict`.

    Integrated gradients, saliency and occlusion are drawn for the predicted class, for the runner-up and for their
    difference. --json prints every map and every number.

    \b
    Examples:
      dnn explain runs/mnist-1 seven.jpg
      dnn explain --index 8
      dnn explain runs/mnist-1 --index 8 --split test --json
    """
    from dnn_cli.evaluation import model_source

    if target is not None and image is None and index is None:  # The only word may be the image.
        target, names = model_source.split_target([str(target)])
        image = names[0] if names else None
    if (image is None) == (index is None):
        raise click.UsageError("nothing to explain: give RUN and IMAGE, or --index N")
    if index is not None and digit is not None:
        raise click.UsageError("--digit needs an IMAGE")
    if index is None and data is not None:
        raise click.UsageError("--data needs --index")
    from dnn_cli.explanation import explain as explanation
    from dnn_cli.reporting import explanation_page

    explanation_page.check(out, image)
    if target is None and image is not None:
        warn("note: the newest run is used")
    chosen = image if image is not None else explanation.SplitImage(index or 0, split, data)
    found = explanation.explain(target, chosen, digit=digit, checkpoint=checkpoint, notify=warn)
    print_explanation(found, explanation_page.write(found, out), as_json=as_json)


def print_explanation(found: "Explanation", files: Sequence[Path], *, as_json: bool) -> None:
    """Print the prediction, the checks on the maps, the most important hidden units, and the files written."""
    if as_json:
        print_json({**found.to_dict(), "files": list(map(str, files))})
        return
    probability = "probability" if found.source.calibration is None else "calibrated probability"
    rows = {
        "network": str(found.source.file),
        "image": found.title,
        "prediction": f"{found.names[0]}, {probability} {found.probabilities[found.predicted]:.4f}",
        "runner-up": f"{found.names[1]}, {probability} {found.probabilities[found.runner_up]:.4f}",
    }
    if found.note:
        rows["warning"] = found.note
    print_facts(rows)
    print_lines("", _maps(found))
    if found.units:
        print_lines("", _units(found))
    print_lines("", *map(str, files))


def _maps(found: "Explanation") -> "Table":
    maps = table("logit", "black image", "this image", "attributed", "error", "agreement: gradients", "saliency")
    for name, each in zip(found.names, found.attributions, strict=True):
        agreement = (NOTHING if value is None else f"{value:.2f}" for value in each.agreement.values())
        total = float(each.integrated_gradients.sum())
        figures = (f"{value:.2f}" for value in (each.baseline, each.value, total))
        maps.add_row(name, *figures, f"{each.residual:.2%}", *agreement)
    return maps


def _units(found: "Explanation") -> "Table":
    units = table("hidden unit", "activation", "weight", f"contribution to {found.names[0]}")
    for unit in found.units:
        units.add_row(str(unit.index), f"{unit.activation:.3f}", f"{unit.weight:+.3f}", f"{unit.contribution:+.3f}")
    return units
