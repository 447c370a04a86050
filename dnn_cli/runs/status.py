"""The status of runs: which are being trained, done, interrupted or damaged, how far each is, and what to do next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from dnn_cli.command import command
from dnn_cli.config.schema import Config
from dnn_cli.errors import ConfigError, DnnError, RunError, UsageError, reason
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.location import RUNS, is_run
from dnn_cli.runs.records import DatasetRecord, Environment, Evaluation, Row, TrainingMetrics

T = TypeVar("T")
State = Literal["running", "done", "interrupted", "damaged"]


@dataclass(frozen=True)
class RunStatus:
    """The status of a run: its state, progress and best figures, and the commands to run next.

    If a file that records the progress is damaged, `is_readable` is False, and only the first four attributes have a
    meaning.

    Attributes:
        run: the run.
        state: ``running`` while a process trains it; ``done`` after all epochs, or as many as early stopping allowed;
            ``damaged`` if a recorded file cannot be read; otherwise ``interrupted``.
        written: the time when something in the run was last written, in seconds since 1970.
        problem: a line about the damage; empty if there is none.
        environment: the environment in which the run was started.
        wanted: number of epochs in the config.
        epochs: number of epochs trained.
        finished: whether these are all epochs, or as many as early stopping allowed.
        best: the figures of the best epoch; None before the first.
        seconds: the time of all epochs.
        parameters: number of parameters in the network; None if not recorded.
        test: the last evaluation on the test images; None if there is none.
    """

    run: RunDirectory
    state: State
    written: float
    problem: str = ""
    environment: Environment | None = None
    wanted: int = 0
    epochs: int = 0
    finished: bool = False
    best: Row | None = None
    seconds: float = 0.0
    parameters: int | None = None
    test: Evaluation | None = None

    @property
    def is_readable(self) -> bool:
        """True if the files that record the progress could be read."""
        return self.environment is not None

    @property
    def data(self) -> DatasetRecord:
        """The data that the run is trained on; raises `RunError` if the run is not readable."""
        if self.environment is None:
            raise RunError(self.problem)
        return self.environment.dataset

    @cached_property
    def config(self) -> Config:
        """The resolved config; raises `ConfigError` if it is damaged."""
        return self.run.config()

    @property
    def held_out(self) -> int:
        """The number of images that are held out for validation."""
        recorded = self.data.validation_images
        return int(self.config.data.validation) if recorded is None else recorded

    @property
    def is_outdated(self) -> bool:
        """True if the test figures belong to another epoch or file than the best checkpoint."""
        return bool(self.test and self.best and self.test.epoch != self.best["epoch"])

    @property
    def outdated(self) -> str:
        """A sentence about outdated test figures, with the command that updates them; empty if they are up to date."""
        if not (self.test and self.best and self.is_outdated):
            return ""
        of = "another file" if self.test.epoch is None else f"epoch {self.test.epoch}"
        return (
            f"{self.run}: the test figures are those of {of}, but the best is epoch {self.best['epoch']}; "
            f"`{command('evaluate', self.run)}` updates them"
        )

    @property
    def commands(self) -> list[str]:
        """The commands to run next, in this order."""
        return list(_commands(self))

    def raise_if_damaged(self) -> None:
        """Raise a `RunError` with the damage, if there is any."""
        if self.state == "damaged":
            raise RunError(self.problem)


@dataclass(frozen=True)
class RunDetails:
    """Everything that is known of one run; what cannot be read is None or empty.

    Attributes:
        status: its state and progress.
        config: its config.
        environment: the environment in which it was started.
        history: the figures of every epoch that was saved.
        metrics: the summary of the training that ended last.
        evaluations: the results of `dnn evaluate` by their names: ``test``.
        files: the size of each file in bytes.
    """

    status: RunStatus
    config: Config | None
    environment: Environment | None
    history: list[Row]
    metrics: TrainingMetrics | None
    evaluations: dict[str, Evaluation]
    files: dict[str, int]


def list_runs(folder: Path | None = None) -> list[RunStatus]:
    """Return the status of every run in `folder`, the one written last first; other files and folders are ignored.

    Checkpoints are only checked for missing and cut-off files; `inspect_run` also compares their checksums.

    Args:
        folder: None for ``runs/``.

    Raises:
        UsageError: there is no such folder, or it is a run itself.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    if folder is not None and is_run(folder):
        raise UsageError(f"{folder} is a run; `{command('show', folder)}` prints it")
    found = [find_status(run) for run in RunDirectory.all(folder or RUNS)]
    found = [status for status in found if is_run(status.run.path)]  # the others were deleted meanwhile
    return sorted(found, key=lambda status: (-status.written, str(status.run)))


