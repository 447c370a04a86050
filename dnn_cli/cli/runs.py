"""The command `dnn runs`: list the runs in a directory."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import age, data_source, data_warnings, entry_to_json, epoch, figures
from dnn_cli.cli.tables import NOTHING, fits, folded, print_json, print_lines
from dnn_cli.command import command

if TYPE_CHECKING:
    from dnn_cli.runs.status import Entry, Standing

FIGURES = ("loss", "accuracy", "val loss", "val accuracy", "time")
DROPPED_IF_NARROW = ("time", "loss", "val loss", "accuracy", "data")  # in this order, until each run fits on a line


@click.command
@click.argument("folder", type=click.Path(path_type=Path), metavar="[DIR]", required=False)
@options.as_json
def runs(folder: Path | None, as_json: bool) -> None:
    """List the runs with their state, metrics and age.

    DIR is the directory to look in, by default runs/. The run that changed last comes first.

    \b
    States:
      running      a process is training it
      done         it has all of its epochs, or early stopping ended it
      interrupted  it has fewer; the command that resumes it is printed
      damaged      a file cannot be read; a command that helps is printed

    The exit code is 0 even if runs are damaged. `dnn show` also verifies the checksums of the checkpoints.

    \b
    Examples:
      dnn runs
      dnn runs elsewhere --json
    """
    from dnn_cli.runs import status

    print_runs(status.list_runs(folder), folder, as_json=as_json)


def print_runs(entries: "list[Entry]", folder: Path | None, *, as_json: bool) -> None:
    """Print one line per run, and below them the commands that resume unfinished runs."""
    if as_json:
        print_json([entry_to_json(entry) for entry in entries])
        return
    if not entries:
        print_lines(_no_runs(folder))
        return
    columns = _columns(entries)
    for title in DROPPED_IF_NARROW:
        if not fits(folded(list(columns), zip(*columns.values(), strict=True))):
            columns.pop(title, None)
    known = [entry.standing for entry in entries if entry.standing]
    lines = [line for entry in entries if entry.state != "done" for line in _outlook(entry)] + data_warnings(known)
    print_lines(folded(list(columns), zip(*columns.values(), strict=True)), *[""] * bool(lines), *lines)


def _no_runs(folder: Path | None) -> str:
    from dnn_cli.runs.directory import RUNS

    training = command("train", "-c", "mnist", *(("--run-dir", folder / "mnist-1") if folder else ()))
    return f"there is no run in {folder or RUNS}/ yet; `{training}` makes one"


def _columns(entries: "list[Entry]") -> dict[str, list[str]]:
    """Return the table columns that are not empty: a heading and one cell per entry."""
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
    """Return one cell per entry: `NOTHING` where the figures are unreadable, the next of `values` elsewhere."""
    remaining = iter(values)
    return [next(remaining) if entry.standing else NOTHING for entry in entries]


def _test_accuracy(one: "Standing") -> str:
    if one.test is None:
        return NOTHING
    of = "another file" if one.test.epoch is None else f"epoch {one.test.epoch}"
    return f"{one.test.accuracy:.4f}" + f" of {of}" * one.is_outdated


def _outlook(entry: "Entry") -> list[str]:
    """Return a line with the problem of a run and the commands that resume it; no line if there is neither."""
    what = entry.problem or f"{entry.run} was interrupted"
    ways = [f"; next: {command}" for command in entry.commands]
    return [what + "".join(ways)] if entry.problem or ways else []
