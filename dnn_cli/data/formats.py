"""Read the two file formats of datasets, ``.npz`` and IDX, and check that an array can be images or labels.

An ``.npz`` file holds several arrays by name; an IDX file, gzipped or not, holds one. These files are untrusted: sizes
are limited before anything is read, memory grows only with the bytes that are present whatever a header claims, and
pickled objects are rejected. A file that cannot be used raises a `DataError` that names the place, what was found and
what is allowed.
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
from dnn_cli.files import open_archive, open_regular
from dnn_cli.typing import Array

MAX_BYTES = 4 * 2**30  # Largest array that is read.
MAX_SIDE = 1024  # Largest height, width and number of channels of an image.
MAX_CLASSES = 1000  # Labels are smaller than this.

Stream = IO[bytes] | io.BufferedIOBase

_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

# Type codes of the IDX format. All numbers are big-endian.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class TooLargeError(DataError):
    """An array needs more memory than the caller allows."""


def read_npz(path: Path, array_name: str, max_bytes: int = MAX_BYTES) -> Array:
    """Return one array of an ``.npz`` file, of any numeric type or of strings.

    Args:
        path: the file.
        array_name: the array's name, without ``.npy``.
        max_bytes: largest array to read.

    Raises:
        DataError: the file is damaged, has no such array, or the array is too large or holds pickled objects.
    """
    place = f"{path}: {array_name}"
    member = f"{array_name}.npy"
    with _damage_as_data_error(str(path)), open_archive(path) as archive:
        if member not in archive.namelist():
            found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:8]) or "nothing"
            raise DataError(f"{path}: there is no array {array_name} in this file (found: {found})")
        with _damage_as_data_error(place), archive.open(member) as stream:
            if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("unknown compression; save it with numpy.savez or numpy.savez_compressed")
            return _read_npy(stream, place, max_bytes)


def npz_names(path: Path) -> list[str]:
    """Return the names of the arrays in an ``.npz`` file; raises `DataError` if it is damaged."""
    with _damage_as_data_error(str(path)), open_archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_npy(path: Path, max_bytes: int = MAX_BYTES) -> Array:
    """Return the array of an ``.npy`` file, of any numeric type or of strings; raises `DataError` like `read_npz`."""
    with _damage_as_data_error(str(path)), open_regular(path) as stream:
        return _read_npy(stream, str(path), max_bytes)


def _read_npy(stream: Stream, place: str, max_bytes: int) -> Array:
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_HEADERS:
        raise DataError(f"{place}: version {version} of the .npy format is not supported; store plain numbers")
    try:
        shape, fortran, dtype = _NPY_HEADERS[version](stream)
    except Exception:  # NumPy does not catch its parser's errors, from SyntaxError to TokenError.
        raise ValueError("the header does not describe an array") from None
    if dtype.hasobject:
        raise DataError(f"{place}: contains pickled Python objects, which are never loaded; store plain numbers")
    size = math.prod(shape) * dtype.itemsize
    if max_bytes < size <= MAX_BYTES:
        raise TooLargeError(f"{place}: needs {size:,} bytes of memory, at most {max_bytes:,} are allowed")
    return _read_numbers(stream, shape, dtype, max_bytes, "F" if fortran else "C")


def read_idx(path: Path, max_bytes: int = MAX_BYTES) -> Array:
    """Return the array of an IDX file, gzipped or not, of any numeric type.

    Args:
        path: the file.
        max_bytes: largest array to read.

    Raises:
        DataError: the file is damaged or not an IDX file, or the array is too large.
    """
    with _damage_as_data_error(str(path)), open_regular(path) as raw:
        return read_idx_stream(raw, str(path), max_bytes)


def read_idx_stream(raw: IO[bytes], place: str, max_bytes: int = MAX_BYTES) -> Array:
    """Return the array of an IDX file that is open and can be rewound; see `read_idx`."""
    with _damage_as_data_error(place):
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream: Stream = gzip.GzipFile(fileobj=raw) if gzipped else raw
        magic = stream.read(4)
        if magic[:2] != b"\0\0" or len(magic) < 4 or magic[2] not in _IDX_TYPES or not 1 <= magic[3] <= 4:
            raise ValueError(f"not an IDX file: its first bytes are {magic.hex() or 'missing'}")
        shape = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
        return _read_numbers(stream, shape, np.dtype(_IDX_TYPES[magic[2]]), max_bytes)


def _read_numbers(
    stream: Stream, shape: tuple[int, ...], dtype: np.dtype[Any], max_bytes: int, order: Literal["C", "F"] = "C"
) -> Array:
    """Read the rest of `stream` as an array of this shape.

    Memory grows only with the bytes that are present, so that a false header cannot exhaust it.

    Raises:
        ValueError: the shape is too large, or fewer or more bytes are present than it needs.
    """
    size = math.prod(shape) * dtype.itemsize
    # True and False are integers to NumPy's parser, but not to its arrays. Without a size, any shape would fit.
    if size > max_bytes or not dtype.itemsize or any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"the header claims the shape {shape} of {dtype}; at most {max_bytes:,} bytes are supported")
    content = bytearray()
    while len(content) < size and (chunk := stream.read(min(2**20, size - len(content)))):
        content += chunk
    if len(content) < size:
        raise ValueError(f"the header claims {size:,} bytes, but the file has only {len(content):,}")
    if stream.read(1):
        raise ValueError(f"the header claims {size:,} bytes, but the file has more")
    return np.ndarray(shape, dtype, content, order=order)


@contextmanager
def _damage_as_data_error(place: str) -> Iterator[None]:
    """Turn the errors of reading a damaged file into a `DataError` whose message begins with `place`."""
    try:
        yield
    except MemoryError:
        raise DataError(f"{place}: there is not enough memory to read it") from None
    except (OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error) as error:
        raise DataError(f"{place}: damaged or unreadable: {reason(error)}") from None
    except zipfile.BadZipFile as error:
        raise DataError(f"{place}: damaged, or not an .npz file: {error}") from None


def as_images(array: Array, place: str) -> Array:
    """Check that `array` can be images, and return them in one of two types.

    Args:
        array: (n, height, width[, channels]) with n >= 1; whole numbers in 0..255, or floats in [0, 1].
        place: where it was read, with which an error message begins.

    Returns:
        The same shape, C-contiguous: uint8 in 0..255 or float32 in [0, 1].

    Raises:
        DataError: the array has another shape, type or range.
    """
    _check_not_empty(array, place)
    if array.ndim not in (3, 4):
        raise DataError(
            f"{place}: images must have the shape (n, height, width) or (n, height, width, channels), got {array.shape}"
        )
    if max(array.shape[1:]) > MAX_SIDE:
        raise DataError(f"{place}: images may have at most {MAX_SIDE:,} pixels a side, got {array.shape[1:]}")
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
    """Check that `array` can be labels, and return them as int32.

    Args:
        array: (n,) or (n, 1) whole numbers in [0, `MAX_CLASSES`), with n >= 1.
        place: where it was read, with which an error message begins.

    Returns:
        (n,) int32, C-contiguous.

    Raises:
        DataError: the array has another shape, type or range.
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
        raise DataError(f"{place}: the array is empty; at least one image is needed")


def idx_md5(array: Array) -> str | None:
    """Return the MD5 of `array` as an uncompressed IDX file of bytes; None if its values do not fit into bytes.

    Args:
        array: numbers >= 0, as `as_images` and `as_labels` return them.
    """
    if array.dtype.kind == "f" or array.max() > 255:
        return None
    digest = hashlib.md5(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape), usedforsecurity=False)
    digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def sha256(*arrays: Array) -> str:
    """Return ``sha256:`` and a digest of the arrays' types, shapes and values, independent of their memory layout."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return f"sha256:{digest.hexdigest()}"
