"""The command `dnn reproduce`: train a run again and compare."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnn_cli.cli import options
from dnn_cli.cli.tables import print_json, print_lines

if TYPE_CHECKING:
    from dnn_cli.verification.reproduce import Reproduction


@click.command
@click.argument("path", metavar="[RUN]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--run-dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the new run in DIR.  [default: a temporary folder, which is deleted]",
)
@options.as_json
@options.quiet
@options.verbose
def reproduce(path: Path | None, folder: Path | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Train a run again, and say whether every bit is the same.

    RUN is a run directory, by default the newest in runs/. It is trained from its recorded config, with its number of
    threads, on its dataset. Histories, weights and the optimizer's state are compared. Exit with code 3 if a bit
    differs; then it is printed what differs in versions, processor, threads or data, and whether the accuracies lie
    further apart than chance lets them.

    \b
    Examples:
      dnn reproduce runs/mnist-1
      dnn reproduce runs/mnist-1 --run-dir runs/again --json
    """
    from dnn_cli import progress
    from dnn_cli.errors import GateError
    from dnn_cli.runs.directory import RunDirectory
    from dnn_cli.verification import reproduce as reproduction

    run = RunDirectory.open(path) if path else RunDirectory.newest()
    with tempfile.TemporaryDirectory(prefix="dnn-") as temporary:
        where = folder or Path(temporary, run.path.name)
        found = reproduction.reproduce(run, where, progress.create(quiet=quiet), verbose=verbose)
    if as_json:
        print_json(found.to_dict())
    else:
        print_reproduction(found, is_kept=folder is not None)
    if not found.found.is_equal:
        raise GateError(f"{run} was not reproduced bit for bit")


def print_reproduction(found: "Reproduction", *, is_kept: bool) -> None:
    """Print what differs, or that nothing does."""
    from dnn_cli.cli.diff import print_difference

    print_difference(found.found, (found.run, found.again if is_kept else "again"))
    if found.found.is_equal:
        print_lines(f"{found.run} was reproduced bit for bit, {found.epochs} epochs in {found.seconds:.1f} s")
        return
    name, size = found.yardstick.figure.replace("_", " "), found.yardstick.describe()
    verdict = "no more than" if found.is_within_chance else "more than"
    print_lines(f"{name} differs by {found.deviation:.4f}: {verdict} {size}")
    if not found.reasons:
        print_lines("versions, processor, threads and data are the same, so the bits should be too: this is a bug")
