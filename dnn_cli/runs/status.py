"""What runs there are: which are being trained, done, interrupted or damaged, how far each is, and how to go on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from dnn_cli.command import command
from dnn_cli.config.schema import Config
from dnn_cli.errors import DnnError, RunError, UsageError, reason
from dnn_cli.runs.directory import RUNS, RunDirectory, is_run
from dnn_cli.runs.records import Row, Score

T = TypeVar("T")
State = Literal["running", "done", "interrupted", "damaged"]


@dataclass(frozen=True)
class Standing:
    """How far a run is, and what it reached.

    Attributes:
        run: where it is.
        environment: what it was begun with.
        wanted: the epochs that its config asks for.
        epochs: how many it has trained.
        finished: whether that is all of them, or as many as early stopping allowed.
        best: the figures of the epoch that is kept as the best; None before the first.
        seconds: what the epochs took.
        parameters: how many numbers the network holds; None where that is not recorded.
        test: what its evaluation on the test images found, if there was one.
    """

    run: RunDirectory
    environment: dict[str, Any]
    wanted: int
    epochs: int
    finished: bool
    best: Row | None
    seconds: float
    parameters: int | None
    test: Score | None

    @property
    def data(self) -> dict[str, Any]:
        """What its environment says of the data."""
        return dict(self.environment["dataset"])

    @property
    def is_outdated(self) -> bool:
        """Whether its test figures are not those of its best epoch."""
        return bool(self.test and self.best and self.test.epoch != self.best["epoch"])

    @property
    def outdated(self) -> str:
        """A sentence about that; empty if they are."""
        if not (self.test and self.best and self.is_outdated):
            return ""
        of = "another file" if self.test.epoch is None else f"epoch {self.test.epoch}"
        return (
            f"{self.run}: the test figures are those of {of}, the best is epoch {self.best['epoch']}; "
            f"`{command('evaluate', self.run)}` brings them up to date"
        )


@dataclass(frozen=True)
class Entry:
    """A run as a list shows it.

    Attributes:
        run: where it is.
        state: running while a process trains it; done with all epochs, or as many as early stopping allowed; damaged
            if something that is recorded cannot be read; otherwise interrupted.
        written: when something in it was last written, in seconds since 1970.
        standing: how far it is; None where a damage hides that.
        problem: what is damaged, in a line; empty if nothing is.
    """

    run: RunDirectory
    state: State
    written: float
    standing: Standing | None
    problem: str = ""

    @property
    def commands(self) -> list[str]:
        """The commands that go on with it, the first thing to do first."""
        return list(_commands(self))

    def raise_if_damaged(self) -> None:
        """Raise a `RunError` that says what is damaged, if something is."""
        if self.state == "damaged":
            raise RunError(self.problem)


@dataclass(frozen=True)
class Details:
    """All that is known of one run; what a damage hides is empty.

    Attributes:
        entry: as a list shows it.
        config: what it trains.
        environment: what it was begun with.
        history: a row for every epoch that was saved.
        metrics: the summary of the training as it was last finished.
        evaluations: what `dnn evaluate` found, by the split's name.
        files: the size of each in bytes.
    """

    entry: Entry
    config: Config | None
    environment: dict[str, Any]
    history: list[Row]
    metrics: dict[str, Any] | None
    evaluations: dict[str, dict[str, Any]]
    files: dict[str, int]


def list_runs(folder: Path | None = None) -> list[Entry]:
    """The runs in `folder`, ``runs/`` by default: what was written last comes first, what is no run is passed over.

    Of the checkpoints it is only seen whether they are there and not cut off; `inspect_run` compares their checksums.

    Raises:
        UsageError: there is no such folder, or it is a run itself.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    if folder is not None and is_run(folder):
        raise UsageError(f"{folder} is a run; `{command('show', folder)}` prints it")
    entries = [_look(run) for run in RunDirectory.all(folder or RUNS)]
    return sorted(entries, key=lambda entry: (-entry.written, str(entry.run)))


def inspect_run(run: RunDirectory) -> Details:
    """All that is known of a run, its checkpoints held against their checksums."""
    return Details(
        _look(run, thoroughly=True),
        _readable(run.config, None),
        _readable(run.environment, {}),
        _readable(lambda: _history(run), []),
        _readable(run.metrics, None),
        _readable(run.evaluations, {}),
        run.files(),
    )


def read(run: RunDirectory) -> Standing:
    """How far a run is; raises `RunError` or `ConfigError` if one of the files that say so is damaged."""
    try:
        return _read(run)
    except (TypeError, ValueError, LookupError) as error:
        raise RunError(f"{run} is damaged: its files do not fit together ({reason(error)})") from error


def _read(run: RunDirectory) -> Standing:
    wanted, environment, state, metrics = run.wanted_epochs(), run.environment(), run.state(), run.metrics() or {}
    epochs = state.last.epoch if state else 0
    history = run.history(epochs) if epochs else []
    is_all = epochs == wanted or bool(metrics.get("stopped_early"))
    return Standing(
        run,
        environment,
        wanted,
        epochs,
        finished=metrics.get("epochs") == epochs and is_all,
        best=history[state.last.best.epoch - 1] if state else None,
        seconds=sum(row["seconds"] for row in history),
        parameters=int(metrics["parameters"]) if "parameters" in metrics else None,
        test=run.score("test"),
    )


def _look(run: RunDirectory, *, thoroughly: bool = False) -> Entry:
    is_running = run.is_locked()
    standing, problem = None, ""
    try:
        standing = read(run)
        if thoroughly:
            run.config()
            run.evaluations()
        if not is_running:  # a training replaces its checkpoints
            run.check_checkpoints(thoroughly=thoroughly)
    except DnnError as error:
        problem = " ".join(str(error).split())
    if is_running:
        state: State = "running"
    elif problem or standing is None:
        state = "damaged"
    else:
        state = "done" if standing.finished else "interrupted"
    return Entry(run, state, run.written(), standing, problem)


def _history(run: RunDirectory) -> list[Row]:
    state = run.state()
    return run.history(state.last.epoch) if state else []


def _readable(read: Callable[[], T], otherwise: T) -> T:
    """What `read` gives, or `otherwise` if it is damaged, which the entry tells."""
    try:
        return read()
    except DnnError:
        return otherwise


def _commands(entry: Entry) -> Iterator[str]:
    run, one = entry.run, entry.standing
    if entry.state == "interrupted" or (entry.state == "damaged" and _can_be_resumed(run)):
        yield command("train", "--resume", run)
    elif entry.state == "damaged" and _readable(run.config, None):
        yield command("train", "-c", run.config_file)
    elif entry.state == "done" and one:
        if one.test is None or one.is_outdated:
            yield command("evaluate", run)
        if one.epochs == one.wanted:  # it was not stopped early, which it would be again
            yield command("train", "--resume", run, "--epochs", 2 * one.epochs)


def _can_be_resumed(run: RunDirectory) -> bool:
    try:
        run.config()
        run.environment()
        if epoch := run.safe_epoch():
            run.history(epoch)
    except DnnError:
        return False
    return True
