"""Write files whole or not at all, flush them to disk, and compute their digests."""

import hashlib
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write the whole file or nothing: temporary file → flush → fsync → rename → fsync of the folder."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have the operating system write a file, or a folder's list of names, to the disk."""
    if os.name == "nt":  # flushes files only through a writing handle, and folders not at all
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
