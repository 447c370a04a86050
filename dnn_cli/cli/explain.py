"""`dnn explain`: show which pixels and hidden units decided a prediction."""

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
@click.option("--index", type=int, metavar="N", help="Explain this image of a split, from 0, instead of a file.")
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    metavar="SPLIT",
    default="test",
    help="Of which --index counts: test, validation or train.  [default: test]",
)
@click.option("--data", metavar="PATH", help="Other images for --index: a dataset's name, an .npz file or a folder.")
@options.checkpoint
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write FILE.png or FILE.html alone.  [default: both, in the run's explanations/]",
)
@options.as_json
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
    """Show why an image is taken for what it is.

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
    from dnn_cli.explanation import explain as explanation
    from dnn_cli.report import explanation_page

    chosen: str | tuple[int, str, str | None] = image if image is not None else (index or 0, split, data)
    found = explanation.explain(target, chosen, checkpoint=checkpoint, out=out, say=warn)
    explanation_page.write(found)
    print_explanation(found, as_json=as_json)


def print_explanation(found: "Explanation", *, as_json: bool) -> None:
    """Print the prediction, how well the maps agree with it, the units that decided, and the files."""
    if as_json:
        return print_json(found.to_dict())
    rows = {
        "network": str(found.subject.file),
        "image": found.title,
        "prediction": f"{found.chosen}, probability {found.probabilities[found.chosen]:.4f}",
        "runner-up": f"{found.other}, probability {found.probabilities[found.other]:.4f}",
    }
    if found.note:
        rows["warning"] = found.note
    print_facts(rows)
    print_lines("", _maps(found))
    if found.units:
        print_lines("", _units(found))
    print_lines("", *map(str, found.files))
    return None


def _maps(found: "Explanation") -> "Table":
    maps = table("logit", "black image", "this image", "sum of the map", "missed", "agreement: gradients", "saliency")
    for name, each in zip(found.names, found.attributions, strict=True):
        agreement = (NOTHING if value is None else f"{value:.2f}" for value in each.agreement.values())
        total = float(each.integrated_gradients.sum())
        figures = (f"{value:.2f}" for value in (each.baseline, each.value, total))
        maps.add_row(name, *figures, f"{each.residual:.2%}", *agreement)
    return maps


def _units(found: "Explanation") -> "Table":
    units = table("hidden unit", "activation", "weight", f"speaks for {found.chosen}")
    for unit in found.units:
        units.add_row(str(unit.index), f"{unit.activation:.3f}", f"{unit.weight:+.3f}", f"{unit.contribution:+.3f}")
    return units
