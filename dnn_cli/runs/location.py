"""Where a run is: whether a folder is free for one, and its creation."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from dnn_cli.errors import DnnError, RunError, UsageError, reason
from dnn_cli.files import flush

RUNS = Path("runs")


def is_file(path: Path) -> bool:
    """Return whether a file is at `path`, and this user may look."""
    return os.path.isfile(path)  # noqa: PTH113 (`Path.is_file` raises if this user may not look)


def is_run(path: Path) -> bool:
    """Return whether a run is at `path`, and this user may read it."""
    return is_file(path / "config.yaml")


def check_free(path: Path) -> None:
    """Raise `UsageError` unless a new run can be created at `path`.

    Nothing may be there, or an empty folder, or the beginning of a run that was killed before its config was written.
    """
    try:
        names = {entry.name for entry in path.iterdir()} if path.is_dir() else None
        is_taken = path.exists() or path.is_symlink()
    except OSError as error:
        raise UsageError(f"the run directory {path} cannot be used: {reason(error)}") from None
    if names is None and not is_taken:
        return
    if names is not None and (not names or _is_unfinished(path, names)):
        return
    raise UsageError(f"{path} exists already; resume it with --resume {path}, or choose another --run-dir")


def _is_unfinished(path: Path, names: set[str]) -> bool:
    """Return whether a folder with these `names` in it is the beginning of a run, without anything of value."""
    checkpoints = path / "checkpoints"
    begun = {".lock", checkpoints.name} | ({"environment.json"} if ".lock" in names else set())
    visible = {name for name in names if not name.endswith(".new")}
    return visible <= begun and not any(checkpoints.glob("*"))


def new(path: Path) -> Path:
    """Create the folder of a run, unless it is there and empty; raises `UsageError` if it is not free."""
    check_free(path)
    try:
        _make_folder(path, exist_ok=True)
    except OSError as error:
        raise _not_created(path, error) from None
    return path


def following(name: str) -> Path:
    """Create the first free ``runs/<name>-<n>``."""
    number = 1
    while True:
        path = RUNS / f"{name}-{number}"
        try:
            _make_folder(path, exist_ok=False)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _not_created(path, error) from None
        else:
            return path


def _make_folder(path: Path, *, exist_ok: bool) -> None:
    """Create a folder and those that it is in, and make sure that they are on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=exist_ok)
    for folder in missing:
        with suppress(PermissionError):  # a folder that may be written but not read
            flush(folder.parent)


def _not_created(path: Path, error: OSError) -> DnnError:
    is_failure = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
    kind = RunError if is_failure else UsageError
    return kind(f"the run directory {path} cannot be created: {reason(error)}")
