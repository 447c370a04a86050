"""Set XLA's flags, and keep the programs that XLA compiles for the next start.

TensorFlow can keep compiled programs in a folder, but trusts every file there: a damaged file crashes the training, and
the name of a file depends neither on versions nor on the processor nor on XLA's flags. So each combination of these has
its own folder here, and TensorFlow finds a file only if its digest is the one recorded when the file was new.

The environment variable DNN_XLA_CACHE replaces the folder ``~/.cache/dnn/xla``; the value 0 turns the cache off.
"""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

from dnn_cli import processor
from dnn_cli.files import sha256, write_atomically

TESTED = "2.21."  # the flags are undocumented, so they are used with this version of TensorFlow alone
WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"
MAX_BYTES = 100 * 2**20
PROGRAMS = "*__XLA_CPU_JIT.pb"  # programs for a GPU depend on more than the folder distinguishes


def use_wide_vectors() -> None:
    """Let XLA use the full width of AVX-512 on processors whose clock speed does not drop; call before XLA is loaded.

    XLA uses half the width by default because of older processors. Those that support bfloat16 are newer.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _is_tested() and "avx512_bf16" in processor.description() and "xla_cpu_prefer_vector_width" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {WIDE_VECTORS}".strip()


def prepare() -> None:
    """Let TensorFlow use the undamaged programs and delete all others; call before TensorFlow is imported."""
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
    """Record the digests of new programs, and delete the oldest programs if the cache is too large."""
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
        return  # another process was faster, or the disk is full: the next start compiles again


def _folder() -> Path | None:
    chosen = os.environ.get("DNN_XLA_CACHE", "")
    if chosen == "0" or not _is_tested():
        return None
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache")).expanduser()
    versions = map(metadata.version, ("tensorflow", "keras"))
    described = "\n".join((*versions, platform.machine(), processor.description(), os.environ.get("XLA_FLAGS", "")))
    folder = (Path(chosen) if chosen else caches / "dnn" / "xla") / hashlib.sha256(described.encode()).hexdigest()[:16]
    # TensorFlow splits its flags at white space.
    return None if len(str(folder.absolute()).split()) != 1 else folder.absolute()


def _is_tested() -> bool:
    return metadata.version("tensorflow").startswith(TESTED)


def _manifest(folder: Path) -> dict[str, str]:
    try:
        values = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
