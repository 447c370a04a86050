"""Make dataset files as users have them, and return the message with which a bad one is rejected."""

import gzip
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.data import datasets
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

IDX = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx(array: Array) -> bytes:
    """Return `array` as an IDX file of bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def write_npz(path: Path, **parts: Any) -> Path:
    """Write a compressed .npz file of `parts`, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **parts)
    return path


def stored(parts: dict[str, Any]) -> bytes:
    """Return an uncompressed .npz file of `parts`."""
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    return buffer.getvalue()


def write_idx(folder: Path, parts: dict[str, Array], *, gzipped: bool = False) -> Path:
    """Write a folder of IDX files of `parts`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in parts.items():
        content = gzip.compress(idx(array)) if gzipped else idx(array)
        (folder / (IDX[part] + ".gz" * gzipped)).write_bytes(content)
    return folder


def digits(count: int = 8) -> dict[str, Array]:
    """Return the four valid arrays of a user's own dataset: `count` images of 3×4 pixels in three classes."""
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 4)
    labels = np.arange(count) % 3
    return {"x_train": images, "y_train": labels, "x_test": images[::-1], "y_test": labels[::-1]}


def user(tmp_path: Path, **changes: Any) -> Path:
    """Write an .npz file of `digits` with some arrays replaced, or left out if the replacement is None."""
    parts = {**digits(), **changes}
    return write_npz(tmp_path / "own.npz", **{part: array for part, array in parts.items() if array is not None})


def refusal(path: Path | str, **arguments: Any) -> str:
    """Return the message with which `datasets.find` rejects a name or path."""
    with pytest.raises(DataError) as caught:
        datasets.find(str(path), **arguments)
    return str(caught.value)
