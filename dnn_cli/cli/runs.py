"""The command `dnn runs`: list the runs in a directory."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.run_summary import age, data_source, data_warnings, epoch, figures, status_to_json
from dnn_cli.cli.tables import NOTHING, fits, folded, print_json, print_lines
from dnn_cli.command import command

if TYPE_CHECKING:
    from dnn_cli.runs.status import RunStatus

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


def print_runs(statuses: "list[RunStatus]", folder: Path | None, *, as_json: bool) -> None:
    """Print one line per run, and below them the commands that resume unfinished runs."""
    if as_json:
        print_json([status_to_json(status) for status in statuses])
        return
    if not statuses:
        print_lines(_no_runs(folder))
        return
    columns = _columns(statuses)
    for title in DROPPED_IF_NARROW:
        if not fits(folded(list(columns), zip(*columns.values(), strict=True))):
            columns.pop(title, None)
    known = [status for status in statuses if status.is_readable]
    lines = [line for status in statuses if status.state != "done" for line in _outlook(status)] + data_warnings(known)
    print_lines(folded(list(columns), zip(*columns.values(), strict=True)), *[""] * bool(lines), *lines)


def _no_runs(folder: Path | None) -> str:
    from dnn_cli.runs.location import RUNS

    training = command("train", "-c", "mnist", *(("--run-dir", folder / "mnist-1") if folder else ()))
    return f"there is no run in {folder or RUNS}/ yet; `{training}` makes one"


def _columns(statuses: "list[RunStatus]") -> dict[str, list[str]]:
    """Return the table columns that are not empty: a heading and one cell per run."""
    known = [status for status in statuses if status.is_readable]
    found = figures(known)
    columns: dict[str, list[str]] = {
        "run": [str(status.run) for status in statuses],
        "state": [status.state for status in statuses],
        "epoch": _scattered(map(epoch, known), statuses),
        **{title: _scattered(found[title], statuses) for title in FIGURES if title in found},
        "test accuracy": _scattered(map(_test_accuracy, known), statuses),
        "data": _scattered(map(data_source, known), statuses),
        "age": [age(status.written) for status in statuses],
    }
    return {title: values for title, values in columns.items() if set(values) != {NOTHING}}


def _scattered(values: Iterable[str], statuses: "Iterable[RunStatus]") -> list[str]:
    """Return one cell per run: `NOTHING` where the figures are unreadable, the next of `values` elsewhere."""
    remaining = iter(values)
    return [next(remaining) if status.is_readable else NOTHING for status in statuses]


def _test_accuracy(one: "RunStatus") -> str:
    if one.test is None:
        return NOTHING
    of = "another file" if one.test.epoch is None else f"epoch {one.test.epoch}"
    return f"{one.test.accuracy:.4f}" + f" of {of}" * one.is_outdated


def _outlook(status: "RunStatus") -> list[str]:
    """Return a line with the problem of a run and the commands that resume it; no line if there is neither."""
    what = status.problem or f"{status.run} was interrupted"
    ways = [f"; next: {command}" for command in status.commands]
    return [what + "".join(ways)] if status.problem or ways else []
