"""Read CSV files of pixels or of paths. The files are untrusted: lines and memory are bounded, whatever they claim."""

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import isqrt, prod
from pathlib import Path
from typing import TextIO

import numpy as np

from dnn_cli.data import class_names
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError, reason
from dnn_cli.typing import Array

LABEL_NAMES = ("label", "class")
PATH_NAMES = ("path", "file", "filename", "image")
CHUNK_ROWS = 2000  # Rows that are converted at a time.
MAX_NUMBER, MAX_LABEL = 16, 1000  # Characters of a pixel and of a label, with what may stand around them.
ROW_BYTES = 200  # Memory of a row of a list besides its text.
MAX_LINE = 2**24  # Characters of a line; a longer one is no row of pixels.


@dataclass(frozen=True)
class Header:
    """The columns of a CSV file.

    Attributes:
        label: the column of labels; None if there is none.
        path: the column of paths; None if the rows hold pixels.
        pixels: the columns of pixels, from the upper left one on; empty if the rows hold paths.
        columns: the number of columns.
    """

    label: int | None
    path: int | None
    pixels: tuple[int, ...]
    columns: int


def read_header(file: Path) -> Header:
    """Read the first line of a CSV file.

    Raises:
        DataError: it does not name the columns of pixels or of paths.
    """
    with _opened(file) as stream:
        names = [name.strip().lower() for name in next(csv.reader([stream.readline(MAX_LINE)]), [])]
    places = {name: place for place, name in enumerate(names)}
    if len(places) < len(names):
        raise DataError(f"{file}: a column is named twice in the first line")
    label = next((places[name] for name in LABEL_NAMES if name in places), None)
    path = next((places[name] for name in PATH_NAMES if name in places), None)
    numbers = {place: number for place, name in enumerate(names) if (number := _pixel_number(name))}
    if path is None and not numbers:
        shown = class_names.listed(names) or "nothing"
        raise DataError(
            f"{file}: the first line must name the columns, label,pixel0,pixel1,… or path,label; it has {shown}"
        )
    pixels = tuple(sorted(numbers, key=lambda place: numbers[place])) if path is None else ()
    return Header(label, path, pixels, len(names))


def _pixel_number(name: str) -> tuple[int, int] | None:
    """Return the place of ``pixel12`` or of ``3x4`` (row and column) in the order of pixels; None for other names."""
    if found := re.fullmatch(r"(?:pixel|px)_?(\d{1,9})|(\d{1,9})x(\d{1,9})", name):
        single, row, column = found.groups()
        return (0, int(single)) if single else (int(row), int(column))
    return None


def read_pixels(file: Path, header: Header, reading: Reading) -> tuple[Array, list[str]]:
    """Read the pixels of all rows, and the text in the column of labels.

    Returns:
        (n, height, width[, channels]) uint8, and n labels, or none if there is no such column.

    Raises:
        DataError: a row has another number of columns, or a pixel is not a whole number in 0..255.
    """
    shape = _image_shape(file, len(header.pixels), reading)
    chunks: list[Array] = []
    texts: list[str] = []
    count = 0
    with _opened(file) as stream:
        stream.readline(MAX_LINE)
        lines = _numbered_lines(stream, file, header)
        while chunk := list(islice(lines, CHUNK_ROWS)):
            count += len(chunk)
            reading.check_memory(file, count, shape)
            chunks.append(_to_bytes(chunk, header, file))
            if header.label is not None:
                texts += [line.split(",", header.label + 1)[header.label].strip().strip('"') for _, line in chunk]
    if not count:
        raise DataError(f"{file}: there are no rows below the first line")
    return np.concatenate(chunks).reshape(-1, *shape), texts


def _image_shape(file: Path, pixels: int, reading: Reading) -> tuple[int, ...]:
    shape, side = reading.image_shape, isqrt(pixels)
    if shape is None and side * side == pixels:
        return side, side
    if shape is None:
        raise DataError(f"{file}: rows of {pixels} pixels are not square; set data.image_shape: [HEIGHT, WIDTH]")
    if prod(shape) != pixels:
        raise DataError(f"{file}: rows of {pixels} pixels do not have data.image_shape, {list(shape)}")
    return shape


def _to_bytes(chunk: Sequence[tuple[int, str]], header: Header, file: Path) -> Array:
    """Return the pixels of some lines, (n, pixels) uint8."""
    lines = [line for _, line in chunk]
    try:
        return np.loadtxt(lines, np.uint8, delimiter=",", quotechar='"', comments=None, usecols=header.pixels, ndmin=2)
    except (ValueError, OverflowError):
        raise DataError(_wrong_pixel(chunk, header, file)) from None


def _wrong_pixel(chunk: Sequence[tuple[int, str]], header: Header, file: Path) -> str:
    for number, line in chunk:
        row = line.split(",")
        for text in (row[column].strip().strip('"') for column in header.pixels):
            if not (text.isascii() and text.isdecimal() and int(text) <= 255):
                return f"{file}, line {number}: pixels must be whole numbers in 0 to 255, got {text[:20]!r}"
    return f"{file}: the rows cannot be read"


def _numbered_lines(stream: TextIO, file: Path, header: Header) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line below the first that is not empty."""
    longest = min(MAX_LINE, MAX_LABEL + MAX_NUMBER * header.columns)
    for number, line in enumerate(_bounded(stream, file, longest), start=2):
        if not line.strip():
            continue
        if (columns := line.count(",") + 1) != header.columns:
            raise DataError(f"{file}, line {number}: {columns} columns, but the first line names {header.columns}")
        yield number, line.rstrip("\r\n")


def read_list(file: Path, header: Header, reading: Reading) -> list[tuple[int, str, str]]:
    """Return line, path and label of each row of a list; raises `DataError` if the rows need too much memory."""
    assert header.path is not None
    label, size = header.label, 0
    found = []
    with _opened(file) as stream:
        for line, row in _rows(stream, file, header):
            size += ROW_BYTES + sum(map(len, row))
            if size > reading.memory:
                raise DataError(
                    f"{file}: the rows need more memory than the {reading.memory:,} bytes of data.max_bytes"
                )
            found.append((line, row[header.path], row[label] if label is not None else ""))
    if not found:
        raise DataError(f"{file}: there are no rows below the first line")
    return found


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """Open a CSV file, gzipped or not, and turn what is wrong with it into a `DataError`."""
    try:
        with file.open("rb") as raw:
            is_gzipped = raw.read(2) == b"\x1f\x8b"
        opener = gzip.open if is_gzipped else open
        with opener(file, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise DataError(f"{file}: damaged or unreadable: {reason(error)}") from None


def _rows(stream: TextIO, file: Path, header: Header) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the columns of each row below the header."""
    reader = csv.reader(_bounded(stream, file))
    next(reader, None)
    for row in reader:
        if not row:
            continue
        if len(row) != header.columns:
            raise DataError(
                f"{file}, line {reader.line_num}: {len(row)} columns, but the first line names {header.columns}"
            )
        yield reader.line_num, row


def _bounded(stream: TextIO, file: Path, longest: int | None = None) -> Iterator[str]:
    """Yield the lines of a file; raise `DataError` for one that is longer than any row."""
    longest = longest or MAX_LINE
    while line := stream.readline(longest):
        if len(line) == longest:
            raise DataError(f"{file}: a line has more than {longest - 1:,} characters")
        yield line
