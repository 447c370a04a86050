"""Check and describe `.keras` files without TensorFlow."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

from dnn_cli.errors import RunError, UsageError, reason

MAX_FILE_BYTES = 8 * 2**30
MAX_DESCRIPTION_BYTES = 2**24


def check_file(path: Path) -> None:
    """Check, without TensorFlow, that `path` is a whole `.keras` archive of bounded size; raises `RunError` if not."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            if not {"config.json", "metadata.json", "model.weights.h5"} <= members.keys():
                raise RunError(f"{path} is not a Keras model: it is an archive of other things")
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
    """What the `.keras` file that `check_file` let pass says of its network; raises `ValueError` if it is no JSON."""
    with zipfile.ZipFile(path) as archive, archive.open("config.json") as member:
        return json.loads(member.read(MAX_DESCRIPTION_BYTES))
