"""Describe everything besides the config that the result of a run depends on: versions, machine, git revision, data."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import dnn_cli
from dnn_cli import processor
from dnn_cli.runs.records import DatasetRecord, Environment, TransferRecord

GIT_SECONDS = 5  # for a git command; in a huge repository or on a slow disk, the revision is not recorded
SHORT_REVISION = 12  # digits of a commit's name that are shown
SHA256_DIGITS = 64  # of a commit's name in a repository that uses SHA-256 instead of SHA-1


def describe_environment(
    dataset: DatasetRecord, transfer: TransferRecord | None = None, *, threads: int | None = None
) -> Environment:
    """Return the record of this process, its machine, the data, and the weights that the run starts from.

    Args:
        dataset: the data to train on.
        transfer: the weights that the training starts from, if any.
        threads: number of threads that an operation is divided among.
    """
    return Environment(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(sys.argv),
        folder=str(Path.cwd()),
        versions=versions(),
        platform=platform.platform(),
        machine=platform.machine(),
        processor=processor.kind(),
        cpus=os.cpu_count(),
        threads=threads,
        git=git_revision(),
        dataset=dataset,
        transfer=transfer,
    )


def versions() -> dict[str, str]:
    """Return the versions that a bit-for-bit repetition depends on; imports none of the libraries."""
    return {
        "dnn": dnn_cli.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("tensorflow", "keras", "numpy", "h5py")},
    }


def program_version() -> str:
    """Return the version of dnn, and the git revision if it runs from a checkout: ``0.2.0 (git 98eee7a41c02)``."""
    checkout = Path(dnn_cli.__file__).parents[1]
    # Without this test, an installation inside of another project's repository would show that project's revision.
    revision = git_revision(checkout) if (checkout / ".git").exists() else None
    if revision is None:
        return dnn_cli.__version__
    commit, *dirty = revision.split("-")
    return f"{dnn_cli.__version__} (git {'-'.join([commit[:SHORT_REVISION], *dirty])})"


def git_revision(folder: Path | None = None) -> str | None:
    """Return the commit of `folder`, with ``-dirty`` if the repository's files differ; None outside a repository.

    By default it is that of the working directory.

    Nothing that the repository's configuration names is run: git may run a file system monitor or filters when it looks
    at files. So they are compared through an empty repository beside it, which has the same objects and index.
    """
    folder = folder or Path.cwd()
    here = ("-C", str(folder))
    places = _git(*here, "rev-parse", "HEAD", "--show-toplevel", "--git-path", "objects", "--git-path", "index")
    if places is None or len(lines := places.splitlines()) != 4:
        return None
    revision, top, objects, index = lines
    with tempfile.TemporaryDirectory() as temporary:
        own = Path(temporary)
        try:
            for name in ("objects/info", "refs"):
                (own / name).mkdir(parents=True)
            (own / "objects/info/alternates").write_text(f"{folder.absolute() / objects}\n")
            (own / "HEAD").write_text(f"{revision}\n")
            if len(revision) == SHA256_DIGITS:
                (own / "config").write_text("[core]\nrepositoryformatversion=1\n[extensions]\nobjectformat=sha256\n")
            shutil.copyfile(folder / index, own / "index")
        except OSError:
            return revision
        place = (f"--git-dir={own}", f"--work-tree={top}")
        _git(*place, "update-index", "-q", "--refresh", "--ignore-submodules")
        is_clean = _git(*place, "diff-index", "--quiet", "--ignore-submodules", "HEAD") is not None
    return revision if is_clean else f"{revision}-dirty"


def _git(*arguments: str) -> str | None:
    """Return what a git command prints, or None if it fails, takes too long, or git is not installed."""
    git = shutil.which("git")
    if git is None:
        return None
    # GIT_NO_LAZY_FETCH: git would fetch missing objects of a partial clone with a command of its configuration.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(
            [git, *arguments], capture_output=True, check=False, timeout=GIT_SECONDS, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(answer.stdout).strip() if answer.returncode == 0 else None
