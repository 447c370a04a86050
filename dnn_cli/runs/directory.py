"""The run directory: the only module that knows its file names.

Every file is written completely or not at all. `state.json` is written after the checkpoint and the history, so that it
always refers to complete files.
"""

import csv
import json
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self, TypeVar

from dnn_cli.command import command
from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.errors import RunError, UsageError, reason
from dnn_cli.files import sha256, write_atomically, write_failure
from dnn_cli.runs import lock
from dnn_cli.runs.checkpoints import CheckpointFiles
from dnn_cli.runs.json_record import JsonRecord
from dnn_cli.runs.records import (
    REQUIRED_FIGURES,
    Environment,
    Evaluation,
    Row,
    TrainingMetrics,
    format_history,
    parse_history,
)
from dnn_cli.runs.state import Best, Checkpoint, State, is_higher_better

RUNS = Path("runs")
EPOCHS_LINE = re.compile(r"^training:\n  epochs: ([0-9]{1,6})$", re.MULTILINE)  # in a config.yaml that dnn wrote

R = TypeVar("R", bound=JsonRecord)


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
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.report_file = path / "report.html"
        self.plots_folder = path / "plots"
        self.explanations_folder = path / "explanations"
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
            UsageError: `path` exists and is not an empty folder; nothing in it is changed.
        """
        run = cls(_new_folder(path) if path else _next_folder(name))
        run._checkpoints.folder.mkdir()
        run.write_config(config)
        run._write_json("environment.json", environment)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the run at `path`; raises `UsageError` if there is none."""
        if not path.is_dir():
            raise UsageError(f"there is no run {path}")
        if not is_run(path):
            raise UsageError(f"{path} is not a run: it has no config.yaml")
        return cls(path)

    @classmethod
    def newest(cls) -> Self:
        """Return the run in ``runs/`` that was started or resumed last; raises `UsageError` if there is none."""
        found = cls.all(RUNS)
        if not found:
            raise UsageError(f"there is no run in {RUNS}/ yet; `{command('train', '-c', 'mnist')}` makes one")
        return max(found, key=lambda run: run.config_file.stat().st_mtime_ns)

    @classmethod
    def all(cls, folder: Path) -> list[Self]:
        """Return the runs in `folder`; other files and folders in it are ignored."""
        return [cls(path) for path in folder.glob("*") if is_run(path)]

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
        return max(path.stat().st_mtime for path in (self.path, *self.path.glob("[!.]*")))

    def files(self) -> dict[str, int]:
        """Return the size in bytes of every file, by its path in the run."""
        paths = sorted(path for path in self.path.rglob("[!.]*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in paths}

    # Config and environment

    def config(self) -> Config:
        """Return the resolved config; raises `ConfigError` if it is damaged."""
        return loading.load(str(self.config_file))

    def wanted_epochs(self) -> int:
        """Return the number of epochs in the config; raises `DnnError` if it cannot be read."""
        # Reading and validating a complete config takes 2 ms, half a second for a list of 200 runs. One line is enough
        # here, and `write_config` always writes it in this form.
        try:
            written = EPOCHS_LINE.search(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            written = None
        return int(written[1]) if written else self.config().training.epochs

    def write_config(self, config: Config) -> None:
        """Write the resolved config, with every default spelled out."""
        write_atomically(self.config_file, config.to_yaml())

    def environment(self) -> Environment:
        """Return the environment in which the run was started; raises `RunError` if it is missing or damaged."""
        return self._read_json(Environment, "environment.json")

    # Results

    def metrics(self) -> TrainingMetrics | None:
        """Return the summary of the training that ended last, or None before; raises `RunError` if it is damaged."""
        return self._read_json(TrainingMetrics, "metrics.json") if self._has("metrics.json") else None

    def write_metrics(self, metrics: TrainingMetrics) -> None:
        """Write the summary of a training that has ended."""
        self._write_json("metrics.json", metrics)

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
        self._write_json(f"evaluation/{name}.json", evaluation)

    def history(self, epochs: int) -> list[Row]:
        """Return the figures of the first `epochs` epochs, oldest first; raises `RunError` if they are damaged.

        A later row belongs to an epoch whose checkpoint was not completed; that epoch is trained again.
        """
        path = self.path / "history.csv"
        try:
            rows = parse_history(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise RunError(f"{path} cannot be read: {error}") from None
        if [row.get("epoch") for row in rows[:epochs]] != list(range(1, epochs + 1)):
            raise RunError(f"{path} is damaged: it does not contain one row for each of the epochs 1 to {epochs}")
        if any(REQUIRED_FIGURES - row.keys() for row in rows[:epochs]):
            raise RunError(f"{path} is damaged: a row lacks one of {', '.join(sorted(REQUIRED_FIGURES))}")
        return rows[:epochs]

    def saved_history(self) -> list[Row]:
        """Return the figures of every epoch whose checkpoint is complete, oldest first; raises like `history`."""
        state = self.state()
        return self.history(state.last.epoch) if state else []

    def event_folders(self) -> tuple[Path, Path]:
        """Return the folders of TensorBoard's event files: of the training figures, and of the validation figures."""
        return self.path / "tensorboard/train", self.path / "tensorboard/validation"

    # Checkpoints

    def state(self) -> State | None:
        """Return the state after the last completed epoch, or None before the first."""
        return self._read_json(State, "state.json") if self._has("state.json") else None

    def commit(
        self, save: Callable[[Path], None], history: list[Row], state: State | None, monitor: str | None = None
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
        try:
            return self._commit(save, history, state, monitor)
        except OSError as error:
            raise RunError(write_failure(self, error)) from error

    def _commit(
        self, save: Callable[[Path], None], history: list[Row], state: State | None, monitor: str | None
    ) -> State:
        new = self._checkpoints.write(save)
        digest = sha256(new)
        best = _better(history[-1], digest, state, monitor)
        self._checkpoints.make_last(new)
        write_atomically(self.path / "history.csv", format_history(history))
        committed = State(Checkpoint(history[-1]["epoch"], digest, best), state.last if state else None)
        self._write_json("state.json", committed)
        if best.sha256 == digest:
            self._checkpoints.copy(self._checkpoints.path("last"), "best")
        return committed

    def resumable(self, warn: Callable[[str], None]) -> tuple[State | None, Path | None]:
        """Prepare the run for resuming: find the newest undamaged checkpoint, and give each checkpoint its proper name.

        Args:
            warn: is called with a message if the last checkpoint is damaged and the one before it is used.

        Returns:
            The state to continue from and the checkpoint's file; None and None before the first epoch.

        Raises:
            RunError: checkpoints are recorded, but all of them are damaged.
        """
        found = self._newest()
        if found is None:
            return None, None
        (state, path), last = found, self._checkpoints.path("last")
        if path != last:
            warn(f"{last} is unfinished or damaged; resuming from {path.name}, epoch {state.last.epoch}")
        if best := self._checkpoints.find(state.last.best.sha256, "best"):
            self._checkpoints.copy(best, "best")
        self._checkpoints.copy(path, "last")
        self._checkpoints.remove_temporary_files()
        return state, last

    def safe_epoch(self) -> int:
        """Return the epoch from which the run can be resumed, 0 before the first; raises like `resumable`."""
        found = self._newest()
        return found[0].last.epoch if found else 0

    def _newest(self) -> tuple[State, Path] | None:
        state = self.state()
        if state is None:
            return None
        for candidate in (state, state.previous and State(state.previous)):
            path = self._checkpoints.find(candidate.last.sha256) if candidate else None
            if candidate and path:
                return candidate, path
        raise RunError(
            f"{self} cannot be resumed: all checkpoints in {self._checkpoints.folder} are damaged; "
            f"`{command('train', '-c', self.config_file)}` trains it again, into a new run"
        )

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
            raise RunError(f"{self._checkpoints.path(name)} is damaged: its checksum is not the one in state.json")
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
        return (self.path / name).is_file()

    def _read_json(self, kind: type[R], name: str) -> R:
        path = self.path / name
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise RunError(f"{path} is damaged: it is not a JSON object")
            return kind.from_dict(values)
        except FileNotFoundError:
            raise RunError(f"{self} has no {name}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} is damaged: {reason(error)}") from None

    def _write_json(self, name: str, record: JsonRecord) -> None:
        write_atomically(self.path / name, json.dumps(record.to_dict(), indent=2) + "\n")


def is_run(path: Path) -> bool:
    """Return whether a run is at `path`, and this user may read it."""
    return os.path.isfile(path / "config.yaml")  # noqa: PTH113 (`Path.is_file` raises if this user may not look)


def check_free(path: Path) -> None:
    """Raise `UsageError` unless a new run can be created at `path`: nothing is there, or an empty folder."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already; resume it with --resume {path}, or choose another --run-dir")


def _new_folder(path: Path) -> Path:
    check_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the run directory {path} cannot be created: {error.strerror}") from None
    return path


def _next_folder(name: str) -> Path:
    number = 1
    while True:
        path = RUNS / f"{name}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise UsageError(f"the run directory {path} cannot be created: {error.strerror}") from None
        else:
            return path


def _better(row: Row, digest: str, state: State | None, monitor: str | None) -> Best:
    """Return the best checkpoint so far: the one of `row`, with this digest, or the one in `state`."""
    monitor = monitor or ("val_loss" if "val_loss" in row else "loss")
    sign = -1 if is_higher_better(monitor) else 1
    if state and sign * state.last.best.value <= sign * row[monitor]:
        return state.last.best
    return Best(row["epoch"], monitor, row[monitor], digest)
