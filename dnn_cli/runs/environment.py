"""Describe everything besides the config that the result of a run depends on: versions, machine, git revision, data."""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import dnn_cli
from dnn_cli import processor
from dnn_cli.runs.records import DatasetRecord, Environment, TransferRecord


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
        command=tuple(sys.argv),
        folder=str(Path.cwd()),
        versions=versions(),
        platform=platform.platform(),
        machine=platform.machine(),
        processor=processor.kind(),
        cpus=os.cpu_count(),
        threads=threads,
        git=_git_revision(),
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


def _git_revision() -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return answer.stdout.strip() or None
