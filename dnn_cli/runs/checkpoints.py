"""The checkpoint files of a run: last, previous and best, and within an epoch partial and previous_partial.

A checkpoint is identified by the SHA-256 of its content, not by its name. If the process is killed between two renames,
each recorded checkpoint is still in one of the three files, and it is found there.
"""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnn_cli.files import flush, sha256

PARTIAL_NAMES = ("partial", "previous_partial")
NAMES = ("last", "previous", "best", *PARTIAL_NAMES)


class CheckpointFiles:
    """The files in a run's `checkpoints/`.

    Args:
        folder: the folder, which contains nothing else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return the path of the checkpoint of that name, one of `NAMES`."""
        return self.folder / f"{name}.keras"

    def find(self, digest: str, name: str = "last") -> Path | None:
        """Return the file whose content has this digest, or None; the file of `name` is checked first."""
        for candidate in dict.fromkeys((name, *NAMES)):
            path = self.path(candidate)
            try:
                if sha256(path) == digest:
                    return path
            except FileNotFoundError:
                continue
        return None

    def is_complete(self, name: str) -> bool:
        """Return whether the file exists and is not cut off; a quick check that reads only its end."""
        return zipfile.is_zipfile(self.path(name))

    def write(self, save: Callable[[Path], None]) -> Path:
        """Write a new checkpoint to a temporary file; returns that file, flushed to the disk.

        Args:
            save: is called with a path to write the network to.
        """
        new = self.folder / ".new.keras"
        save(new)
        flush(new)
        return new

    def make_last(self, new: Path) -> None:
        """Rename `new` to last; the one that was last becomes previous."""
        self._rename(new, "last", "previous")

    def make_partial(self, new: Path) -> None:
        """Rename `new` to partial; the one that was partial becomes previous_partial."""
        self._rename(new, *PARTIAL_NAMES)

    def remove_partial(self) -> None:
        """Delete the checkpoints within an epoch, if there are any."""
        for name in PARTIAL_NAMES:
            self.path(name).unlink(missing_ok=True)

    def copy(self, source: Path, name: str) -> None:
        """Copy `source` to the file of `name`, completely or not at all."""
        if source != self.path(name):
            _replace(source, self.path(name), shutil.copyfile)

    def remove_temporary_files(self) -> None:
        """Delete the unfinished files of a killed process."""
        for unfinished in self.folder.glob(".*"):
            unfinished.unlink()

    def _rename(self, new: Path, name: str, previous: str) -> None:
        current = self.path(name)
        if current.exists():
            _replace(current, self.path(previous), os.link)
        new.replace(current)
        flush(self.folder)


def _replace(source: Path, target: Path, copy: Callable[[Path, Path], Any]) -> None:
    """Give `target` the content of `source`, through a temporary file beside it that is renamed.

    Args:
        source: an existing file.
        target: replaced if it exists.
        copy: `os.link`, or `shutil.copyfile`, which is also used if the file system has no hard links.
    """
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        copy(source, temporary)
    except OSError:
        if copy is not os.link:
            raise
        shutil.copyfile(source, temporary)
    flush(temporary)
    temporary.replace(target)
    temporary.unlink(missing_ok=True)  # renaming one hard link of a file to another one keeps both names
    flush(target.parent)
