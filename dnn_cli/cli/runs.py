"""`dnn runs`: list the runs of a folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import age, data_source, data_warnings, entry_to_json, epoch, figures
from dnn_cli.cli.tables import NOTHING, fits, folded, print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.runs.status import Entry, Standing

FIGURES = ("loss", "accuracy", "val loss", "val accuracy", "time")
DROPPED_IF_NARROW = ("time", "loss", "val loss", "accuracy", "data")  # in this order, until a run is one line


@click.command
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@options.as_json
def runs(folder: Path | None, as_json: bool) -> None:
    """List the runs: running, done, interrupted or damaged.

    DIR is runs/ unless it is given; the run that was written last comes first.
    A run is running while a process trains it; done with all of its epochs, or with as
    many as early stopping allowed; damaged if its files cannot be read; otherwise interrupted. For what is interrupted
    or damaged the command that goes on is told. Checksums of checkpoints are left to `dnn show`. Damaged runs do not
    change the exit code.

    \b
    Examples:
      dnn runs
      dnn runs elsewhere --json
    """
    from dnn_cli.runs import status

    print_runs(status.list_runs(folder), folder, as_json=as_json)


def print_runs(entries: "list[Entry]", folder: Path | None, *, as_json: bool) -> None:
    """Print a line for each run, and below them the commands that resume what is not done."""
    if as_json:
        return print_json([entry_to_json(entry) for entry in entries])
    if not entries:
        return print_lines(_nothing_here(folder))
    columns = _columns(entries)
    for title in DROPPED_IF_NARROW:
        if not fits(folded(list(columns), zip(*columns.values(), strict=True))):
            columns.pop(title, None)
    known = [entry.standing for entry in entries if entry.standing]
    lines = [line for entry in entries if entry.state != "done" for line in _outlook(entry)] + data_warnings(known)
    print_lines(folded(list(columns), zip(*columns.values(), strict=True)), *[""] * bool(lines), *lines)
    return None


def _nothing_here(folder: Path | None) -> str:
    from dnn_cli.runs.directory import RUNS

    where = f" --run-dir {folder / 'mnist-1'}" if folder else ""
    return f"there is no run in {folder or RUNS}/ yet; `dnn train -c mnist{where}` makes one"


def _columns(entries: "list[Entry]") -> dict[str, list[str]]:
    """Return the columns that are not empty: a heading and a cell for each entry."""
    known = [entry.standing for entry in entries if entry.standing]
    found = figures(known)
    columns: dict[str, list[str]] = {
        "run": [str(entry.run) for entry in entries],
        "state": [entry.state for entry in entries],
        "epoch": _scattered(map(epoch, known), entries),
        **{title: _scattered(found[title], entries) for title in FIGURES if title in found},
        "test accuracy": _scattered(map(_test_accuracy, known), entries),
        "data": _scattered(map(data_source, known), entries),
        "age": [age(entry.written) for entry in entries],
    }
    return {title: values for title, values in columns.items() if set(values) != {NOTHING}}


def _scattered(values: Iterable[str], entries: "Iterable[Entry]") -> list[str]:
    """Return a cell for each entry: the next of `values` for one whose figures are known."""
    remaining = iter(values)
    return [next(remaining) if entry.standing else NOTHING for entry in entries]


def _test_accuracy(one: "Standing") -> str:
    if one.test is None:
        return NOTHING
    of = "another file" if one.test.epoch is None else f"epoch {one.test.epoch}"
    return f"{one.test.accuracy:.4f}" + f" of {of}" * one.is_outdated


def _outlook(entry: "Entry") -> list[str]:
    """Return what is wrong with a run, and the commands that resume it."""
    what = entry.problem or f"{entry.run} was interrupted"
    ways = [f"; go on with: {command}" for command in entry.commands]
    return [what + "".join(ways)] if entry.problem or ways else []
