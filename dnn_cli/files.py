"""Write files completely or not at all, check output paths before the work begins, and compute digests."""

import errno
import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dnn_cli.errors import DnnError, UsageError, reason

MAX_DIRECTORY_BYTES = 2**20  # list of an archive's members


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of `content` to a file, or leave the file as it was.

    The content goes to a temporary file, which is flushed to the disk and then renamed; last, the folder is flushed.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(_bytes(content))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Make the operating system write a file, or a folder's list of names, to the disk."""
    if os.name == "nt":  # Windows flushes files only through a writable handle, and folders not at all
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_output(file: Path, option: str = "--out", suffixes: Sequence[str] = ()) -> None:
    """Check, before the work begins, that a path given by the user can name an output file.

    Args:
        file: the path.
        option: the command-line option that gave it, for the message.
        suffixes: the file name endings allowed, in lower case; empty allows every name.

    Raises:
        UsageError: the name has another ending, the path is a folder, or the folder that it is in does not exist.
    """
    if suffixes and file.suffix.lower() not in suffixes:
        raise UsageError(f"{option} {file}: the name must end in {' or '.join(suffixes)}")
    if file.is_dir():
        raise UsageError(f"{option} {file}: is a folder")
    if not file.parent.is_dir():
        raise UsageError(f"{option} {file}: there is no folder {file.parent}")


def write_output(file: Path, content: str | bytes) -> None:
    """Write a file for the user: completely, or not at all.

    The folder of the file is created if it is missing. A symbolic link stays, and its target is written. A device or a
    pipe, such as ``/dev/stdout``, cannot be replaced, and is written directly.

    Raises:
        DnnError: the file or its folder cannot be written.
    """
    try:
        file.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise DnnError(write_failure(file.parent, error)) from None
    try:
        if file.exists() and not file.is_file():
            with file.open("wb") as stream:
                stream.write(_bytes(content))
        else:
            write_atomically(Path(os.path.realpath(file)), content)
    except OSError as error:
        raise DnnError(write_failure(file, error)) from None


def write_failure(path: object, error: OSError) -> str:
    """Return the message that says that `path` cannot be written, and why."""
    return f"{path} cannot be written: {reason(error)}"


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    A device or a pipe is rejected, because reading it may never end; opening a pipe does not wait for its other end.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


class _DirectoryReader(io.BufferedReader):
    """A file that refuses to read more than `MAX_DIRECTORY_BYTES` at once, while `limited`."""

    limited = True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes."""
        if self.limited and (size or 0) > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive that is a regular file.

    Python makes an object of each member of an archive when it opens it. A list of millions of them would exhaust
    memory, so a list of more than `MAX_DIRECTORY_BYTES` is rejected.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
        BadZipFile: it is no archive, or its list of members is too long.
    """
    with _DirectoryReader(open_regular(path).detach()) as file, zipfile.ZipFile(file) as archive:
        file.limited = False
        yield archive


def sha256(path: Path) -> str:
    """Return the SHA-256 digest of a regular file's content in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(content: str | bytes) -> bytes:
    # A name that is no UTF-8 has surrogates in Python, which UTF-8 cannot hold; they are written as escapes.
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content
