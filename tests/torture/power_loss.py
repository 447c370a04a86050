"""Cut the power after every file operation of a training, and resume it from what is on the disk.

The operations of a training are recorded. After each of them, a disk that lost its power is built: what was flushed is
there; of the rest, names and contents survive independently of each other, in part, or not at all, as POSIX allows.
From each of these disks, the run must resume from the last saved epoch or the one under way, to the bits of a training
that was never disturbed.
"""

# ruff: noqa: PTH119, PTH120
# Paths are keys here.

import contextlib
import errno
import hashlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

from dnn_cli.errors import DnnError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.location import is_run
from tests.torture import faults
from tests.torture.operations import Event, Intercepted
from tests.torture.outcome import Outcome

EPOCHS = "6"
START = ("train", "-c", "numpy.yaml", "--run-dir", "new/run", "--epochs", EPOCHS, "-q")
RESUME = ("train", "--resume", "begun-numpy", "--epochs", EPOCHS, "-q")
RANDOM_DISKS = 6  # after each operation, besides the four extreme ones


@dataclass
class Recording:
    """The file operations of a training.

    Attributes:
        run: the path of the run, relative to the folder.
        words: the command line of the training.
        events: the operations.
        created: number of operations after which the run was complete.
        saved: for each epoch, the number of operations after which it was saved.
    """

    run: str
    words: Sequence[str]
    events: list[Event] = field(default_factory=list)
    created: int = 0
    saved: dict[int, int] = field(default_factory=dict)

    def epoch(self, number: int) -> int:
        """Return the last epoch that was saved when `number` operations were done."""
        return max((epoch for epoch, done in self.saved.items() if done <= number), default=0)


Change = tuple[str, int, bytes]  # "write" or "truncate", offset or size, content
Names = list[tuple[str, "int | None"]]  # name → number of the file or folder, None if the name is gone; all or none


class Disk:
    """A disk that remembers what was flushed and what was not.

    Args:
        folder: its initial content, all of it flushed.
    """

    def __init__(self, folder: Path) -> None:
        self._root = str(folder)
        self._numbers: dict[str, int] = {}  # path → number of the file or folder, as programs see it
        self._contents: dict[int, bytes] = {}
        self._changes: dict[int, list[Change]] = {}
        self._entries: dict[int, dict[str, int]] = {}
        self._renames: dict[int, list[Names]] = {}
        self._add_folder(self._root)
        for path in sorted(folder.rglob("*")):
            number = self._add_folder(str(path)) if path.is_dir() else self._add_file(str(path), path.read_bytes())
            self._entries[self._numbers[str(path.parent)]][path.name] = number

    def _add_folder(self, path: str) -> int:
        number = self._numbers[path] = len(self._contents) + len(self._entries)
        self._entries[number], self._renames[number] = {}, []
        return number

    def _add_file(self, path: str, content: bytes) -> int:
        number = self._numbers[path] = len(self._contents) + len(self._entries)
        self._contents[number], self._changes[number] = content, []
        return number

    def apply(self, event: Event) -> None:
        """Do an operation."""
        path, numbers = event.path, self._numbers
        if event.kind == "create":
            self._name({path: self._add_file(path, b"")})
        elif event.kind == "mkdir":
            self._name({path: self._add_folder(path)})
        elif event.kind in ("write", "truncate"):
            self._changes[numbers[path]].append((event.kind, event.offset, event.content))
        elif event.kind == "fsync":
            self._flush(numbers[path])
        elif event.kind == "link":
            self._name({path: numbers[event.source]})
        elif event.kind == "rename" and numbers.get(path) != numbers[event.source]:  # POSIX: else both names stay
            self._name({path: numbers[event.source], event.source: None})
        elif event.kind in ("unlink", "rmdir"):
            self._name({path: None})

    def _name(self, changes: dict[str, int | None]) -> None:
        """Change names, of which those in one folder change together."""
        for path, number in changes.items():
            if number is None:
                del self._numbers[path]
            else:
                self._numbers[path] = number
        for folder in {os.path.dirname(path) for path in changes}:
            names = [(os.path.basename(path), number) for path, number in changes.items()]
            self._renames[self._numbers[folder]].append(names)

    def _flush(self, number: int) -> None:
        if number in self._entries:
            for names in self._renames[number]:
                _rename(self._entries[number], names)
            self._renames[number] = []
        else:
            self._contents[number] = _changed(self._contents[number], self._changes[number])
            self._changes[number] = []

    def without_power(self, survives: Callable[[str], float]) -> dict[str, bytes | None]:
        """Return what is on the disk after a loss of power: path → content, None for a folder.

        Args:
            survives: is called with ``name`` or ``data`` for each change that was not flushed, and returns the part of
                it that survives, from 0 to 1; names change completely or not at all.
        """
        entries = {number: dict(names) for number, names in self._entries.items()}
        for number, pending in self._renames.items():
            for names in pending:
                if survives("name") >= 1:
                    _rename(entries[number], names)
        contents = {}
        for number, changes in self._changes.items():
            kept = [(kind, place, text[: int(len(text) * survives("data"))]) for kind, place, text in changes]
            contents[number] = _changed(self._contents[number], kept)
        return dict(self._walk(self._numbers[self._root], "", entries, contents))

    def _walk(
        self, folder: int, path: str, entries: dict[int, dict[str, int]], contents: dict[int, bytes]
    ) -> Iterator[tuple[str, bytes | None]]:
        for name, number in sorted(entries[folder].items()):
            if number in contents:
                yield f"{path}{name}", contents[number]
            else:
                yield f"{path}{name}", None
                yield from self._walk(number, f"{path}{name}/", entries, contents)


