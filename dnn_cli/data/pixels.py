"""Operations on the pixels of pictures: scaling, reducing and measuring them."""

from typing import Any

import numpy as np

from dnn_cli.typing import Array

MAX_BYTE = 255

Box = tuple[float, ...]  # left, top, right and bottom in pixels
Slices = tuple[slice, slice]  # rows and columns


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


def reduce_image(image: Any, factor: int) -> Array:
    """Return a Pillow image as (height, width, channels), made smaller by averaging blocks of `factor`² pixels."""
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def border_of(pixels: Array) -> Array:
    """Return the outermost pixels of a picture as one row; each corner twice."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def bounding_box(mask: Array) -> Slices:
    """Return the rows and columns that contain every true pixel of a mask, of which there is at least one."""
    lines = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    return rows, columns


def root_mean_square(difference: Array) -> Array:
    """Return the root of the mean square over the last axis, the channels."""
    norm: Array = np.sqrt(np.einsum("...c,...c->...", difference, difference) / difference.shape[-1])
    return norm


def otsu_threshold(values: Array) -> float:
    """Return the threshold that divides values in two with the largest variance between the halves (Otsu 1979).

    Values below zero count as zero.
    """
    step = float(values.max()) / 255
    counts = np.bincount((values.clip(0).ravel() / step).astype(np.intp), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (sums * below[-1] - below * sums[-1]) ** 2 / (below * above)
    return float(np.nanargmax(between) + 1) * step if np.isfinite(between).any() else step
