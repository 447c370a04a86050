"""The contents of `state.json`: the checkpoints that a run can be resumed from."""

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




@dataclass(frozen=True)
class Best:
    """The checkpoint with the lowest validation loss, or training loss where nothing is held out."""

    epoch: int
    monitor: str
    value: float
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """The model after `epoch` epochs, the digest of its file, and the best one up to then."""

    epoch: int
    sha256: str
    best: Best

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict`."""
        epoch, best = int(values["epoch"]), Best(**values["best"])
        if not 1 <= best.epoch <= epoch:
            raise ValueError(f"of {epoch} epochs, epoch {best.epoch} is said to be the best")
        return cls(epoch, str(values["sha256"]), best)


@dataclass(frozen=True)
class State:
    """What can be resumed: the last checkpoint, and the one before it in case the last is damaged."""

    last: Checkpoint
    previous: Checkpoint | None = None
