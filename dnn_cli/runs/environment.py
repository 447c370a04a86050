"""Describe what a result depends on besides the config: versions, machine, git revision, dataset."""

import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import dnn_cli
from dnn_cli import processor


def describe_environment(
    dataset: dict[str, Any], transfer: dict[str, Any] | None = None, *, threads: int | str | None = None
) -> dict[str, Any]:
    """What a result may depend on besides the config: command, versions, machine, git revision, dataset, weights.

    Args:
        dataset: what is trained on.
        transfer: the weights that the training starts from, if any.
        threads: how many threads an operation is divided among.
    """
    return {
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor.kind(),
        "cpus": os.cpu_count(),
        "threads": threads,
        "git": _git_revision(),
        "dataset": dataset,
        "transfer": transfer,
    }


def versions() -> dict[str, str]:
    """The versions that a bit-for-bit repetition depends on, read without importing anything."""
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
