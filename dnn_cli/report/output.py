"""The files that reports and pictures are written to: checked before the work starts, written completely or not at all.

A check comes first because an evaluation or an explanation takes seconds to minutes, and a typing error in ``--out``
should not cost them.
"""

from collections.abc import Sequence
from pathlib import Path

from dnn_cli.errors import DnnError, UsageError, reason
from dnn_cli.files import write_atomically


def check_output(file: Path, option: str = "--out", suffixes: Sequence[str] = ()) -> None:
    """Check that a file can be written as far as its name shows.

    Args:
        file: The file to write; it may exist.
        option: The option that names the file, for the message.
        suffixes: The endings that its name may have, in lower case, such as ``.png``; empty allows all.

    Raises:
        UsageError: The ending is another one, the file is a folder, or its folder does not exist.
    """
    if suffixes and file.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {file}: the name must end in {' or '.join(suffixes)}")
    if file.is_dir():
        raise UsageError(f"{option} {file}: is a folder")
    if not file.parent.is_dir():
        raise UsageError(f"{option} {file}: there is no folder {file.parent}")


def write_output(file: Path, content: str | bytes) -> None:
    """Write a file atomically, and its folder if only that is missing; raises `DnnError` where it fails."""
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, content)
    except OSError as error:
        place = file.parent if error.filename == str(file.parent) else file
        raise DnnError(f"{place} cannot be written: {reason(error)}") from None
