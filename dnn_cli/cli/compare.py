"""`dnn compare`: show runs beside each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import data_source, data_warnings, figures, setting, standing_to_json
from dnn_cli.cli.tables import fits, folded, print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.runs.comparison import Candidate, Comparison

COLUMN_WIDTH = 30  # characters: two such columns and a heading fit into 80


@click.command
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--sort",
    type=click.Choice(["val_accuracy", "test_accuracy", "seconds", "parameters"]),
    metavar="FIGURE",
    help="val_accuracy, test_accuracy, seconds or parameters; best first.  [default: the first that can be compared]",
)
@options.as_json
def compare(runs: tuple[Path, ...], sort: str | None, as_json: bool) -> None:
    """Compare runs: what differs, and what they reached.

    They are ranked by the accuracy on what was held out, if all held out the same images, or else on the test images,
    if all were evaluated on the same ones. Otherwise they are not ranked, and it is said why.

    \b
    Examples:
      dnn compare runs/mnist-1 runs/small-1
      dnn compare runs/* --sort parameters
      dnn compare runs/* --json
    """
    from dnn_cli.runs import comparison

    found = comparison.compare_runs(runs, sort)
    print_comparison(found, as_json=as_json)
    found.raise_if_damaged()


def print_comparison(found: "Comparison", *, as_json: bool) -> None:
    """Print the settings that differ and the figures of the runs, and remarks on the figures."""
    candidates = found.candidates
    if as_json:
        runs = [_candidate(one, found.settings, place) for place, one in enumerate(candidates)]
        return print_json({"ranked_by": found.ranked_by, "remarks": found.remarks, "runs": runs})
    columns = {
        "run": [str(one.run) for one in candidates],
        "data": [data_source(one) for one in candidates],
        **{key: list(map(setting, values)) for key, values in found.settings.items()},
        **figures(candidates),
    }
    lines = [*found.remarks, *data_warnings(candidates)]
    print_lines(*_side_by_side(columns), *[""] * bool(lines), *lines)
    return None


def _candidate(one: "Candidate", settings: dict[str, list[Any]], place: int) -> dict[str, Any]:
    from dnn_cli.config import difference

    chosen = {key: values[place] for key, values in settings.items() if values[place] is not difference.ABSENT}
    return {"run": str(one.run), "settings": chosen, **standing_to_json(one)}


def _side_by_side(columns: dict[str, list[str]]) -> list[Any]:
    """Return a table with a row for each run; if the terminal is too narrow, tables with a column for each run."""
    rows = list(zip(*columns.values(), strict=True))
    if fits(whole := folded(list(columns), rows)):
        return [whole]
    for count in range(len(rows), 0, -1):
        tables: list[Any] = []
        for start in range(0, len(rows), count):
            names, *values = zip(list(columns), *rows[start : start + count], strict=True)
            tables += [*[""] * bool(tables), folded(names, values, width=COLUMN_WIDTH)]
        if count == 1 or all(fits(table) for table in tables if table):
            break
    return tables
