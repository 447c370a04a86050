"""Write files completely or not at all, check output paths before the work begins, and compute digests."""

import errno
import hashlib
import io
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from dnn_cli.errors import DnnError, UsageError, reason

# Characters of a file's name in the name of its temporary file; at most 160 bytes of the 255 that a name may have.
TEMPORARY_STEM = 40
MAX_DIRECTORY_BYTES = 2**20  # list of an archive's members


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of `content` to a file, or leave the file as it was.

    The content goes to a temporary file, which is flushed to the disk and then renamed; last, the folder is flushed.

    Raises:
        OSError: the file cannot be written.
    """
    with replacement(path) as temporary:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:
            file.write(_bytes(content))


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield the path of a new file to write; then flush it, rename it to `path`, and flush the folder.

    If anything fails, the new file is deleted and `path` is as it was. Nobody can guess the name of the new file, so
    that nobody can put a link in its place.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name[:TEMPORARY_STEM]}.{secrets.token_hex(8)}.new")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    flush(path.parent)


def temporary_files(path: Path) -> Iterator[Path]:
    """Yield the unfinished new files of `path` that killed processes left."""
    return path.parent.glob(f".{escape(path.name[:TEMPORARY_STEM])}.{'[0-9a-f]' * 16}.new")


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
    try:
        is_folder, has_folder = file.is_dir(), file.parent.is_dir()
        os.lstat(file)  # fails for a name that is too long, even where the file does not exist
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UsageError(f"{option} {file}: {reason(error)}") from None
    if is_folder:
        raise UsageError(f"{option} {file}: is a folder")
    if not has_folder:
        raise UsageError(f"{option} {file}: there is no folder {file.parent}")


def write_output(file: Path, content: str | bytes, *, in_run: bool = False) -> None:
    """Write a file for the user: completely, or not at all.

    The folder of the file is created if it is missing. A symbolic link stays, and its target is written. A device or a
    pipe, such as ``/dev/stdout``, cannot be replaced, and is written directly.

    Args:
        file: the file.
        content: its new content.
        in_run: the file belongs to a run, which can come from a stranger: whatever is in its place is replaced.

    Raises:
        DnnError: the file or its folder cannot be written.
    """
    try:
        file.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise DnnError(write_failure(file.parent, error)) from None
    try:
        if in_run:
            write_atomically(file, content)
        elif file.exists() and not file.is_file():
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


def without_links(path: str, flags: int) -> int:
    """Open a file, but follow no link in its place; the ``opener`` of `open`, raises `OSError` if it is a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def read_text(path: Path, limit: int) -> str:
    """Return the UTF-8 text of a regular file.

    Args:
        path: the file.
        limit: the largest size in bytes.

    Raises:
        OSError: the file cannot be read, is no regular file, or is larger.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit:,} bytes", str(path))
    return content.decode("utf-8")


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
    """Return the SHA-256 digest of a regular file's content in hexadecimal; raises `OSError` if it cannot be read."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_sha256(text: str) -> str:
    """Return the SHA-256 digest of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def encodable(text: str) -> str:
    r"""Return an encodable text: bytes of a file name that are no UTF-8 are written as ``\udc80`` and so on."""
    return text.encode(errors="backslashreplace").decode()


def _bytes(content: str | bytes) -> bytes:
    return encodable(content).encode() if isinstance(content, str) else content
