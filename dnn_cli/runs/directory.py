"""The run directory: the only owner of its file names.

Whatever is written is written whole or not at all, and `state.json` is written last, so that it always names whole
files. A checkpoint is known by the SHA-256 of its content, not by its name: a kill between two renames leaves each
recorded checkpoint in one of the three files, and it is found there.
"""

import csv
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Self

import filelock

from dnn_cli.command import command
from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.errors import RunError, UsageError
from dnn_cli.files import flush, sha256, write_atomically, write_failure
from dnn_cli.runs.records import FIGURES, Row, Score
from dnn_cli.runs.state import Best, Checkpoint, State

RUNS = Path("runs")
PATIENCE = 0.5  # seconds for which a lock is tried: whoever asks whether it is held may hold it for an instant
EPOCHS_LINE = re.compile(r"^training:\n  epochs: ([0-9]{1,6})$", re.MULTILINE)
INTEGERS = {"epoch"}


class RunDirectory:
    """One training's directory, as it is on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.report_file = path / "report.html"
        self.plots_folder = path / "plots"
        self.explanations_folder = path / "explanations"
        self._checkpoints = path / "checkpoints"
        self._lock = path / ".lock"

    @classmethod
    def create(cls, path: Path | None, name: str, config: Config, environment: dict[str, Any]) -> Self:
        """Make a new run at `path`, or at the first free ``runs/<name>-<n>``.

        Raises:
            UsageError: `path` exists and holds something; nothing in it is touched.
        """
        run = cls(_new_folder(path) if path else _next_folder(name))
        run._checkpoints.mkdir()
        run.write_config(config)
        run._write_json("environment.json", environment)
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run at `path`; raises `UsageError` where there is none."""
        if not path.is_dir():
            raise UsageError(f"there is no run {path}")
        if not is_run(path):
            raise UsageError(f"{path} is not a run: it has no config.yaml")
        return cls(path)

    @classmethod
    def newest(cls) -> Self:
        """The run in ``runs/`` that was begun, or gone on with, last."""
        found = cls.all(RUNS)
        if not found:
            raise UsageError(f"there is no run in {RUNS}/ yet; `{command('train', '-c', 'mnist')}` makes one")
        return max(found, key=lambda run: run.config_file.stat().st_mtime_ns)

    @classmethod
    def all(cls, folder: Path) -> list[Self]:
        """The runs in `folder`; what else is there is passed over."""
        return [cls(path) for path in folder.glob("*") if is_run(path)]

    def __str__(self) -> str:
        """The path, as messages name the run."""
        return str(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone; the operating system frees it when the process ends, however it ends."""
        lock = filelock.FileLock(self._lock)
        try:
            lock.acquire(timeout=PATIENCE, poll_interval=0.005)
        except filelock.Timeout:
            raise RunError(f"{self} is being trained by another process") from None
        except OSError as error:
            raise RunError(write_failure(self, error)) from None
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Whether a process, be it this one, is training the run."""
        # Only who tries to take a lock is told whether it is held. It is tried for an instant, which makes no training
        # fail that begins just then, because `locked` has more patience.
        try:
            with self._lock.open("rb") as file:
                return not _can_be_locked(file)
        except OSError:  # it was never trained, or is not ours to look into
            return False

    def written(self) -> float:
        """When something in it was last written, in seconds since 1970."""
        # What is written is renamed into its folder, which then bears the time too.
        return max(path.stat().st_mtime for path in (self.path, *self.path.glob("[!.]*")))

    def files(self) -> dict[str, int]:
        """Every file in it by its path in the run, and its size in bytes."""
        paths = sorted(path for path in self.path.rglob("[!.]*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in paths}

    def config(self) -> Config:
        """The resolved config."""
        return loading.load(str(self.config_file))

    def wanted_epochs(self) -> int:
        """How many epochs the config asks for; raises `DnnError` if it cannot be read."""
        # To read and check a whole config takes 2 ms, a list of 200 runs half a second: here one line is enough, which
        # stands where `write_config` puts it.
        try:
            written = EPOCHS_LINE.search(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            written = None
        return int(written[1]) if written else self.config().training.epochs

    def write_config(self, config: Config) -> None:
        """Record the resolved config, every default spelled out."""
        write_atomically(self.config_file, config.to_yaml())

    def environment(self) -> dict[str, Any]:
        """What the run was started with."""
        values = self._read_json("environment.json")
        dataset = values.get("dataset")
        if not (isinstance(dataset, dict) and {"name", "requested", "note", "fingerprint"} <= dataset.keys()):
            raise RunError(f"{self.path / 'environment.json'} is damaged: it does not describe a dataset")
        transfer = values.get("transfer")
        if transfer is not None and not (
            isinstance(transfer, dict)
            and {"file", "sha256", "layers", "reason"} <= transfer.keys()
            and isinstance(transfer["layers"], dict)
        ):
            raise RunError(f"{self.path / 'environment.json'} is damaged: it does not say what the training began with")
        return values

    def metrics(self) -> dict[str, Any] | None:
        """The summary of the training as it was last finished, or None before."""
        return self._read_json("metrics.json") if (self.path / "metrics.json").is_file() else None

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Record the summary of a finished training."""
        self._write_json("metrics.json", metrics)

    def write_evaluation(self, name: str, result: dict[str, Any]) -> Path:
        """Record what an evaluation found; returns the file."""
        (self.path / "evaluation").mkdir(exist_ok=True)
        return self._write_json(f"evaluation/{name}.json", result)

    def evaluations(self) -> dict[str, dict[str, Any]]:
        """All that was found by each evaluation, by its name; raises `RunError` if one is damaged."""
        names = sorted(path.stem for path in self.path.glob("evaluation/[!.]*.json"))
        return {name: self._read_json(f"evaluation/{name}.json") for name in names if self.score(name)}

    def score(self, name: str) -> Score | None:
        """What the evaluation of that name found, or None if there was none; raises `RunError` if it is damaged."""
        file = f"evaluation/{name}.json"
        if not (self.path / file).is_file():
            return None
        values = self._read_json(file)
        try:
            return Score.from_dict(values)
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{self.path / file} is damaged: it does not hold what an evaluation finds") from None

    def history(self, epochs: int) -> list[Row]:
        """The figures of the first `epochs` epochs, a row each, oldest first.

        Rows after them belong to an epoch whose checkpoint never became whole; it will be trained again.
        """
        path = self.path / "history.csv"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [
                    {key: int(value) if key in INTEGERS else float(value) for key, value in row.items()}
                    for row in csv.DictReader(file)
                ]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise RunError(f"{path} cannot be read: {error}") from None
        if [row.get("epoch") for row in rows[:epochs]] != list(range(1, epochs + 1)):
            raise RunError(f"{path} is damaged: it does not hold epochs 1 to {epochs}, a row each")
        if any(FIGURES - row.keys() for row in rows[:epochs]):
            raise RunError(f"{path} is damaged: a row lacks one of {', '.join(sorted(FIGURES))}")
        return rows[:epochs]

    def state(self) -> State | None:
        """What the last completed epoch left, or None before the first."""
        if not (self.path / "state.json").is_file():
            return None
        values = self._read_json("state.json")
        try:
            previous = values["previous"]
            return State(Checkpoint.from_dict(values["last"]), previous and Checkpoint.from_dict(previous))
        except (KeyError, TypeError, ValueError):
            raise RunError(f"{self.path / 'state.json'} is damaged") from None

    def resumable(self, warn: Callable[[str], None]) -> tuple[State | None, Path | None]:
        """The newest state whose checkpoint is whole, and the file that holds it; the names are put in order first.

        Raises:
            RunError: checkpoints are recorded, but none of them is whole.
        """
        found = self._newest()
        if found is None:
            return None, None
        (state, path), last = found, self._checkpoints / "last.keras"
        if path != last:
            warn(f"{last} is unfinished or damaged; going on from {path.name}, epoch {state.last.epoch}")
        self._put_in_order(state, path)
        return state, last

    def safe_epoch(self) -> int:
        """The epoch that a resume would go on from, 0 before the first; raises `RunError` as `resumable` does."""
        found = self._newest()
        return found[0].last.epoch if found else 0

    def _newest(self) -> tuple[State, Path] | None:
        state = self.state()
        if state is None:
            return None
        for candidate in (state, state.previous and State(state.previous)):
            path = self._holding(candidate.last.sha256) if candidate else None
            if candidate and path:
                return candidate, path
        raise RunError(f"{self} cannot be resumed: no checkpoint in {self._checkpoints} is whole")

    def check_checkpoints(self, *, thoroughly: bool) -> None:
        """Raise `RunError` if a recorded checkpoint, last or best, is in no file.

        Args:
            thoroughly: compare all checksums; otherwise only those of files that are gone or cut off.
        """
        if self.state() is not None:
            for name in ("last", "best"):
                if thoroughly or not zipfile.is_zipfile(self._checkpoints / f"{name}.keras"):
                    self.checkpoint(name)

    def checkpoint(self, name: str) -> tuple[Path, int]:
        """The file that holds the ``best`` or ``last`` checkpoint, and its epoch; raises `RunError` if damaged."""
        state = self.state()
        if state is None:
            raise RunError(f"{self} has no checkpoint yet; `{command('train', '--resume', self)}` goes on with it")
        wanted = state.last.best if name == "best" else state.last
        path = self._holding(wanted.sha256, name)
        if path is None:
            # A training under way may have moved on between the two reads.
            newer = self.state() or state
            wanted = newer.last.best if name == "best" else newer.last
            path = self._holding(wanted.sha256, name)
        if path is None:
            raise RunError(f"{self._checkpoints / name}.keras is damaged: its checksum is not the one in state.json")
        return path, wanted.epoch

    def event_folders(self) -> tuple[Path, Path]:
        """Where TensorBoard looks for what happened: for the training images, and for what was held out."""
        return self.path / "tensorboard/train", self.path / "tensorboard/validation"

    def commit(self, save: Callable[[Path], None], history: list[Row], state: State | None) -> State:
        """Make the epoch of the last row in `history` the one that a resume goes on from.

        Args:
            save: writes the model to the path it is given.
            history: every epoch's figures.
            state: what the last commit returned.
        """
        try:
            return self._commit(save, history, state)
        except OSError as error:
            raise RunError(write_failure(self, error)) from error

    def _commit(self, save: Callable[[Path], None], history: list[Row], state: State | None) -> State:
        row = history[-1]
        new, last = self._checkpoints / ".new.keras", self._checkpoints / "last.keras"
        save(new)
        flush(new)
        digest = sha256(new)
        best = _better(row, digest, state)
        if last.exists():
            _replace(last, self._checkpoints / "previous.keras", os.link)
        new.replace(last)
        flush(self._checkpoints)
        write_atomically(self.path / "history.csv", _to_csv(history))
        committed = State(Checkpoint(row["epoch"], digest, best), state.last if state else None)
        self._write_json("state.json", asdict(committed))
        if best.sha256 == digest:
            _replace(last, self._checkpoints / "best.keras", shutil.copyfile)
        return committed

    def _put_in_order(self, state: State, path: Path) -> None:
        """Give the checkpoints their names again, after a kill between two renames or the loss of one."""
        best = self._holding(state.last.best.sha256, "best")
        if best is not None and best.name != "best.keras":
            _replace(best, self._checkpoints / "best.keras", shutil.copyfile)
        if path.name != "last.keras":
            _replace(path, self._checkpoints / "last.keras", shutil.copyfile)
        for unfinished in self._checkpoints.glob(".*"):
            unfinished.unlink()

    def _holding(self, digest: str, name: str = "last") -> Path | None:
        """The file whose content has this digest; `name` is where it should be, and where it is looked for first."""
        for candidate in dict.fromkeys((name, "last", "previous", "best")):
            path = self._checkpoints / f"{candidate}.keras"
            try:
                if sha256(path) == digest:
                    return path
            except FileNotFoundError:
                continue
        return None

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{self} has no {name}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path} is damaged: {error}") from None
        if not isinstance(values, dict):
            raise RunError(f"{path} is damaged: it holds no JSON object")
        return values

    def _write_json(self, name: str, values: dict[str, Any]) -> Path:
        path = self.path / name
        write_atomically(path, json.dumps(values, indent=2) + "\n")
        return path


def is_run(path: Path) -> bool:
    """Whether a run is at `path`, and may be read."""
    return os.path.isfile(path / "config.yaml")  # noqa: PTH113 (a `Path` would raise where one may not look)


def check_free(path: Path) -> None:
    """Raise `UsageError` unless a new run can be made at `path`: nothing is there, or an empty folder."""
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists already; go on with it by --resume {path}, or choose another --run-dir")


def _can_be_locked(file: BinaryIO) -> bool:
    """Whether nobody holds a lock on an open file; those who ask at the same time do not see each other."""
    if os.name == "nt":  # which has no locks that can be shared
        lock = filelock.FileLock(file.name)
        with suppress(filelock.Timeout), lock.acquire(timeout=0):
            return True
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _new_folder(path: Path) -> Path:
    check_free(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made a run directory: {error.strerror}") from None
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
            raise UsageError(f"{path} cannot be made a run directory: {error.strerror}") from None
        else:
            return path


def _better(row: Row, digest: str, state: State | None) -> Best:
    monitor = "val_loss" if "val_loss" in row else "loss"
    if state and state.last.best.value <= row[monitor]:
        return state.last.best
    return Best(row["epoch"], monitor, row[monitor], digest)


def _to_csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _replace(source: Path, target: Path, copy: Callable[[Path, Path], Any]) -> None:
    """Make `target` hold what `source` holds, by way of a name beside it."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        copy(source, temporary)
    except OSError:
        if copy is not os.link:
            raise
        shutil.copyfile(source, temporary)  # a file system without hard links
    flush(temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # renaming one link of a file to another leaves both
    flush(target.parent)
