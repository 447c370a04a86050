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

from dnn_cli.errors import reason
from dnn_cli.files import flush, open_regular, replacement, sha256

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
            except OSError:
                continue
        return None

    def problem(self, name: str) -> str:
        """Return a sentence about the file of `name`, whose content is not the recorded one."""
        path = self.path(name)
        try:
            sha256(path)
        except OSError as error:
            return f"{path} cannot be read: {reason(error)}"
        return f"{path} is damaged: its checksum is not the one in state.json"

    def is_complete(self, name: str) -> bool:
        """Return whether the file exists and is not cut off; a quick check that reads only its end."""
        try:
            with open_regular(self.path(name)) as file:
                return zipfile.is_zipfile(file)
        except OSError:
            return False

    def write(self, save: Callable[[Path], None]) -> str:
        """Write a new checkpoint; it becomes last, and the one that was last becomes previous.

        Args:
            save: is called with a path to write the network to.

        Returns:
            The digest of the new file.
        """
        return self._write(save, "last", "previous")

    def write_partial(self, save: Callable[[Path], None]) -> str:
        """Write a checkpoint within an epoch as `write` does: it becomes partial, and that one previous_partial."""
        return self._write(save, *PARTIAL_NAMES)

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
            unfinished.unlink(missing_ok=True)

    def _write(self, save: Callable[[Path], None], name: str, previous: str) -> str:
        current = self.path(name)
        with replacement(current) as new:
            save(new)
            digest = sha256(new)
            if current.exists():
                flush(new)  # before previous is replaced: at any time, two complete checkpoints are on the disk
                _replace(current, self.path(previous), os.link)
        return digest


def _replace(source: Path, target: Path, copy: Callable[[Path, Path], Any]) -> None:
    """Give `target` the content of `source`, through a new file beside it that is renamed.

    Args:
        source: an existing file.
        target: replaced if it exists.
        copy: `os.link`, or `shutil.copyfile`, which is also used if the file system has no hard links.
    """
    with replacement(target) as new:
        try:
            copy(source, new)
        except OSError:
            if copy is not os.link:
                raise
            shutil.copyfile(source, new)
    new.unlink(missing_ok=True)  # renaming one hard link of a file to another one keeps both names
