"""What XLA is told, and what it compiled, kept for the next start.

TensorFlow can keep compiled programs in a folder, but trusts whatever it finds there: a damaged file ends the training,
and a file's name tells neither its version nor the processor nor XLA's flags. So each combination of them has a folder
of its own here, and a file is only left for TensorFlow to find if it still has the digest noted when it was new.

The environment variable DNN_XLA_CACHE names another folder than ``~/.cache/dnn/xla``, or is 0 to keep nothing.
"""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

from dnn_cli import processor
from dnn_cli.files import sha256, write_atomically

TESTED = "2.21."  # the flags are undocumented, so other versions of TensorFlow go without
WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
MAX_BYTES = 100 * 2**20
PROGRAMS = "*__XLA_CPU_JIT.pb"  # what is compiled for a GPU depends on more than is told apart here


def use_wide_vectors() -> None:
    """Have XLA, which is not loaded yet, use the whole width of AVX-512 where that costs no clock speed.

    It uses half by default, for the sake of older processors; those that know bfloat16 came after them.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _is_tested() and "avx512_bf16" in processor.description() and "xla_cpu_prefer_vector_width" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {WIDE_VECTORS}".strip()


def prepare() -> None:
    """Have TensorFlow, which is not imported yet, use the programs that are whole; others are deleted."""
    folder = _folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = _manifest(folder)
        for file in folder.glob("*.pb"):
            if known.get(file.name) != sha256(file):
                file.unlink()
    except OSError:
        return
    flag = f"--tf_xla_persistent_cache_directory={folder}"
    os.environ["TF_XLA_FLAGS"] = f"{os.environ.get('TF_XLA_FLAGS', '')} {flag}".strip()


def record_cache() -> None:
    """Note the digests of the programs that were added, and let the oldest go where there are too many."""
    folder = _folder()
    if folder is None:
        return
    try:
        known, kept, size = _manifest(folder), dict[str, str](), 0
        for file in sorted(folder.glob(PROGRAMS), key=lambda file: file.stat().st_mtime_ns, reverse=True):
            size += file.stat().st_size
            if size <= MAX_BYTES:
                kept[file.name] = known.get(file.name) or sha256(file)
            else:
                file.unlink()
        if kept != known:
            write_atomically(folder / "manifest.json", json.dumps(kept, indent=2))
    except OSError:
        return  # another process is faster, or the disk is full: the next start compiles again


def _folder() -> Path | None:
    chosen = os.environ.get("DNN_XLA_CACHE", "")
    if chosen == "0" or not _is_tested():
        return None
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache")).expanduser()
    versions = map(metadata.version, ("tensorflow", "keras"))
    described = "\n".join((*versions, platform.machine(), processor.description(), os.environ.get("XLA_FLAGS", "")))
    folder = (Path(chosen) if chosen else caches / "dnn" / "xla") / hashlib.sha256(described.encode()).hexdigest()[:16]
    # TensorFlow divides its flags at white space.
    return None if len(str(folder.absolute()).split()) != 1 else folder.absolute()


def _is_tested() -> bool:
    return metadata.version("tensorflow").startswith(TESTED)


def _manifest(folder: Path) -> dict[str, str]:
    try:
        values = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
