"""The layout of `.keras` files: check, describe and write them without TensorFlow.

A `.keras` file is a zip archive of three members: the network's description in JSON, metadata in JSON, and an HDF5 file
with every number of the network and its optimizer.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dnn_cli.errors import RunError, UsageError, reason

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"  # the members of the archive
ITERATIONS, LEARNING_RATE = "optimizer/vars/0", "optimizer/vars/1"  # datasets of WEIGHTS
CLASS_NAMES = "class_names"  # a key in METADATA, which Keras does not read when it loads a network
FIRST_SLOT = 2  # optimizer/vars/2 and the following datasets hold the optimizer's state for each parameter

MAX_FILE_BYTES = 8 * 2**30
MAX_DESCRIPTION_BYTES = 2**24


def layer_group(kind: str, number: int) -> str:
    """Return the HDF5 group of the layer `number`, from 0, among the layers of the same `kind`: ``layers/dense_1``."""
    return f"layers/{kind}_{number}" if number else f"layers/{kind}"


def variable(group: str, number: int) -> str:
    """Return the HDF5 dataset of a variable in a layer's group or in ``optimizer``: ``layers/dense_1/vars/0``."""
    return f"{group}/vars/{number}"


def check_file(path: Path) -> None:
    """Check that `path` is a complete `.keras` archive of bounded size.

    Raises:
        UsageError: there is no such file.
        RunError: the file is damaged, too large or not a `.keras` file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            if not {CONFIG, METADATA, WEIGHTS} <= members.keys():
                raise RunError(f"{path} is not a Keras model: it is an archive of other files")
            if sum(members.values()) > MAX_FILE_BYTES:
                raise RunError(f"{path} is larger than the {MAX_FILE_BYTES / 2**30:.0f} GiB allowed")
            damaged = archive.testzip()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{path} is damaged or not a Keras model: {reason(error)}") from None
    if damaged:
        raise RunError(f"{path} is damaged: {damaged} in it does not match its checksum")


def description(path: Path) -> Any:
    """Return Keras's JSON description of the network in a file that `check_file` accepted.

    Raises:
        ValueError: the description is not JSON.
    """
    with zipfile.ZipFile(path) as archive, archive.open(CONFIG) as member:
        return json.loads(member.read(MAX_DESCRIPTION_BYTES))


def class_names(path: Path) -> tuple[str, ...] | None:
    """Return the names of the classes in a file, which Keras ignores; None if it has none or is damaged."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(METADATA) as member:
            found = json.loads(member.read(MAX_DESCRIPTION_BYTES)).get(CLASS_NAMES)
    except (OSError, EOFError, ValueError, KeyError, AttributeError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    is_valid = isinstance(found, list) and found and all(isinstance(name, str) for name in found)
    return tuple(found) if is_valid else None


def names_as_metadata(names: Sequence[str] | None) -> dict[str, Any]:
    """Return the entry for `metadata` in `write` that `class_names` reads; empty without names."""
    return {CLASS_NAMES: list(names)} if names else {}


def write(path: Path, metadata: Mapping[str, Any], config: str | bytes, weights: bytes | memoryview) -> None:
    """Write a `.keras` file.

    Args:
        path: the file.
        metadata: what Keras stores of itself, for example its version; the current time is added as ``date_saved``.
        config: the network's description, JSON.
        weights: the content of the HDF5 file.
    """
    about = json.dumps({**metadata, "date_saved": datetime.now().strftime("%Y-%m-%d@%H:%M:%S")})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in ((METADATA, about), (CONFIG, config), (WEIGHTS, weights)):
            archive.writestr(name, content)
