"""Describe what a result depends on besides the config: versions, machine, git revision, dataset."""

import csv
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, Self
import filelock
import dnn_cli
from dnn_cli.config import schema
from dnn_cli.command import command
from dnn_cli.config.schema import Config
from dnn_cli.errors import RunError
from dnn_cli.errors import UsageError




def describe_environment(dataset: dict[str, Any], transfer: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a result may depend on besides the config: command, versions, machine, git revision, dataset, weights."""
    return {
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
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
