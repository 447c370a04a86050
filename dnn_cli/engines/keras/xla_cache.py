"""Set XLA's flags, and keep the programs that XLA compiles for the next start.

TensorFlow can keep compiled programs in a folder, but it trusts every file there, a write that fails ends the training,
and the name of a file depends neither on versions nor on the processor nor on XLA's flags. So TensorFlow's folder is in
memory here. Before a compilation, programs are copied to it from files whose names contain the digest of their content;
afterwards, new programs are written to such files. Each combination of versions, processor and flags has its own folder
of files.

The programs are native code. They are used only if nobody but the user (and root) could have written them.

The environment variable DNN_XLA_CACHE replaces the folder ``~/.cache/dnn/xla``; the value 0 turns the cache off.
"""

import hashlib
import os
import platform
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from dnn_cli import processor
from dnn_cli.files import open_regular, write_atomically

TESTED = "2.21."  # the flags are undocumented, so they are used with this version of TensorFlow alone
WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
FOLDER_FLAG = "--tf_xla_persistent_cache_directory"
MEMORY = "ram://dnn-xla"  # folder in TensorFlow's file system in memory
MAX_BYTES = 100 * 2**20  # limits the files of all folders together
PROGRAM = "__XLA_CPU_JIT.pb"  # programs for a GPU depend on more than the folder distinguishes
DIGITS = 16  # length of a folder's name, which is a digest of what the programs in it depend on
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_told: set[str] = set()  # reasons that the user was told in this process


def use_wide_vectors() -> None:
    """Let XLA use the full width of AVX-512 on processors whose clock speed does not drop; call before XLA is loaded.

    XLA uses half the width by default because of older processors. Those that support bfloat16 are newer.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _is_tested() and "avx512_bf16" in processor.description() and "xla_cpu_prefer_vector_width" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {WIDE_VECTORS}".strip()


def prepare() -> None:
    """Let TensorFlow keep compiled programs in memory, where `programs` exchanges them; call before it is imported.

    A folder that the user has chosen with TensorFlow's own flag stays.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if _is_on() and FOLDER_FLAG not in flags:
        os.environ["TF_XLA_FLAGS"] = f"{flags} {FOLDER_FLAG}={MEMORY}".strip()


@contextmanager
def programs(warn: Callable[[str], None]) -> Iterator[None]:
    """Give TensorFlow the programs of earlier starts while the block compiles, and keep the new ones afterwards.

    No failure of the disk affects the block: then programs are compiled again at the next start.

    Args:
        warn: is told once in a process why a folder is not used, if others could have written to it.
    """
    if not _is_on() or MEMORY not in os.environ.get("TF_XLA_FLAGS", ""):  # TensorFlow was imported without `prepare`
        yield
        return
    import tensorflow as tf

    tf.io.gfile.makedirs(MEMORY)
    try:
        folder = _private_folder(warn)
        known = _load(folder) if folder else set()
        yield
        if folder:
            _store(folder, known)
    finally:
        tf.io.gfile.rmtree(MEMORY)


def _private_folder(warn: Callable[[str], None]) -> Path | None:
    """Return the folder of programs for this process, which is created; None if it must not or cannot be used."""
    try:
        folder = _folder()
        for place in (*reversed(folder.parents), folder):
            if not place.exists():
                place.mkdir(mode=0o700, exist_ok=True)
        folder = folder.resolve(strict=True)
        problem = _exposure(folder)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    if problem and problem not in _told:
        _told.add(problem)
        warn(
            f"compiled programs are not kept, because others could replace them: {problem}; close it to others, or set "
            "DNN_XLA_CACHE to another folder, or to 0"
        )
    return None if problem else folder


def _exposure(folder: Path) -> str:
    """Return how others could write to a folder or replace it, or an empty text.

    Args:
        folder: a path without symbolic links.
    """
    if os.name == "nt":  # access is decided by lists that Python cannot read; a home is private by default
        return ""
    for place in (folder, *folder.parents):
        status = place.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to another user"
        # In a folder with the sticky bit, such as /tmp, others can create files, but not replace ours.
        if status.st_mode & WRITABLE_BY_OTHERS and (place == folder or not status.st_mode & stat.S_ISVTX):
            return f"{place} can be written by others"
    return ""


def _load(folder: Path) -> set[str]:
    """Copy the undamaged programs of a folder into memory, delete its other files, and return the programs' names."""
    import tensorflow as tf

    names, size = set[str](), 0
    with suppress(OSError):  # another process deletes files too
        for file in _newest_first(folder.iterdir()):
            name, _, digest = file.name.rpartition(".")
            content = _content(file, MAX_BYTES - size) if name.endswith(PROGRAM) and name not in names else b""
            if not content or hashlib.sha256(content).hexdigest() != digest:
                _delete(file)
                continue
            with tf.io.gfile.GFile(f"{MEMORY}/{name}", "wb") as copy:
                copy.write(content)
            names.add(name)
            size += len(content)
    return names


def _store(folder: Path, known: set[str]) -> None:
    """Write the programs in memory that are not among the `known`; delete the oldest if the files are too large."""
    import tensorflow as tf

    with suppress(OSError):  # the disk is full, or another process was faster: the next start compiles again
        for name in {name for name in tf.io.gfile.listdir(MEMORY) if name.endswith(PROGRAM)} - known:
            with tf.io.gfile.GFile(f"{MEMORY}/{name}", "rb") as program:
                content = program.read()
            write_atomically(folder / f"{name}.{hashlib.sha256(content).hexdigest()}", content)
        size = 0
        for file in _newest_first(folder.parent.glob(f"{'[0-9a-f]' * DIGITS}/*{PROGRAM}*")):
            size += file.lstat().st_size
            if size > MAX_BYTES:
                _delete(file)


def _folder() -> Path:
    """Return the folder of the programs for these versions, this processor and these flags, as an absolute path."""
    chosen = os.environ.get("DNN_XLA_CACHE")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache"))
    versions = map(metadata.version, ("tensorflow", "keras"))
    described = "\n".join((*versions, platform.machine(), processor.description(), os.environ.get("XLA_FLAGS", "")))
    root = Path(chosen) if chosen else caches / "dnn" / "xla"
    return root.expanduser().absolute() / hashlib.sha256(described.encode()).hexdigest()[:DIGITS]


def _is_on() -> bool:
    return os.environ.get("DNN_XLA_CACHE") != "0" and _is_tested()


def _is_tested() -> bool:
    return metadata.version("tensorflow").startswith(TESTED)


def _newest_first(files: Iterable[Path]) -> list[Path]:
    return sorted(files, key=lambda file: file.lstat().st_mtime_ns, reverse=True)


def _content(file: Path, limit: int) -> bytes:
    """Return the content of a file; nothing if another user could have written it, or it cannot be used."""
    try:
        with open_regular(file) as stream:
            status = os.fstat(stream.fileno())
            is_ours = os.name == "nt" or status.st_uid in (0, os.geteuid())
            is_usable = is_ours and not status.st_mode & WRITABLE_BY_OTHERS and status.st_size <= limit
            return stream.read(limit) if is_usable else b""
    except OSError:
        return b""


def _delete(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
