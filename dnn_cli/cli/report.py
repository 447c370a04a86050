"""`dnn report`: write the HTML page of a run, or one that compares several."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines, warn

if TYPE_CHECKING:
    from dnn_cli.report.write import Result


@click.command
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]...")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.html", help="Where the page is to be.")
@click.option(
    "--plots", type=click.Choice(["svg", "png"]), metavar="TYPE", help="Save the pictures too, as svg or png."
)
@options.as_json
def report(runs: tuple[Path, ...], out: Path | None, plots: Literal["svg", "png"] | None, as_json: bool) -> None:
    """Show what a run learned on one HTML page; compare several.

    The page is the run's report.html, its pictures go into plots/ there; without RUN it is the newest in runs/. Of
    several runs it is comparison.html in this folder: their curves, what differs in their configs, and whether one is
    better than another by more than chance. Nothing is fetched when a page is opened.

    \b
    Examples:
      dnn report
      dnn report runs/mnist-1 --plots svg
      dnn report runs/mnist-1 runs/small-1 --out both.html
    """
    from dnn_cli.report import write

    result = write.report(runs, out=out, kind=plots)
    for warning in result.warnings:
        warn(f"warning: {warning}")
    print_report(result, as_json=as_json)


def print_report(result: "Result", *, as_json: bool) -> None:
    """Print the path of the page and of its pictures, and the page's headlines."""
    if as_json:
        print_json({"report": str(result.file), "plots": list(map(str, result.plots)), **result.figures})
    else:
        print_lines(str(result.file), *map(str, result.plots), *(f"- {line}" for line in result.headlines))
