"""Intercept the file operations of this process below a folder, to let them fail or to record them."""

# ruff: noqa: PTH100, PTH110
# pathlib would call the replaced functions.

import builtins
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

Before = Callable[[str, str], None]


@dataclass(frozen=True)
class Event:
    """A change of the file system.

    Attributes:
        kind: ``create``, ``truncate``, ``write``, ``fsync``, ``rename``, ``link``, ``unlink``, ``mkdir`` or ``rmdir``.
        path: the file or folder; the new name of one that is renamed or linked.
        source: the old name of one that is renamed or linked.
        offset: the place of the written bytes, or the new size of a truncated file.
        content: the written bytes.
    """

    kind: str
    path: str
    source: str = ""
    offset: int = 0
    content: bytes = b""


class Intercepted:
    """Replacements of the functions of Python that read and change files; each reports and then calls the original.

    Args:
        root: only operations on paths below this folder are reported.
        before: is called before each operation with its kind and its path, and may raise an `OSError`. Besides those of
            events, the kind may be ``open``, for reading.
        after: is called after each change.
    """

    def __init__(self, root: Path, before: Before, after: Callable[[Event], None] | None = None) -> None:
        self._root = os.path.realpath(root)
        self._before = before
        self._after = after or (lambda event: None)
        self._paths: dict[int, str] = {}  # of the open files and folders below the root, by their descriptors
        self._lock = threading.RLock()
        self._originals = {name: getattr(os, name) for name in ("open", "fsync", "write", "mkdir", "rmdir", "unlink")}
        self._originals |= {name: getattr(os, name) for name in ("replace", "link")}
        self._io_open = io.open

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the functions in this context."""
        replacements: dict[str, Any] = {
            "open": self._os_open,
            "fsync": self._fsync,
            "write": self._os_write,
            "mkdir": self._single("mkdir"),
            "rmdir": self._single("rmdir"),
            "unlink": self._single("unlink"),
            "remove": self._single("unlink"),
            "replace": self._double("rename", "replace"),
            "rename": self._double("rename", "replace"),
            "link": self._double("link", "link"),
        }
        with (
            mock.patch.multiple(os, **replacements),
            mock.patch.object(io, "open", self._open),
            mock.patch.object(builtins, "open", self._open),
            mock.patch.object(shutil, "_USE_CP_SENDFILE", False),  # copying inside the kernel would bypass `write`
        ):
            yield

    def _inside(self, path: Any) -> str | None:
        """Return the absolute path if it is below the root."""
        if isinstance(path, int):
            return self._paths.get(path)
        absolute = os.path.abspath(os.fsdecode(path))
        return absolute if absolute.startswith(f"{self._root}{os.sep}") or absolute == self._root else None

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *texts: Any, **named: Any) -> Any:
        path = self._inside(file)
        if path is None:
            return self._io_open(file, mode, buffering, *texts, **named)
        is_writing = any(letter in mode for letter in "wax+")
        if not isinstance(file, int):
            self._before("create" if is_writing and "r" not in mode else "open", path)
        if not is_writing:
            return self._io_open(file, mode, buffering, *texts, **named)
        existed = isinstance(file, int) or os.path.exists(file)
        with self._lock:
            raw = _File(self, path, file, mode.replace("b", "").replace("t", ""), named.pop("closefd", True))
            if not isinstance(file, int):
                self._paths[raw.fileno()] = path
                self._opened(path, existed=existed, truncated="w" in mode)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, *texts, **named)
        text.mode = mode  # type: ignore[misc]
        return text

    def _opened(self, path: str, *, existed: bool, truncated: bool) -> None:
        if not existed:
            self._after(Event("create", path))
        elif truncated:
            self._after(Event("truncate", path))

    def _os_open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        inside = self._inside(path)
        if inside is None:
            descriptor: int = self._originals["open"](path, flags, *rest, **named)
            self._paths.pop(descriptor, None)  # a closed file may have had the number
            return descriptor
        self._before("create" if flags & (os.O_WRONLY | os.O_RDWR) else "open", inside)
        existed = os.path.lexists(path)
        with self._lock:
            descriptor = self._originals["open"](path, flags, *rest, **named)
            self._paths[descriptor] = inside
            self._opened(inside, existed=existed, truncated=bool(flags & os.O_TRUNC))
        return descriptor

    def _fsync(self, descriptor: int) -> None:
        path = self._paths.get(descriptor)
        if path is None:
            self._originals["fsync"](descriptor)
            return
        self._before("fsync", path)  # not on to the disk: only what `after` records counts
        self._after(Event("fsync", path))

    def _os_write(self, descriptor: int, content: Any) -> int:
        path = self._paths.get(descriptor)
        if path is None:
            return int(self._originals["write"](descriptor, content))
        return self.write(path, descriptor, bytes(content), lambda part: self._originals["write"](descriptor, part))

    def write(self, path: str, descriptor: int, content: bytes, write: Callable[[bytes], int]) -> int:
        """Report and write a part of a file; if that fails, half of it is written, as on a disk that becomes full."""
        try:
            self._before("write", path)
        except OSError:
            write(content[: len(content) // 2])
            raise
        with self._lock:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
            done = write(content)
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            self._after(Event("write", path, offset=max(offset, end - done), content=content[:done]))
        return done

    def _single(self, kind: str) -> Callable[..., None]:
        def call(path: Any, *rest: Any, **named: Any) -> None:
            inside = None if named.get("dir_fd") is not None else self._inside(path)
            if inside is not None:
                self._before(kind, inside)
            with self._lock:
                self._originals[kind](path, *rest, **named)
                if inside is not None:
                    self._after(Event(kind, inside))

        return call

    def _double(self, kind: str, name: str) -> Callable[..., None]:
        def call(source: Any, target: Any, **named: Any) -> None:
            inside = self._inside(target)
            if inside is not None:
                self._before(kind, inside)
            with self._lock:
                self._originals[name](source, target, **named)
                if inside is not None:
                    self._after(Event(kind, inside, source=os.path.abspath(os.fsdecode(source))))

        return call


class _File(io.FileIO):
    """A file whose writes are reported."""

    def __init__(self, reporter: Intercepted, path: str, file: Any, mode: str, closefd: bool) -> None:
        super().__init__(file, mode, closefd)
        self._reporter = reporter
        self._path = path

    def write(self, content: Any) -> int:
        write = super().write
        return self._reporter.write(self._path, self.fileno(), bytes(content), write)
