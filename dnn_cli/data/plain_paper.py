"""Find the digit of a picture that shows one digit on plain paper, and nothing else.

1. Estimate the background from the picture's border, which is one colour or a brightness that changes from side to
   side, and measure how much each pixel differs from it. Ink may be darker, lighter or of another hue.
2. Remove what is not the digit: noise, and specks apart from it.
3. Crop to the digit.

What is not plain, such as lines, frames, dark edges and shadows, counts as ink here; `digit_finding` leaves it out.
"""

import numpy as np

from dnn_cli.data.ink import MAX_INK, MAX_PLAIN_DEVIATION, MIN_CONTRAST, MIN_INK, MIN_NOISE_RATIO
from dnn_cli.data.pixels import Box, border_of, bounding_box, otsu_threshold, reduce_image, root_mean_square
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

COARSE_SIDE = 100  # A picture of twice this many pixels or more is reduced to find the digit, then cropped around it.
GRID_CELLS = 24  # Cells along the longer side of a picture, in which connected parts are searched.
MIN_PART = 0.1  # A separate part with less than this share of the largest part's area is a speck.


def crop_to_digit(pixels: Array) -> tuple[Array, Box]:
    """Return the ink in the bounding box of the digit, and the box.

    A large picture is reduced first, which is faster and averages its noise. If the digit is then too small to be
    scaled well, the ink is measured again in the part of the full picture around the digit.

    Args:
        pixels: (height, width, channels) uint8, with one or three channels.

    Returns:
        (height, width) float32, 0 for background and 1 for usual ink; and left, top, right and bottom in pixels.

    Raises:
        DataError: there is no digit: the picture is a single colour, or noise.
    """
    factor = max(1, max(pixels.shape) // COARSE_SIDE)
    ink = _measure_ink(_reduce_pixels(pixels, factor))
    rows, columns = bounding_box(ink > 0)
    digit = ink[rows, columns]
    longer = max(digit.shape)
    if factor == 1 or longer >= COARSE_SIDE // 2:
        return digit, tuple(factor * edge for edge in (columns.start, rows.start, columns.stop, rows.stop))
    margin = longer // 2
    top, left = (max(0, part.start - margin) * factor for part in (rows, columns))
    bottom, right = ((part.stop + margin) * factor for part in (rows, columns))
    digit, box = crop_to_digit(pixels[top:bottom, left:right])
    return digit, tuple(edge + start for edge, start in zip(box, (left, top, left, top), strict=True))


def _reduce_pixels(pixels: Array, factor: int) -> Array:
    if factor == 1:
        return pixels
    from PIL import Image

    return reduce_image(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels), factor)


def _measure_ink(pixels: Array) -> Array:
    """Return the amount of ink in each pixel: (height, width) float32, 0 for background and 1 for usual ink.

    The pixels that differ most from the background give the direction in colour space from paper to ink. The amount of
    ink is the length along that direction, so that shadows and colour noise in other directions count little.
    """
    values = pixels.astype(np.float32)
    difference = values - _estimate_background(values)
    distance = root_mean_square(difference)
    if distance.max() < MIN_CONTRAST:
        raise DataError("no digit found: the picture is a single colour")
    strong = distance > otsu_threshold(distance)
    direction = difference[strong].mean(axis=0)
    amount = difference @ (direction / (direction @ direction))  # Its mean over the strong pixels is 1.
    # The median absolute deviation times 1.4826 is the standard deviation of normal noise.
    noise = 1.4826 * float(np.median(np.abs(border_of(amount))))
    amount[(amount < max(MIN_INK, MIN_NOISE_RATIO * noise)) | ~_near_large_parts(strong)] = 0
    ink: Array = np.minimum(amount, MAX_INK)
    if not ink.any():
        raise DataError("no digit found: nothing stands out from the noise")
    return ink


def _estimate_background(values: Array) -> Array:
    """Return the picture without its digit, which broadcasts to (height, width, channels).

    It is the median colour of the border; or, if the border is not one colour, the plane through it by least squares,
    which follows light that falls from one side.
    """
    border = border_of(values)
    background: Array = np.median(border, axis=0)
    error = root_mean_square(border - background)
    if np.median(error) <= MAX_PLAIN_DEVIATION:
        return background
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in values.shape[:2])
    terms = np.stack(np.broadcast_arrays(np.float32(1), y[:, None], x), axis=-1)
    border_terms = border_of(terms)
    for _ in range(2):  # A digit may touch the border: pixels far from the estimate are left out of the next one.
        usual = error <= 3 * np.median(error)
        plane = np.linalg.lstsq(border_terms[usual], border[usual], rcond=None)[0]
        error = root_mean_square(border - border_terms @ plane)
    return np.asarray(terms @ plane)


def _near_large_parts(strong: Array) -> Array:
    """Return a mask of the pixels in or beside the large connected parts of `strong`: (height, width) bool.

    This removes specks of dirt and keeps digits of several strokes. Parts are connected in a coarse grid of cells,
    which is fast and bridges small gaps in a stroke.
    """
    cell = max(1, max(strong.shape) // GRID_CELLS)
    rows, columns = (np.arange(0, length, cell) for length in strong.shape)
    area = np.add.reduceat(np.add.reduceat(strong, rows, axis=0, dtype=np.int32), columns, axis=1)
    padded = np.pad(area, 1)
    stride = padded.shape[1]
    neighbours = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    areas = padded.ravel()
    parts = _connected_parts(set(np.flatnonzero(areas).tolist()), neighbours)
    sizes = [int(areas[list(part)].sum()) for part in parts]
    large = {place for part, size in zip(parts, sizes, strict=True) if size >= MIN_PART * max(sizes) for place in part}
    near = np.zeros(areas.size, bool)
    near[[place + step for place in large for step in neighbours]] = True
    cells = near.reshape(padded.shape)[1:-1, 1:-1]
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)[: strong.shape[0], : strong.shape[1]]


def _connected_parts(places: set[int], neighbours: list[int]) -> list[set[int]]:
    """Divide places, which are indices into a flat grid, into sets connected by steps to neighbours.

    Args:
        places: the indices; the set is emptied.
        neighbours: the differences between an index and its neighbours'.
    """
    parts = []
    while places:
        part: set[int] = set()
        edge = {places.pop()}
        while edge:
            part |= edge
            places -= edge
            edge = {place + step for place in edge for step in neighbours} & places
        parts.append(part)
    return parts
