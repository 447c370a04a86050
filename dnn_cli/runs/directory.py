"""The run directory: the only module that knows its file names.

Every file is written completely or not at all. `state.json` is written after the checkpoint and the history, so that it
always refers to complete files. It vouches for the others by their digests. `config.yaml` is written last of a new
run's files, so that a folder with a config is a complete run.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeVar

from dnn_cli.command import command
from dnn_cli.config import loading
from dnn_cli.config.schema import Config, Monitor
from dnn_cli.errors import RunError, UsageError, reason
from dnn_cli.files import flush, read_text, replacement, temporary_files, text_sha256, write_atomically, write_failure
from dnn_cli.runs import location, lock
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.checkpoints import CheckpointFiles
from dnn_cli.runs.json_record import JsonRecord
from dnn_cli.runs.partial import Partial, Position
from dnn_cli.runs.records import (
    Environment,
    Evaluation,
    Row,
    TrainingMetrics,
    format_history,
    history_until,
    parse_history,
)
from dnn_cli.runs.state import Best, Checkpoint, State, is_higher_better

EPOCHS_LINE = re.compile(r"^training:\n  epochs: ([0-9]{1,6})$", re.MULTILINE)  # in a config.yaml that dnn wrote
MAX_BYTES = 2**28  # A million epochs have a history of 100 MB. A larger file was not written by dnn.

R = TypeVar("R", bound=JsonRecord)


@dataclass(frozen=True)
class Resumable:
    """What a run is resumed from.

    Attributes:
        state: the state after the last epoch; None before the first.
        checkpoint: the file of the network; None if there is none.
        partial: the place within the next epoch at which `checkpoint` was saved; None for its beginning.
    """

    state: State | None = None
    checkpoint: Path | None = None
    partial: Partial | None = None

    @property
    def epoch(self) -> int:
        """Number of epochs that are complete."""
        return self.state.last.epoch if self.state else 0


class RunDirectory:
    """The directory of one training.

    Args:
        path: the directory; `create` and `open` check it, and this constructor does not.

    Attributes:
        path: the directory as given; `str(run)` returns it for messages.
        config_file: the resolved config.
        report_file: the HTML page of `dnn report`.
        plots_folder: the pictures of `dnn report --plots`.
        explanations_folder: the files of `dnn explain`.
        refusal_file: the network that tells what is no digit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.report_file = path / "report.html"
        self.plots_folder = path / "plots"
        self.explanations_folder = path / "explanations"
        self.refusal_file = path / "refusal.keras"
        self._history_file = path / "history.csv"
        self._checkpoints = CheckpointFiles(path / "checkpoints")
        self._lock_file = path / ".lock"

    @classmethod
    def create(cls, path: Path | None, name: str, config: Config, environment: Environment) -> Self:
        """Create a new run.

        Args:
            path: the directory; None for the first free ``runs/<name>-<n>``.
            name: the name of the config.
            config: the config to train.
            environment: everything else that the result depends on.

        Raises:
            UsageError: `path` exists and is not an empty folder, or names no possible folder; nothing in it is changed.
            RunError: the run cannot be written, or another process creates a run at `path`.
        """
        run = cls(location.new(path) if path else location.following(name))
        with run.locked(), run._writing():
            location.check_free(run.path)  # again: another process may have created a run here since the first check
            try:
                run._fill(config, environment)
            except OSError:
                run._remove_unfinished()
                raise
        return run

    def _fill(self, config: Config, environment: Environment) -> None:
        text = config.to_yaml()
        self._checkpoints.folder.mkdir(exist_ok=True)
        self._remove_temporary_files()
        flush(self.path)  # `check_free` recognizes the beginning of a run by the names so far
        self._write("environment.json", replace(environment, config=_config_digest(text)).to_json())
        write_atomically(self.config_file, text)

    def _remove_unfinished(self) -> None:
        """Delete what `create` wrote, as far as that is possible."""
        for path in (self.config_file, self.path / "environment.json", self._lock_file):
            with suppress(OSError):
                path.unlink()
        for folder in (self._checkpoints.folder, self.path):
            with suppress(OSError):
                folder.rmdir()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`; raises `UsageError` if there is none."""
        try:
            is_folder = path.is_dir()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {reason(error)}") from None
        if not is_folder:
            raise UsageError(f"there is no run {path}")
        if not location.is_run(path):
            raise UsageError(f"{path} is not a run: it has no config.yaml")
        return cls(path)

    @classmethod
    def newest(cls) -> Self:
        """Return the run in ``runs/`` that was started or resumed last; raises `UsageError` if there is none."""
        found = cls.all(location.RUNS)
        if not found:
            raise UsageError(f"there is no run in {location.RUNS}/ yet; `{command('train', '-c', 'mnist')}` makes one")
        return max(found, key=lambda run: _modified(run.config_file))

    @classmethod
    def all(cls, folder: Path) -> list[Self]:
        """Return the runs in `folder`; other files and folders in it are ignored."""
        return [cls(path) for path in folder.glob("*") if location.is_run(path)]

    def __str__(self) -> str:
        return str(self.path)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the run for this process in a ``with`` block; raises `RunError` if another process trains it."""
        return lock.locked(self._lock_file, str(self))

    def is_locked(self) -> bool:
        """Return whether a process, this one included, is training the run."""
        return lock.is_locked(self._lock_file)

    def written(self) -> float:
        """Return the time when something in the run was last written, in seconds since 1970."""
        # A file is renamed into its folder when it is complete, which sets the folder's time, too.
        return max(map(_modified, (self.path, *self.path.glob("[!.]*")))) / 1e9

    def files(self) -> dict[str, int]:
        """Return the size in bytes of every file, by its path in the run."""
        paths = sorted(path for path in self.path.rglob("[!.]*") if location.is_file(path))
        return {path.relative_to(self.path).as_posix(): os.path.getsize(path) for path in paths}  # noqa: PTH202

    # Config and environment

    def config(self) -> Config:
        """Return the resolved config.

        Raises:
            RunError: it cannot be read, or is not the one that the run was started with.
            ConfigError: it has problems.
        """
        return loading.parse(self._config_text(self._recorded_config()), str(self.config_file))

    def check_config(self) -> None:
        """Raise `RunError` if the config cannot be read, or is not the one that the run was started with."""
        self._config_text(self._recorded_config())

    def wanted_epochs(self, recorded: str | None) -> int:
        """Return the number of epochs in the config, whose digest is `recorded`; raises like `config`."""
        # Reading and validating a complete config takes 2 ms, half a second for a list of 200 runs. One line is enough
        # here, and `write_config` always writes it in this form.
        text = self._config_text(recorded)
        written = EPOCHS_LINE.search(text)
        return int(written[1]) if written else loading.parse(text, str(self.config_file)).training.epochs

    def write_config(self, config: Config) -> None:
        """Write the resolved config, with every default spelled out.

        Of a config that `state.json` vouches for, only the number of epochs is written: another version of dnn may have
        other defaults to spell out.

        Raises:
            RunError: the config cannot be written, or is not the one that the run was started with.
        """
        text, recorded = config.to_yaml(), self._recorded_config()
        if recorded:
            epochs = f"training:\n  epochs: {config.training.epochs}"
            text = EPOCHS_LINE.sub(epochs, self._config_text(recorded), count=1)
        with self._writing():
            write_atomically(self.config_file, text)

    def _recorded_config(self) -> str | None:
        """Return the digest of the config when the run was started; None if it is not recorded."""
        for read in (self.state, self.environment):
            with suppress(RunError):  # the damage is reported where the record is needed
                if (record := read()) and record.config:
                    return record.config
        return None

    def _config_text(self, recorded: str | None) -> str:
        """Return the content of `config.yaml`; raises `RunError` if its digest is not the recorded one."""
        try:
            text = read_text(self.config_file, MAX_BYTES)
        except OSError as error:
            raise RunError(f"{self.config_file} cannot be read: {reason(error)}") from None
        except UnicodeDecodeError:
            raise RunError(f"{self.config_file} cannot be read: it is not UTF-8 text") from None
        if recorded not in (None, _config_digest(text)):
            raise RunError(
                f"{self.config_file} is not the config that the run was started with; restore it, or train a new run "
                f"with it: `{command('train', '-c', self.config_file)}`"
            )
        return text

    def environment(self) -> Environment:
        """Return the environment in which the run was started; raises `RunError` if it is missing or damaged."""
        return self._read_json(Environment, "environment.json")

    def record_compiled(self, compiled: bool) -> None:
        """Record in the environment whether XLA compiled the training steps; raises `RunError` if that fails."""
        environment = self.environment()
        if environment.compiled != compiled:
            with self._writing():
                self._write("environment.json", replace(environment, compiled=compiled).to_json())

    # Results

    def metrics(self) -> TrainingMetrics | None:
        """Return the summary of the training that ended last, or None before; raises `RunError` if it is damaged."""
        return self._read_json(TrainingMetrics, "metrics.json") if self._has("metrics.json") else None

    def write_metrics(self, metrics: TrainingMetrics) -> None:
        """Write the summary of a training that has ended; raises `RunError` if that fails."""
        with self._writing():
            self._write("metrics.json", metrics.to_json())

    def evaluations(self) -> dict[str, Evaluation]:
        """Return every evaluation by its name; raises `RunError` if one is damaged."""
        names = sorted(path.stem for path in self.path.glob("evaluation/[!.]*.json"))
        return {name: found for name in names if (found := self.evaluation(name))}

    def evaluation(self, name: str) -> Evaluation | None:
        """Return the evaluation of that name, or None if there is none; raises `RunError` if it is damaged."""
        file = f"evaluation/{name}.json"
        return self._read_json(Evaluation, file) if self._has(file) else None

    def write_evaluation(self, name: str, evaluation: Evaluation) -> None:
        """Write an evaluation; raises `OSError` if that fails."""
        (self.path / "evaluation").mkdir(exist_ok=True)
        self._write(f"evaluation/{name}.json", evaluation.to_json())

    def calibration(self) -> Calibration | None:
        """Return the calibration of the best checkpoint, or None without one; raises `RunError` if it is damaged."""
        try:
            found = self._read_json(Calibration, "calibration.json") if self._has("calibration.json") else None
        except RunError as error:
            raise RunError(f"{error}; `{command('train', '--resume', self)}` writes it again") from None
        state = self.state() if found else None
        # A training that went on may have another best checkpoint since.
        return found if found and state and found.checkpoint == state.last.best.sha256 else None

    def write_calibration(self, calibration: Calibration) -> None:
        """Write the calibration of the best checkpoint; raises `RunError` if that fails."""
        with self._writing():
            self._write("calibration.json", calibration.to_json())

    def has_refusal(self) -> bool:
        """Return whether the run has a network that tells what is no digit, damaged or not."""
        return self._has(self.refusal_file.name)

    def write_refusal(self, save: Callable[[Path], None]) -> None:
        """Write the network that tells what is no digit.

        Args:
            save: is called with a path to write the network to.

        Raises:
            RunError: it cannot be written.
        """
        with self._writing(), replacement(self.refusal_file) as path:
            save(path)

    def history(self, epochs: int, state: State | None = None) -> list[Row]:
        """Return the figures of the first `epochs` epochs, oldest first.

        A later row belongs to an epoch whose checkpoint was not completed; that epoch is trained again.

        Args:
            epochs: number of epochs.
            state: the state of the run; None to read it.

        Raises:
            RunError: the history is damaged, or its digest is not the one in `state`.
        """
        path, state = self._history_file, state or self.state()
        text = self._history_text()
        for checkpoint in (state and state.last, state and state.previous):
            if checkpoint and checkpoint.epoch == epochs and not _is_history(text, checkpoint):
                raise RunError(
                    f"{path} is damaged: its checksum is not the one in state.json; restore it, or train a new run: "
                    f"`{command('train', '-c', self.config_file)}`"
                )
        try:
            rows = parse_history(history_until(text, epochs))
        except ValueError as error:
            raise RunError(f"{path} is damaged: {error}") from None
        if [row["epoch"] for row in rows] != list(range(1, epochs + 1)):
            raise RunError(f"{path} is damaged: it does not contain one row for each of the epochs 1 to {epochs}")
        if state and any(state.last.best.monitor not in row for row in rows):
            raise RunError(f"{path} is damaged: state.json names the best epoch by {state.last.best.monitor}")
        return rows

    def _history_text(self) -> str:
        try:
            return read_text(self._history_file, MAX_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self._history_file} cannot be read: {reason(error)}") from None

    def saved_history(self) -> list[Row]:
        """Return the figures of every epoch whose checkpoint is complete, oldest first; raises like `history`."""
        state = self.state()
        return self.history(state.last.epoch, state) if state else []

    def export_folder(self, name: str) -> Path:
        """Return the folder of an export of the run's best network."""
        return self.path / "exports" / name

    def event_folders(self) -> tuple[Path, Path]:
        """Return the folders of TensorBoard's event files: of the training figures, and of the validation figures."""
        return self.path / "tensorboard/train", self.path / "tensorboard/validation"

    # Checkpoints

    def state(self) -> State | None:
        """Return the state after the last completed epoch, or None before the first; raises `RunError` on damage."""
        if self._has("state.json"):
            return self._read_json(State, "state.json")
        if os.path.lexists(self._checkpoints.path("best")):  # it is written after state.json
            raise RunError(f"{self} has no state.json, although it has checkpoints; {self._restart()}")
        return None

    def commit(
        self, save: Callable[[Path], None], history: list[Row], state: State | None, monitor: Monitor | None = None
    ) -> State:
        """Save an epoch, from which the run can be resumed.

        Args:
            save: is called with a path to write the network to.
            history: the figures of every epoch; the last row is the epoch to save.
            state: the result of the last commit; None before the first.
            monitor: the figure that decides which epoch is the best; None for ``val_loss``, or else ``loss``.

        Raises:
            RunError: something cannot be written.
        """
        with self._writing():
            return self._commit(save, history, state, monitor)

    def _commit(
        self, save: Callable[[Path], None], history: list[Row], state: State | None, monitor: Monitor | None
    ) -> State:
        # A run of version 0.1.0 does not record the digest of its config.
        config = (state.config if state else self._recorded_config()) or _config_digest(self._config_text(None))
        digest = self._checkpoints.write(save)
        best, figures = _better(history[-1], digest, state, monitor), format_history(history)
        write_atomically(self._history_file, figures)
        last = Checkpoint(history[-1]["epoch"], digest, best, text_sha256(figures))
        committed = State(last, state.last if state else None, config)
        self._write("state.json", committed.to_json())
        if best.sha256 == digest:
            self._checkpoints.copy(self._checkpoints.path("last"), "best")
        self._remove_partial()
        return committed

    def commit_partial(self, save: Callable[[Path], None], position: Position) -> None:
        """Save a network within an epoch, from which the run can be resumed until the epoch is committed.

        Args:
            save: is called with a path to write the network to.
            position: the place within the epoch.

        Raises:
            RunError: something cannot be written.
        """
        with self._writing():
            digest = self._checkpoints.write_partial(save)
            self._write("partial.json", Partial(**vars(position), sha256=digest).to_json())

    def _remove_partial(self) -> None:
        (self.path / "partial.json").unlink(missing_ok=True)
        self._checkpoints.remove_partial()

    def partial(self, done: int) -> Partial | None:
        """Return the checkpoint within the epoch after `done` epochs, or None; raises `RunError` if it is damaged."""
        found = self._read_json(Partial, "partial.json") if self._has("partial.json") else None
        return found if found and found.epoch == done + 1 else None

    def resumable(self, warn: Callable[[str], None]) -> Resumable:
        """Prepare the run for resuming: find the newest undamaged checkpoint, and give each checkpoint its proper name.

        Args:
            warn: is called with a message if a checkpoint is damaged and the one before it is used, and if the best is
                damaged.

        Raises:
            RunError: checkpoints are recorded, but all of them are damaged, or the run cannot be written.
        """
        state, checkpoint = self._resumable_epoch(warn)
        done = state.last.epoch if state else 0
        try:
            partial = self.partial(done)
            path = partial and self._checkpoints.find(partial.sha256, "partial")
            if partial and path is None:
                raise RunError(f"{self._checkpoints.path('partial')} is unfinished or damaged")
        except RunError as error:
            warn(f"{error}; resuming from the beginning of epoch {done + 1}")
            partial, path = None, None
        return Resumable(state, path or checkpoint, partial)

    def _resumable_epoch(self, warn: Callable[[str], None]) -> tuple[State | None, Path | None]:
        """Return the state after the newest epoch with an undamaged checkpoint, and that checkpoint, named last."""
        found = self._newest()
        with self._writing():
            self._remove_temporary_files()
            if found is None:
                return None, None
            (state, path), last = found, self._checkpoints.path("last")
            if path != last:
                recorded = self.state()
                if recorded and recorded.last != state.last and self._checkpoints.find(recorded.last.sha256):
                    damage = f"{self._history_file} does not hold epoch {recorded.last.epoch}"
                else:
                    damage = f"{last} is unfinished or damaged"
                warn(f"{damage}; resuming from {path.name}, epoch {state.last.epoch}")
            if best := self._checkpoints.find(state.last.best.sha256, "best"):
                self._checkpoints.copy(best, "best")
            else:
                warn(f"{self._checkpoints.problem('best')}; it is replaced if a later epoch is better")
            self._checkpoints.copy(path, "last")
        return state, last

    def safe_epoch(self) -> int:
        """Return the epoch from which the run can be resumed, 0 before the first; raises like `resumable`."""
        found = self._newest()
        return found[0].last.epoch if found else 0

    def _newest(self) -> tuple[State, Path] | None:
        state = self.state()
        if state is None:
            return None
        text, damage = self._history_text(), f"all checkpoints in {self._checkpoints.folder} are damaged"
        for candidate in (state, state.previous and State(state.previous, config=state.config)):
            path = self._checkpoints.find(candidate.last.sha256) if candidate else None
            if candidate and path and _is_history(text, candidate.last):
                return candidate, path
            if path:
                damage = f"{self._history_file} is damaged: its checksum is not the one in state.json"
        raise RunError(f"{self} cannot be resumed: {damage}; {self._restart()}")

    def _restart(self) -> str:
        return f"`{command('train', '-c', self.config_file)}` trains it again, into a new run"

    def checkpoint(self, name: str) -> tuple[Path, int]:
        """Return the file of the ``best`` or ``last`` checkpoint, and its epoch; raises `RunError` if it is damaged."""
        state = self.state()
        if state is None:
            raise RunError(f"{self} has no checkpoint yet; `{command('train', '--resume', self)}` trains it")
        wanted = state.last.best if name == "best" else state.last
        path = self._checkpoints.find(wanted.sha256, name)
        if path is None:
            # A running training may have replaced the file after the state was read.
            newer = self.state() or state
            wanted = newer.last.best if name == "best" else newer.last
            path = self._checkpoints.find(wanted.sha256, name)
        if path is None:
            raise RunError(self._checkpoints.problem(name))
        return path, wanted.epoch

    def check_checkpoints(self, *, thoroughly: bool) -> None:
        """Raise `RunError` if the last or best checkpoint is in none of the files.

        Args:
            thoroughly: compare the checksums of all files; otherwise only of files that are missing or cut off.
        """
        if self.state() is not None:
            for name in ("last", "best"):
                if thoroughly or not self._checkpoints.is_complete(name):
                    self.checkpoint(name)

    # Files

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.path / name)

    def _read_json(self, kind: type[R], name: str) -> R:
        path = self.path / name
        try:
            return kind.from_json(read_text(path, MAX_BYTES))
        except FileNotFoundError:
            raise RunError(f"{self} has no {name}") from None
        except OSError as error:
            raise RunError(f"{path} cannot be read: {reason(error)}") from None
        except ValueError as error:
            raise RunError(f"{path} is damaged: {reason(error)}") from None

    def _write(self, name: str, content: str) -> None:
        write_atomically(self.path / name, content)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn an `OSError` while the run is written into a `RunError`."""
        try:
            yield
        except OSError as error:
            raise RunError(write_failure(self, error)) from error

    def _remove_temporary_files(self) -> None:
        """Delete the unfinished files of a killed process; only the process that holds the lock writes these files."""
        self._checkpoints.remove_temporary_files()
        for name in (
            "config.yaml",
            "environment.json",
            "history.csv",
            "state.json",
            "metrics.json",
            "calibration.json",
            self.refusal_file.name,
        ):
            for unfinished in temporary_files(self.path / name):
                unfinished.unlink(missing_ok=True)


def _modified(path: Path) -> int:
    """Return the time of the last change in nanoseconds since 1970; 0 if the file is gone meanwhile."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0


def _config_digest(text: str) -> str:
    """Return the digest of a config without its number of epochs, which may change when the run is resumed."""
    return text_sha256(EPOCHS_LINE.sub("training:\n  epochs:", text, count=1))


def _is_history(text: str, checkpoint: Checkpoint) -> bool:
    """Return whether the history begins as it was when `checkpoint` was saved; True if that is not recorded."""
    return checkpoint.history in (None, text_sha256(history_until(text, checkpoint.epoch)))


def _default_monitor(row: Row) -> Monitor:
    """Return the name of the figure that is lowest in the best epoch, unless the config names another."""
    return "val_loss" if "val_loss" in row else "loss"


def _better(row: Row, digest: str, state: State | None, monitor: Monitor | None) -> Best:
    """Return the best checkpoint so far: the one of `row`, with this digest, or the one in `state`."""
    monitor = monitor or _default_monitor(row)
    sign = -1 if is_higher_better(monitor) else 1
    if state and sign * state.last.best.value <= sign * row[monitor]:
        return state.last.best
    return Best(row["epoch"], monitor, row[monitor], digest)
