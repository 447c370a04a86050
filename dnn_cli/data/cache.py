"""Keep decoded images on disk, so that a second start does not decode them again.

An entry is a folder named after a digest of the encoded files and of the settings. A file named after the names, sizes
and times of the files points to it, so that nothing has to be read to find it. Entries are written completely or not at
all; one that is damaged is made again.

Environment variable:
    XDG_CACHE_HOME: the folder of caches, ``~/.cache`` by default; entries are in its folder ``dnn/datasets``.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnn_cli.errors import reason
from dnn_cli.files import flush, write_atomically
from dnn_cli.typing import Array

VERSION = 1  # Changes whenever images would be decoded differently.
TICK = 0.1  # Seconds; a file that changed so shortly before may change again without another time.


@dataclass(frozen=True)
class Entry:
    """Decoded images.

    Attributes:
        images: (n, height, width[, channels]).
        labels: (n,) int32.
        content: a digest of the encoded files.
        about: what else is known about them, as JSON values.
    """

    images: Array
    labels: Array
    content: str
    about: dict[str, Any]


def folder() -> Path:
    """Return the folder of all entries, which need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache")
    return Path(base).expanduser().absolute() / "dnn" / "datasets"


def signature(*parts: Any) -> str:
    """Return a digest of JSON values: the settings, and the names, sizes and times of files."""
    return hashlib.sha256(json.dumps([VERSION, *parts], default=str).encode()).hexdigest()


def cached(
    known_by: str, settings: str, newest: float, make: Callable[[], Entry], warn: Callable[[str], None]
) -> Entry:
    """Return the entry for some files and settings; make it if there is none, or if it is damaged.

    Args:
        known_by: the `signature` of the files and of the settings.
        settings: the `signature` of the settings alone.
        newest: the time when a file changed last, in seconds since 1970.
        make: decodes the files.
        warn: is called with a sentence if the entry cannot be written.
    """
    pointer = folder() / f"{known_by[:32]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return _read(folder() / json.loads(pointer.read_text())["entry"])
    started = time.time()
    entry = make()
    name = signature(settings, entry.content)[:32]
    try:
        _write(folder() / name, entry)
        if newest < started - TICK:
            write_atomically(pointer, json.dumps({"entry": name}))
    except OSError as error:
        warn(f"{folder()} cannot be written, so the pictures are decoded at each start: {reason(error)}")
    return entry


def clear() -> int:
    """Delete all entries; return how many bytes they had."""
    size = sum(path.stat().st_size for path in folder().rglob("*") if path.is_file())
    shutil.rmtree(folder(), ignore_errors=True)
    return size


def _read(path: Path) -> Entry:
    """Read an entry; raises `OSError`, `ValueError`, `KeyError` or `TypeError` if it is missing or damaged."""
    about = json.loads((path / "about.json").read_text())
    images, labels = (np.load(path / f"{name}.npy", allow_pickle=False) for name in ("images", "labels"))
    if about["checksum"] != _checksum(images, labels):
        raise ValueError("damaged")
    return Entry(images, labels, about["content"], about["about"])


def _write(path: Path, entry: Entry) -> None:
    """Write an entry beside its place and move it there, instead of an older one, which may be damaged."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    try:
        about = {"checksum": _checksum(entry.images, entry.labels), "content": entry.content, "about": entry.about}
        np.save(new / "images.npy", entry.images, allow_pickle=False)
        np.save(new / "labels.npy", entry.labels, allow_pickle=False)
        (new / "about.json").write_text(json.dumps(about))
        for file in new.iterdir():
            flush(file)
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):  # Another process may have written the same entry at the same time.
            new.rename(path)
        flush(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _checksum(*arrays: Array) -> int:
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).data, value)
    return value
