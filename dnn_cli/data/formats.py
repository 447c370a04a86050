"""Bytes on disk → checked NumPy arrays: the two formats that datasets come in, and what an array must be.

An ``.npz`` file holds arrays by name; an IDX file, gzipped or not, holds one. Sizes are bounded before anything is
read, headers are not believed beyond the bytes that are there, and pickled objects are refused. Whatever cannot be
used is a `DataError` that says where, what was found and what is allowed.
"""

import gzip
import hashlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from dnn_cli.errors import DataError, reason
from dnn_cli.typing import Array

MAX_BYTES = 4 * 2**30
MAX_SIDE = 1024
MAX_CLASSES = 1000

Stream = IO[bytes] | io.BufferedIOBase

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_npz(path: Path, part: str) -> Array:
    """The array `part` of an ``.npz`` file, whatever its type; pickled objects are refused."""
    place = f"{path}: {part}"
    with _damage(str(path)), zipfile.ZipFile(path) as archive:
        if f"{part}.npy" not in archive.namelist():
            held = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:8]) or "nothing"
            raise DataError(f"{path}: there is no {part} in it (it holds {held})")
        with _damage(place), archive.open(f"{part}.npy") as stream:
            if archive.getinfo(f"{part}.npy").compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is compressed in a way that NumPy does not write")
            version = np.lib.format.read_magic(stream)
            if version not in _NPY_HEADERS:
                raise DataError(f"{place}: version {version} of the .npy format is not one for plain numbers")
            try:
                shape, fortran, dtype = _NPY_HEADERS[version](stream)
            except Exception:  # NumPy lets through what its parser raises, from SyntaxError to TokenError
                raise ValueError("its header does not describe an array") from None
            if dtype.hasobject:
                raise DataError(
                    f"{place}: it holds pickled Python objects, which are never loaded; store plain numbers"
                )
            return _payload(stream, shape, dtype, "F" if fortran else "C")


def read_idx(path: Path) -> Array:
    """The array of an IDX file, gzipped or not, whatever its type."""
    with _damage(str(path)), path.open("rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Stream = gzip.GzipFile(fileobj=raw) if gzipped else raw
        magic = stream.read(4)
        if magic[:2] != b"\0\0" or len(magic) < 4 or magic[2] not in _IDX_TYPES or not 1 <= magic[3] <= 4:
            raise ValueError(f"it begins with {magic.hex() or 'nothing'}, which no IDX file does")
        shape = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
        return _payload(stream, shape, np.dtype(_IDX_TYPES[magic[2]]))


def _payload(stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C") -> Array:
    """All that is left in `stream`, which must be an array of this shape; memory grows only with what is there."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES or any(side < 0 for side in shape):
        raise ValueError(f"its header claims the shape {shape}; at most {MAX_BYTES:,} bytes are read")
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(2**20, size - len(content)))):
        content += chunk
    if len(content) < size:
        raise ValueError(f"its header claims {size:,} bytes, but only {len(content):,} are there")
    if stream.read(1):
        raise ValueError(f"its header claims {size:,} bytes, but more are there")
    return np.ndarray(shape, dtype, content, order=order)


@contextmanager
def _damage(place: str) -> Iterator[None]:
    """Turn what reading a damaged file raises into a `DataError` at `place`."""
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, OverflowError, MemoryError, struct.error) as error:
        raise DataError(f"{place}: damaged or unreadable: {reason(error)}") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{place}: damaged, or not an .npz file: {error}") from None


def as_images(array: Array, place: str) -> Array:
    """`array` as images: (n, height, width[, channels]), uint8 in 0..255 or float32 in [0, 1], n at least 1.

    Raises:
        DataError: it cannot be that; the message begins with `place`.
    """
    _check_not_empty(array, place)
    if array.ndim not in (3, 4):
        raise DataError(
            f"{place}: images must have the shape (n, height, width) or (n, height, width, channels), got {array.shape}"
        )
    if max(array.shape[1:]) > MAX_SIDE:
        raise DataError(f"{place}: an image may have sides of up to {MAX_SIDE:,} pixels, got {array.shape[1:]}")
    kind = array.dtype.kind
    if kind in "iu":
        low, high = array.min(), array.max()
        if low < 0 or high > 255:
            raise DataError(f"{place}: whole-number pixels must lie in 0 to 255, got {low} to {high}")
        return array.astype(np.uint8, order="C", copy=False)
    if kind == "f":
        if bad := array.size - np.count_nonzero(np.isfinite(array)):
            raise DataError(f"{place}: {bad:,} pixels are NaN or infinite")
        low, high = array.min(), array.max()
        if low < 0 or high > 1:
            raise DataError(
                f"{place}: pixels must lie in 0 to 1, got {low:g} to {high:g}; "
                "scale them to [0, 1], or store 0 to 255 as uint8"
            )
        return array.astype(np.float32, order="C", copy=False)
    raise DataError(f"{place}: pixels must be uint8 in 0 to 255 or floats in 0 to 1, got {array.dtype}")


def as_labels(array: Array, place: str) -> Array:
    """`array` as labels: (n,) int32 in [0, `MAX_CLASSES`), n at least 1; a column of them becomes a row.

    Raises:
        DataError: it cannot be that; the message begins with `place`.
    """
    _check_not_empty(array, place)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = "; for one-hot rows, store labels.argmax(axis=1)" if array.ndim == 2 else ""
        raise DataError(f"{place}: labels must have the shape (n,), got {array.shape}{hint}")
    if array.dtype.kind not in "iu":
        raise DataError(f"{place}: labels must be whole numbers, got {array.dtype}")
    low, high = array.min(), array.max()
    if low < 0 or high >= MAX_CLASSES:
        raise DataError(f"{place}: labels must lie in 0 to {MAX_CLASSES - 1}, got {low} to {high}")
    return array.astype(np.int32, order="C", copy=False)


def _check_not_empty(array: Array, place: str) -> None:
    if not array.size:
        raise DataError(f"{place}: it is empty; at least one image is needed")


def idx_md5(array: Array) -> str:
    """MD5 of `array` as an uncompressed IDX file of bytes; what does not fit into bytes has none."""
    if array.dtype.kind == "f" or array.max() > 255:
        return "of other than bytes"
    digest = hashlib.md5(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def sha256(*arrays: Array) -> str:
    """``sha256:`` and the digest of the arrays' types, shapes and numbers, whatever their order in memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return f"sha256:{digest.hexdigest()}"
