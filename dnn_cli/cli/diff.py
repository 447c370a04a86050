"""The command `dnn diff`: compare two runs to the last bit."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import NOTHING, folded, print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.runs.run_difference import CheckpointDifference, HistoryDifference, RunDifference

SHOWN_ARRAYS = 10  # arrays of a checkpoint that a table lists


@click.command
@click.argument("one", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("other", metavar="RUN", type=click.Path(path_type=Path))
@options.as_json
def diff(one: Path, other: Path, as_json: bool) -> None:
    """Compare two runs bit by bit: settings, history, weights.

    Environments and the state of the optimizers are compared too. The time that an epoch took does not count. Exit
    with code 3 unless the histories and the checkpoints of both are the same.

    \b
    Examples:
      dnn diff runs/mnist-1 runs/mnist-2
      dnn diff runs/mnist-1 runs/mnist-2 --json
    """
    from dnn_cli.errors import GateError
    from dnn_cli.runs import run_difference
    from dnn_cli.runs.directory import RunDirectory

    first, second = RunDirectory.open(one), RunDirectory.open(other)
    found = run_difference.compare(first, second)
    if as_json:
        print_json({"runs": [str(first), str(second)], **found.to_dict()})
    else:
        print_difference(found, (str(first), str(second)))
    if not found.is_equal:
        raise GateError(f"{first} and {second} are not the same")


def print_difference(found: "RunDifference", names: tuple[str, str]) -> None:
    """Print the settings and facts that differ, and how far the figures and weights lie apart."""
    for title, pairs in (("setting", found.settings), ("environment", found.environment)):
        if pairs:
            rows = [(key, *map(_shown, pair)) for key, pair in pairs.items()]
            print_lines(folded((title, *names), rows), "")
    print_lines(f"history: {_history(found.history)}")
    for checkpoint in found.checkpoints:
        print_lines(f"{checkpoint.name} checkpoint: {_checkpoint(checkpoint)}")
        rows = [(f"  {each.name}", f"{each.largest:.3g}") for each in checkpoint.different if each.largest is not None]
        if rows:
            print_lines(folded(("  array", "largest difference"), rows[:SHOWN_ARRAYS]))


def _shown(value: Any) -> str:
    return NOTHING if value is None else str(value)


def _history(found: "HistoryDifference") -> str:
    if found.is_equal:
        return f"the same in all {found.epochs[0]} epochs"
    counts = "" if found.epochs[0] == found.epochs[1] else f"{found.epochs[0]} and {found.epochs[1]} epochs; "
    if found.first is None:
        return f"{counts}the same in those of both"
    figures = ", ".join(f"{name} {value:.3g}" for name, value in found.figures.items() if value)
    return f"{counts}differs from epoch {found.first} on; at most by {figures}"


def _checkpoint(found: "CheckpointDifference") -> str:
    if found.is_equal:
        return f"the same {found.arrays} arrays, bit for bit, after {found.epochs[0]} epochs"
    epochs = "" if found.epochs[0] == found.epochs[1] else f"after {found.epochs[0]} and {found.epochs[1]} epochs; "
    missing = sum(each.largest is None for each in found.different)
    odd = f"{missing} of other shapes or missing; " if missing else ""
    largest = max((each.largest for each in found.different if each.largest is not None), default=0.0)
    count = f"{len(found.different)} of {found.arrays} arrays differ"
    return f"{epochs}{count}; {odd}largest difference {largest:.3g}"
