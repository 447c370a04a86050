"""Let every file operation of every command fail in turn: once, and from then on for ever.

Whatever fails, the command prints a message instead of a traceback, exits with the right code, and loses nothing: files
are as before or complete, and a resumed training ends with the bits of one that was never disturbed.
"""

import contextlib
import errno
import io
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn_cli.__main__ import run
from dnn_cli.errors import DnnError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.location import is_run
from tests.conftest import weights
from tests.torture.operations import Intercepted
from tests.torture.outcome import Outcome

CONFIG = """
engine: {engine}
data: {{dataset: digits.npz, validation: 10}}
model: {{layers: [4]}}
training: {{epochs: 2, batch_size: 20, jit_compile: false}}
"""
ENGINES = ("numpy", "keras")

WRITING = frozenset({"create", "mkdir", "rename", "link", "unlink", "rmdir"})
# The operations that fail with each error: for lack of space, of permission, of a working disk, of a writable disk.
ERRORS = {
    errno.ENOSPC: frozenset({"create", "write", "fsync", "mkdir", "rename", "link"}),
    errno.EACCES: WRITING | {"open"},
    errno.EIO: WRITING | {"open", "write", "fsync"},
    errno.EROFS: WRITING,
}


@dataclass(frozen=True)
class Fault:
    """The operations that fail.

    Attributes:
        error: the error number.
        number: the operation that fails, from 0, of those that can fail with this error.
        lasting: whether all later ones fail, too.
    """

    error: int
    number: int
    lasting: bool

    def __str__(self) -> str:
        return f"{errno.errorcode[self.error]} at {self.number}{' and later' * self.lasting}"


class Faults:
    """Counts operations and lets those of a fault fail.

    Attributes:
        seen: number of operations that could fail.
        hit: the kind and the path of the first operation that failed; None if none did.
    """

    def __init__(self, fault: Fault | None, error: int) -> None:
        self.seen = 0
        self.hit: tuple[str, str] | None = None
        self._fault = fault
        self._kinds = ERRORS[error]
        self._lock = threading.Lock()

    def before(self, kind: str, path: str) -> None:
        """Raise the error of the fault if it is the turn of this operation."""
        if kind not in self._kinds:
            return
        with self._lock:
            number, self.seen = self.seen, self.seen + 1
            fault = self._fault
            if fault is None or number < fault.number or (number > fault.number and not fault.lasting):
                return
            self.hit = self.hit or (kind, path)
        if kind in ("write", "fsync"):  # the system does not know the name of an open file
            raise OSError(fault.error, os.strerror(fault.error))
        raise OSError(fault.error, os.strerror(fault.error), path)


@dataclass(frozen=True)
class Scenario:
    """A command and what it may change.

    Attributes:
        name: its name in the report.
        words: its command line.
        trains: the run that it trains; empty if it trains none.
        engine: the engine of that run.
        outputs: the files that it may change.
        errors: the errors of its operations.
    """

    name: str
    words: tuple[str, ...]
    trains: str = ""
    engine: str = ""
    outputs: tuple[str, ...] = ()
    errors: tuple[int, ...] = tuple(ERRORS)


def scenarios() -> list[Scenario]:
    """Return all commands that are tortured."""
    found = []
    for engine in ENGINES:
        # EIO is the error of every operation; with Keras, which takes seconds to start, it stands for the others.
        errors = tuple(ERRORS) if engine == "numpy" else (errno.EIO,)
        start = ("train", "-c", f"{engine}.yaml", "--run-dir", "new/run", "-q")
        more = ("train", "--resume", f"begun-{engine}", "--epochs", "2", "-q")
        found.append(Scenario(f"train, {engine}", start, "new/run", engine, errors=errors))
        found.append(Scenario(f"resume, {engine}", more, f"begun-{engine}", engine, errors=errors))
    run_name = "whole-numpy"
    picture = ("--preview", "out.png", "-c", "keras.yaml", "--set", "training.augmentation.rotation=15")
    return [
        *found,
        Scenario("evaluate", ("evaluate", run_name), outputs=(f"{run_name}/evaluation/test.json",)),
        Scenario("predict", ("predict", run_name, "digit.png", "--out", "out.csv"), outputs=("out.csv",)),
        Scenario("report", ("report", run_name, "--out", "out.html"), outputs=("out.html",)),
        Scenario("explain", ("explain", run_name, "--index", "0", "--out", "out.html"), outputs=("out.html",)),
        Scenario("data", ("data", "digits.npz")),
        Scenario("data --preview", ("data", "digits.npz", *picture), outputs=("out.png",)),
        Scenario("runs", ("runs", ".")),
        Scenario("show", ("show", run_name)),
    ]


