"""Scale stored pixels to the numbers that a network takes."""

from typing import Any

import numpy as np

from dnn_cli.typing import Array

MAX_BYTE = 255


def to_unit_range(images: Array, dtype: Any = np.float32, out: Array | None = None) -> Array:
    """Return images as floats in [0, 1].

    Args:
        images: any shape, uint8 in 0..255 or floats in [0, 1].
        dtype: floating-point type of the result and of the division.
        out: array of the result's shape to write to; None for a new array.

    Returns:
        `out`, or an array of `dtype`. Images that have this type already are returned without a copy.
    """
    if images.dtype == np.uint8:
        scaled: Array = np.divide(images, dtype(MAX_BYTE), out=out, dtype=dtype)
        return scaled
    if out is None:
        return images.astype(dtype, copy=False)
    np.copyto(out, images)
    return out


def to_bytes(images: Array) -> Array:
    """Return images, uint8 in 0..255 or floats in [0, 1], as uint8."""
    return images if images.dtype == np.uint8 else np.rint(images * MAX_BYTE).astype(np.uint8)
