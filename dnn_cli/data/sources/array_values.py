"""Recognize how arrays from elsewhere store images and labels, and bring them into the form that `Split` describes.

What can be read in one way only is converted, and said; what can be read in two ways is an error that shows both and
the setting that decides.
"""

from collections.abc import Callable
from math import isqrt, prod

import numpy as np

from dnn_cli.data import formats
from dnn_cli.data.reading import Reading
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

CHANNELS = (1, 3, 4)  # Numbers of channels of usual pictures.
LEAST_SIDE = 5  # A smaller side is taken for the axis of the channels.
TWELVE_BITS, SIXTEEN_BITS = 4095, 65_535

Say = Callable[[str], None]


def to_images(array: Array, place: str, reading: Reading, say: Say) -> Array:
    """Return images (n, height, width[, channels]) of uint8 in 0..255 or float32 in [0, 1].

    Args:
        array: as it was found.
        place: where it was read, with which messages begin.
        reading: its `image_shape` and `value_range` decide what is ambiguous.
        say: is called with each conversion, a sentence.

    Raises:
        DataError: the shape or the values are not those of images, or can be read in two ways.
    """
    if not array.size:
        return formats.as_images(array, place)  # raises
    shaped = _shaped(array, place, reading.image_shape, say)
    if shaped.ndim not in (3, 4):
        return formats.as_images(shaped, place)  # raises
    return formats.as_images(_scaled(shaped, place, reading.value_range, say), place)


def _shaped(array: Array, place: str, wanted: tuple[int, ...] | None, say: Say) -> Array:
    if array.ndim == 2:
        return _from_rows(array, place, wanted, say)
    if wanted is None:
        return _channels_last(array, place, say) if _is_channels_first(array.shape[1:]) else array
    if array.shape[1:] == wanted:
        return array
    if array.ndim == 4 and (*array.shape[2:], array.shape[1]) == wanted:
        return _channels_last(array, place, say)
    raise DataError(f"{place}: the images are {_sides(array.shape[1:])}, but data.image_shape is {list(wanted)}")


def _from_rows(array: Array, place: str, wanted: tuple[int, ...] | None, say: Say) -> Array:
    pixels = array.shape[1]
    if wanted is None:
        side, rgb_side = isqrt(pixels), isqrt(pixels // 3)
        proposals = [f"[{side}, {side}]"] * (side * side == pixels)
        proposals += [f"[{rgb_side}, {rgb_side}, 3]"] * (3 * rgb_side * rgb_side == pixels)
        lines = " or ".join(f"data.image_shape: {one}" for one in proposals or ["[HEIGHT, WIDTH]"])
        raise DataError(
            f"{place}: images must have height and width, but these are rows of {pixels} pixels; set {lines}"
        )
    if prod(wanted) != pixels:
        raise DataError(f"{place}: rows of {pixels} pixels do not have data.image_shape, {list(wanted)}")
    if _is_channels_first(wanted):
        return _channels_last(array.reshape(-1, *wanted), place, say)
    say(f"{place}: rows of {pixels} pixels are images of {_sides(wanted)}")
    return array.reshape(-1, *wanted)


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in CHANNELS and min(shape[1:]) >= LEAST_SIDE


def _channels_last(array: Array, place: str, say: Say) -> Array:
    say(f"{place}: channels first, {_sides(array.shape[1:])}; stored as {_sides((*array.shape[2:], array.shape[1]))}")
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _scaled(array: Array, place: str, wanted: tuple[float, float] | None, say: Say) -> Array:
    kind = array.dtype.kind
    if kind == "b":
        say(f"{place}: true and false are white and black")
        return array.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf" or (kind == "f" and not np.isfinite(array).all()):
        return array  # `formats.as_images` raises
    low, high = array.min().item(), array.max().item()
    if wanted is None:
        wanted = _recognized_range(kind, low, high, array.dtype.itemsize, place)
        if wanted is not None:
            say(f"{place}: {_kind(kind)} from {low:g} to {high:g}, of which {wanted[1]:g} is white")
    elif low < wanted[0] or high > wanted[1]:
        raise DataError(f"{place}: the pixels lie in {low:g} to {high:g}, but data.value_range is {list(wanted)}")
    return array if wanted is None else _to_unit(array, *wanted)


def _recognized_range(kind: str, low: float, high: float, item_bytes: int, place: str) -> tuple[float, float] | None:
    """Return the values of black and white; None if the array can stay as it is, or is none of images."""
    if low < 0:
        if kind == "f" and low >= -1 and high <= 1:
            raise DataError(
                f"{place}: pixels must lie in 0 to 1, got {low:g} to {high:g}; "
                "if -1 is black and 1 is white, set data.value_range: [-1, 1]"
            )
        return None
    if kind == "f":
        if high <= 1 or high > SIXTEEN_BITS:
            return None
        if high < 2:
            raise _ambiguous(
                f"{place}: the pixels lie in {low:g} to {high:g}",
                "slightly above [0, 1], or almost black in 0 to 255",
                (1, 255),
            )
        if high > 255:
            raise _ambiguous(
                f"{place}: the pixels lie in {low:g} to {high:g}",
                "12-bit or 16-bit levels",
                (TWELVE_BITS, SIXTEEN_BITS),
            )
        return 0, 255
    if high == 1:
        raise _ambiguous(
            f"{place}: the pixels lie in {low:g} to {high:g}", "black and white, or almost black in 0 to 255", (1, 255)
        )
    if high <= 255 or high > SIXTEEN_BITS or item_bytes == 1:
        return None
    if high <= TWELVE_BITS:
        raise _ambiguous(
            f"{place}: the pixels lie in {low:g} to {high:g}", "12-bit or 16-bit levels", (TWELVE_BITS, SIXTEEN_BITS)
        )
    return 0, SIXTEEN_BITS


def _ambiguous(found: str, readings: str, whites: tuple[int, int]) -> DataError:
    lines = " or ".join(f"data.value_range: [0, {white}]" for white in whites)
    return DataError(f"{found}, which can be {readings}; set {lines}")


def _to_unit(array: Array, black: float, white: float) -> Array:
    """Return uint8 if the values are whole bytes already, and float32 in [0, 1] otherwise."""
    if (black, white) == (0, 255) and (array.dtype.kind in "iu" or (array == np.rint(array)).all()):
        return array.astype(np.uint8)
    scaled: Array = ((array.astype(np.float64) - black) / (white - black)).astype(np.float32)
    return scaled


def to_numbers(array: Array, place: str, say: Say) -> Array:
    """Return labels (n,) int32 for (n,) or (n, 1) whole numbers, or for one-hot rows (n, classes).

    Raises:
        DataError: the array is something else.
    """
    is_row = array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iufb" and array.size > 0
    if is_row and ((array == 0) | (array == 1)).all() and (np.count_nonzero(array, axis=1) == 1).all():
        say(f"{place}: one-hot rows of {array.shape[1]} classes")
        array = array.argmax(axis=1)
    return formats.as_labels(array, place)


def to_names(array: Array, place: str) -> list[str] | None:
    """Return labels that are strings, (n,) or (n, 1), as a list; None if the labels are not strings."""
    if array.dtype.kind not in "US":
        return None
    flat = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or not flat.size:
        raise DataError(f"{place}: labels must have the shape (n,), got {array.shape}")
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in flat.tolist()]
    except ValueError:  # bytes that are not UTF-8, or numbers that are no characters
        raise DataError(f"{place}: the labels are strings, but not Unicode") from None


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _kind(kind: str) -> str:
    return "floats" if kind == "f" else "whole numbers"