class Workshop:
    """A folder with a dataset, configs and runs, which each case starts with.

    Args:
        folder: an empty folder.
        engines: the engines of the runs.

    Attributes:
        template: the folder.
        place: a copy of it, for a case.
    """

    def __init__(self, folder: Path, engines: Sequence[str] = ENGINES) -> None:
        self.place = folder / "place"
        self.template = folder / "template"
        self.template.mkdir()
        with contextlib.chdir(self.template):
            _prepare(engines)
        self.restore()

    def restore(self) -> None:
        """Make the copy as it was."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.template, self.place)

    def case(self, scenario: Scenario, fault: Fault | None, error: int) -> tuple[Faults, list[str]]:
        """Run a command with a fault, and return what was counted and a line for everything that is wrong."""
        self.restore()
        before = _files(self.place)
        faults = Faults(fault, error)
        with contextlib.chdir(self.place):
            code, said, problems = call(scenario.words, Intercepted(self.place, faults.before))
            problems += self._wrong(scenario, faults, code, said)
            if scenario.trains:
                problems += _training_problems(scenario)
            else:
                problems += _changes(before, _files(self.place), scenario.outputs, is_done=not code and not said)
        kind, path = faults.hit or ("nothing", str(self.place))
        about = f"{scenario.name}, {fault}, {kind} {os.path.relpath(path, self.place)}"
        return faults, [f"{about}: {problem}" for problem in problems]

    @staticmethod
    def _wrong(scenario: Scenario, faults: Faults, code: int, said: str) -> Iterator[str]:
        if faults.hit is None and code != 0:
            yield f"exit code {code} without a fault: {said}"
        if code not in (0, 1, 2):
            yield f"exit code {code}"
        if code and "error: " not in said:
            yield f"exit code {code} without a message: {said!r}"


def _prepare(engines: Sequence[str]) -> None:
    """Make what the commands need, in the current folder."""
    from PIL import Image

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (70, 28, 28), np.uint8)
    labels = np.arange(70, dtype=np.uint8) % 3
    np.savez("digits.npz", x_train=images[:50], y_train=labels[:50], x_test=images[50:], y_test=labels[50:])
    canvas = np.full((60, 60), 255, np.uint8)
    canvas[10:50, 25:32] = 0
    Image.fromarray(canvas).save("digit.png")
    for engine in engines:
        Path(f"{engine}.yaml").write_text(CONFIG.format(engine=engine))
        for name, epochs in (("whole", "2"), ("begun", "1")):
            words = ["train", "-c", f"{engine}.yaml", "--run-dir", f"{name}-{engine}", "--epochs", epochs, "-q"]
            with contextlib.redirect_stdout(io.StringIO()):
                assert run(words) == 0
    for name in ("out.csv", "out.html", "out.png"):
        Path(name).write_text("before")


def call(words: Sequence[str], intercepted: Intercepted | None) -> tuple[int, str, list[str]]:
    """Run a command; return its exit code, what it said on stderr, and a line if it raised an exception."""
    said = io.StringIO()
    installed = intercepted.installed() if intercepted else contextlib.nullcontext()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), installed:
        try:
            code = run(list(words))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return 1, f"error: {said.getvalue()}", [f"traceback: {type(error).__name__}: {error}"]
    return code, said.getvalue(), []


def _training_problems(scenario: Scenario) -> Iterator[str]:
    """Yield a line for each thing that is lost after a training failed: it must resume, or start, to the same bits."""
    path = Path(scenario.trains)
    if is_run(path):
        try:
            saved = RunDirectory.open(path).safe_epoch()
        except DnnError as error:
            yield f"loss: {error}"
            return
        if saved < scenario.name.startswith("resume"):
            yield "loss: the first epoch is gone"
        words: tuple[str, ...] = ("train", "--resume", str(path), "--epochs", "2", "-q")
    else:
        words = scenario.words
    code, said, problems = call(words, None)
    yield from problems
    if code:
        yield f"loss: `dnn {' '.join(words)}` afterwards: {said}"
        return
    yield from differences(path, Path(f"whole-{scenario.engine}"))
    left = [str(file) for file in path.rglob(".*") if file.name != ".lock"]
    if left:
        yield f"left behind: {left}"


def differences(path: Path, expected: Path) -> Iterator[str]:
    """Yield a line if a run is not the expected one, bit for bit."""
    for name in ("last", "best"):
        ours, theirs = (weights(each / f"checkpoints/{name}.keras") for each in (path, expected))
        if {key: value.tobytes() for key, value in ours.items()} != {k: v.tobytes() for k, v in theirs.items()}:
            yield f"loss: {name}.keras has other bits"
    rows = [[{**row, "seconds": 0} for row in RunDirectory.open(each).saved_history()] for each in (path, expected)]
    if rows[0] != rows[1]:
        yield "loss: the history differs"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _changes(
    before: dict[str, bytes], after: dict[str, bytes], outputs: Sequence[str], *, is_done: bool
) -> Iterator[str]:
    """Yield a line for each file that a command should not have changed, or wrote in part, or did not write."""
    for name in before.keys() | after.keys():
        if before.get(name) == after.get(name) or name.endswith((".lock", ".new")):
            continue
        if name not in outputs:
            yield f"loss: {name} was changed"
        elif name not in after:
            yield f"loss: {name} was deleted"
        elif not _is_whole(name, after[name]):
            yield f"loss: {name} is not complete"
    if is_done and outputs and all(before.get(name) == after.get(name) for name in outputs):
        yield "exit code 0, but nothing was written"


def _is_whole(name: str, content: bytes) -> bool:
    if name.endswith(".json"):
        try:
            json.loads(content)
        except ValueError:
            return False
        return True
    ends = {".html": b"</html>", ".csv": b"\n", ".png": b"IEND\xaeB`\x82"}
    return content.rstrip(b"\n" if name.endswith(".html") else b"").endswith(ends[Path(name).suffix])


def cases(workshop: Workshop, scenario: Scenario) -> Iterator[Fault]:
    """Yield each fault that a command can meet."""
    for error in scenario.errors:
        count = workshop.case(scenario, None, error)[0].seen
        for number in range(count):
            for lasting in (False, True):
                yield Fault(error, number, lasting)


def sample(faults: Iterable[Fault], count: int | None, seed: int) -> list[Fault]:
    """Return a sample of that many faults, or all of them."""
    everything = list(faults)
    return everything if count is None else random.Random(seed).sample(everything, min(count, len(everything)))


def torture(say: Callable[[str], None], count: int | None = None, seed: int = 0, only: Sequence[str] = ()) -> Outcome:
    """Run every case, or a sample of that many of each command.

    Args:
        say: is called with a line about each command and about each failure.
        only: words of which one must be in the name of a command; empty for all commands.
        count: number of cases of each command; None for all.
        seed: seed of the sample.
    """
    outcome, started = Outcome("file operations that fail"), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        for scenario in scenarios():
            if only and not any(word in scenario.name for word in only):
                continue
            faults = sample(cases(workshop, scenario), count, seed)
            for fault in faults:
                failures = workshop.case(scenario, fault, fault.error)[1]
                outcome.failures += failures
                for failure in failures:
                    say(failure)
            outcome.cases += len(faults)
            say(f"{scenario.name}: {len(faults):,} faults")
    outcome.seconds = time.monotonic() - started
    return outcome
