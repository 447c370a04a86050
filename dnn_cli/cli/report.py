"""The command `dnn report`: write the HTML page of one run, or a page that compares several."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines, warn

if TYPE_CHECKING:
    from dnn_cli.reporting.write import Result


@click.command
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Page to write.  [default: a file in the run, or comparison.html for several runs]",
)
@click.option(
    "--plots", type=click.Choice(["svg", "png"]), metavar="TYPE", help="Also save each figure as a file: svg or png."
)
@options.as_json
def report(runs: tuple[Path, ...], out: Path | None, plots: Literal["svg", "png"] | None, as_json: bool) -> None:
    """Write an HTML report of one run, or of several runs compared.

    RUN is a run directory, by default the newest in runs/. The page of one run, RUN/report.html, shows its curves, its
    errors on the test images, what they mean and what to change. The page of several runs, comparison.html in the
    current directory, shows their curves, the settings that differ, and whether the differences in accuracy are
    statistically significant.

    A page is one file and opens without a network connection. --plots saves the figures in the run's plots/ directory,
    or for several runs in a directory beside the page.

    \b
    Examples:
      dnn report
      dnn report runs/mnist-1 --plots svg
      dnn report runs/mnist-1 runs/small-1 --out both.html
    """
    from dnn_cli.reporting import write

    result = write.report(runs, out=out, kind=plots)
    for warning in result.warnings:
        warn(f"warning: {warning}")
    print_report(result, as_json=as_json)


def print_report(result: "Result", *, as_json: bool) -> None:
    """Print the paths of the page and of its figures, and the main findings."""
    if as_json:
        print_json({"report": str(result.file), "plots": list(map(str, result.plots)), **result.figures})
    else:
        print_lines(str(result.file), *map(str, result.plots), *(f"- {line}" for line in result.headlines))