def find_status(run: RunDirectory, *, thoroughly: bool = False) -> RunStatus:
    """Return the status of a run, damaged or not.

    Args:
        run: the run.
        thoroughly: read every record and compare the checksums of the checkpoints; otherwise, the checkpoints are only
            checked for being there and not cut off.
    """
    is_running = run.is_locked()
    status, problem = None, ""
    try:
        status = _read(run, is_running=is_running)
        if thoroughly:
            run.config()
            run.evaluations()
        if not is_running:  # a training replaces its checkpoints
            run.check_checkpoints(thoroughly=thoroughly)
    except DnnError as error:
        problem = " ".join(str(error).split())
    except OSError as error:
        problem = f"{run} cannot be read: {reason(error)}"
    if not problem and status is not None:
        return status
    state: State = "running" if is_running else "damaged"
    if status is None:
        return RunStatus(run, state, run.written(), problem)
    return replace(status, state=state, problem=problem)


def inspect_run(run: RunDirectory) -> RunDetails:
    """Return everything that is known of a run; the checksums of its checkpoints are compared."""
    return RunDetails(
        find_status(run, thoroughly=True),
        _readable(run.config, None),
        _readable(run.environment, None),
        _readable(run.saved_history, []),
        _readable(run.metrics, None),
        _readable(run.evaluations, {}),
        run.files(),
    )


def read_status(run: RunDirectory) -> RunStatus:
    """Return the status of an undamaged run, with its number of parameters wherever that can be computed.

    Raises:
        RunError: its config, or a file that says how far it is, is damaged; the checkpoints are not checked.
    """
    try:
        status, config = _read(run, is_running=run.is_locked()), run.config()
    except ConfigError as error:
        raise RunError(str(error)) from None
    except OSError as error:
        raise RunError(f"{run} cannot be read: {reason(error)}") from None
    return replace(status, parameters=status.parameters or _count_parameters(config, status.data))


def _read(run: RunDirectory, *, is_running: bool) -> RunStatus:
    """Return the status of a run that is readable; raises `RunError` or `ConfigError` if it is not."""
    try:
        environment, state, metrics = run.environment(), run.state(), run.metrics()
        wanted = run.wanted_epochs(state.config if state else environment.config)
        epochs = state.last.epoch if state else 0
        history = run.history(epochs, state) if epochs else []
        finished = bool(metrics and metrics.epochs == epochs and (epochs == wanted or metrics.stopped_early))
        return RunStatus(
            run,
            "running" if is_running else "done" if finished else "interrupted",
            run.written(),
            environment=environment,
            wanted=wanted,
            epochs=epochs,
            finished=finished,
            best=history[state.last.best.epoch - 1] if state else None,
            seconds=sum(row["seconds"] for row in history),
            parameters=metrics.parameters if metrics else None,
            test=run.evaluation("test"),
        )
    except (TypeError, ValueError, LookupError) as error:
        raise RunError(f"{run} is damaged: its files do not fit together ({reason(error)})") from error


def _count_parameters(config: Config, dataset: DatasetRecord) -> int | None:
    """Return the number of parameters of a network that was not trained to the end; None if it cannot be computed."""
    if dataset.image_shape is None:
        return None
    from dnn_cli.engines import network_spec

    return network_spec.network_spec(config, dataset.image_shape, dataset.classes).parameters


def _readable(read: Callable[[], T], otherwise: T) -> T:
    """Return the result of `read`, or `otherwise` if it finds damage, which the status reports."""
    try:
        return read()
    except DnnError:
        return otherwise


def _commands(status: RunStatus) -> Iterator[str]:
    run, state = status.run, status.state
    if state == "interrupted" or (state == "damaged" and _can_be_resumed(run)):
        yield command("train", "--resume", run)
    elif state == "damaged" and _readable(run.config, None):
        yield command("train", "-c", run.config_file)
    elif state == "done":
        if status.test is None or status.is_outdated:
            yield command("evaluate", run)
        if status.epochs == status.wanted:  # early stopping would stop it again
            yield command("train", "--resume", run, "--epochs", 2 * status.epochs)


def _can_be_resumed(run: RunDirectory) -> bool:
    try:
        run.config()
        run.environment()
        if epoch := run.safe_epoch():
            run.history(epoch)
    except DnnError:
        return False
    return True