def _rename(entries: dict[str, int], names: Names) -> None:
    for name, number in names:
        if number is None:
            entries.pop(name, None)
        else:
            entries[name] = number


def _changed(content: bytes, changes: Sequence[Change]) -> bytes:
    """Return a content after changes; bytes before a write that did not survive are zero."""
    result = bytearray(content)
    for kind, place, text in changes:
        if kind == "truncate":
            del result[place:]
        elif text:
            result.extend(bytes(max(0, place - len(result))))
            result[place : place + len(text)] = text
    return bytes(result)


def record(place: Path, run: str, words: Sequence[str], *, has_links: bool) -> Recording:
    """Train in the folder `place`, whose file system has hard links or not, and return the file operations."""
    recording = Recording(run, words)
    create, commit = RunDirectory.create.__func__, RunDirectory.commit  # type: ignore[attr-defined]

    def recorded_create(cls: Any, *arguments: Any) -> Any:
        made = create(cls, *arguments)
        recording.created = len(recording.events)
        return made

    def recorded_commit(self: RunDirectory, *arguments: Any) -> Any:
        state = commit(self, *arguments)
        recording.saved[state.last.epoch] = len(recording.events)
        return state

    def before(kind: str, path: str) -> None:
        if kind == "link" and not has_links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    intercepted = Intercepted(place, before, recording.events.append)
    with (
        contextlib.chdir(place),
        mock.patch.object(RunDirectory, "create", classmethod(recorded_create)),
        mock.patch.object(RunDirectory, "commit", recorded_commit),
    ):
        code, said, problems = faults.call(words, intercepted)
    assert (code, problems) == (0, []), (said, problems)
    return recording


def disks(recording: Recording, start: Path, seed: int) -> Iterator[tuple[int, dict[str, bytes | None]]]:
    """Yield different disks without power: the number of operations done, and the content."""
    disk, seen, generator = Disk(start), set[bytes](), random.Random(seed)
    extremes: list[Callable[[str], float]] = [
        lambda kind: 0,
        lambda kind: 1,
        lambda kind: kind == "name",
        lambda kind: kind == "data",
    ]
    choices = extremes + [lambda kind: generator.choice((0, 1, generator.random()))] * RANDOM_DISKS
    for number, event in enumerate(recording.events, start=1):
        disk.apply(event)
        for survives in choices:
            content = disk.without_power(survives)
            digest = hashlib.sha256(str(recording.epoch(number)).encode())
            for name, data in content.items():
                digest.update(f"{name}\0{'' if data is None else len(data)}\0".encode() + (data or b""))
            if digest.digest() not in seen:
                seen.add(digest.digest())
                yield number, content


def problems_after(
    recording: Recording, number: int, content: dict[str, bytes | None], place: Path, expected: Path
) -> Iterator[str]:
    """Build a disk at `place`, resume the training there, and yield a line for each thing that is lost."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, data in content.items():
        if data is None:
            (place / name).mkdir(exist_ok=True)
        else:
            (place / name).write_bytes(data)
    with contextlib.chdir(place):
        run, words = Path(recording.run), recording.words
        if is_run(run):
            saved = recording.epoch(number) or int(recording.words[1] == "--resume")
            try:
                found = RunDirectory.open(run).safe_epoch()
            except DnnError as error:
                yield f"loss: {error}"
                return
            if found not in (saved, saved + 1):
                yield f"loss: epoch {saved} was saved, but epoch {found} is on the disk"
            words = ("train", "--resume", recording.run, "--epochs", EPOCHS, "-q")
        elif number >= recording.created:
            yield "loss: the run is gone"
            return
        code, said, problems = faults.call(words, None)
        yield from problems
        if code:
            yield f"loss: `dnn {' '.join(words)}` afterwards: {said}"
        else:
            yield from faults.differences(run, expected)


def torture(say: Callable[[str], None], sample: int | None = None, seed: int = 0) -> Outcome:
    """Test every disk, or a sample of that many of each training.

    Args:
        say: is called with a line about each training and about each failure.
        sample: number of disks of each training; None for all.
        seed: seed of what survives, and of the sample.
    """
    outcome, started = Outcome("losses of power"), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(os.path.realpath(temporary))
        workshop = faults.Workshop(folder, engines=("numpy",))
        expected = folder / "expected"
        with contextlib.chdir(workshop.template):
            assert faults.call([*START[:4], str(expected), *START[5:]], None)[0] == 0
        for (run, words), has_links in product((("new/run", START), ("begun-numpy", RESUME)), (True, False)):
            workshop.restore()
            recording = record(workshop.place, run, words, has_links=has_links)
            workshop.restore()
            found = list(disks(recording, workshop.place, seed))
            if sample is not None:
                found = random.Random(seed).sample(found, min(sample, len(found)))
            for number, content in found:
                for problem in problems_after(recording, number, content, folder / "disk", expected):
                    about = f"dnn {' '.join(words)}, after operation {number}, {recording.events[number - 1].kind}"
                    outcome.failures.append(f"{about}: {problem}")
                    say(outcome.failures[-1])
            outcome.cases += len(found)
            say(f"dnn {' '.join(words)}: {len(recording.events)} operations, {len(found):,} losses of power")
    outcome.seconds = time.monotonic() - started
    return outcome
