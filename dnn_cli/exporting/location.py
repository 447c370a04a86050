"""The folder of an export: it is there with all of its files, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dnn_cli.errors import DnnError, UsageError
from dnn_cli.files import flush, write_failure

RECORD = "export.json"  # marks a folder as an export


def check_free(folder: Path) -> None:
    """Raise `UsageError` if something that is no export stands in the place of a folder."""
    if os.path.lexists(folder) and not (folder.is_dir() and not folder.is_symlink() and (folder / RECORD).is_file()):
        raise UsageError(f"{folder} exists and is no export of dnn; choose another --out")
    if not folder.absolute().parent.parent.is_dir():
        raise UsageError(f"--out {folder}: there is no folder {folder.parent.parent}")


@contextmanager
def replacement(folder: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of `folder` when the block ends without an exception.

    Raises:
        DnnError: a file cannot be written.
    """
    unfinished, replaced = (folder.parent / f".{folder.name}.{os.getpid()}.{kind}" for kind in ("tmp", "old"))
    try:
        folder.parent.mkdir(exist_ok=True)
        _remove_leftovers(folder)
        unfinished.mkdir()
        yield unfinished
        for path in sorted(unfinished.rglob("*")):
            if path.is_file():
                flush(path)
        if folder.exists():
            folder.rename(replaced)
        unfinished.rename(folder)
    except OSError as error:
        raise DnnError(write_failure(folder, error)) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left; an export that was being replaced comes back."""
    for path in folder.parent.glob(f".{folder.name}.*.*"):
        number, _, kind = path.name.removeprefix(f".{folder.name}.").partition(".")
        if kind not in ("tmp", "old") or not number.isdecimal() or _is_running(int(number)):
            continue
        if kind == "old" and not os.path.lexists(folder):
            path.rename(folder)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
