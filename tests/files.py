"""Dataset files as users have them, whole or damaged, and what is said of those that are refused."""

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
    """`array` as an IDX file of bytes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def write_npz(path: Path, **parts: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **parts)
    return path


def stored(parts: dict[str, Any]) -> bytes:
    """An .npz file of `parts`, not compressed."""
    buffer = io.BytesIO()
    np.savez(buffer, **parts)
    return buffer.getvalue()


def write_idx(folder: Path, parts: dict[str, Array], *, gzipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in parts.items():
        content = gzip.compress(idx(array)) if gzipped else idx(array)
        (folder / (IDX[part] + ".gz" * gzipped)).write_bytes(content)
    return folder


def digits(count: int = 8) -> dict[str, Array]:
    """Sound training and test parts of a user's own."""
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 4)
    labels = np.arange(count) % 3
    return {"x_train": images, "y_train": labels, "x_test": images[::-1], "y_test": labels[::-1]}


def user(tmp_path: Path, **changes: Any) -> Path:
    """An .npz of `digits` with some parts changed, or left out where the change is None."""
    parts = {**digits(), **changes}
    return write_npz(tmp_path / "own.npz", **{part: array for part, array in parts.items() if array is not None})


def refusal(path: Path | str, **arguments: Any) -> str:
    with pytest.raises(DataError) as caught:
        datasets.find(str(path), **arguments)
    return str(caught.value)
