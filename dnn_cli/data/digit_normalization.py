"""Turn a picture of one digit into an image like those of MNIST: light on dark, scaled, and centred by mass.

Y. LeCun, C. Cortes and C. Burges describe how MNIST was made (in "The MNIST database of handwritten digits"): the
bilevel digits of NIST were scaled to fit a box of 20×20 pixels with their aspect ratio preserved, which gave them grey
levels by anti-aliasing; then each was placed in 28×28 pixels with its centre of mass in the middle. A network trained
on MNIST has seen no other images, so every picture goes through the same steps here:

1. Measure the ink: estimate the background from the picture's border, which is one colour or a brightness that changes
   from side to side, and measure how much each pixel differs from it. Ink may be darker, lighter or of another hue.
2. Remove what is not the digit: noise, and specks apart from it.
3. Crop to the digit, and scale it to the box of 20×20 pixels.
4. Place it in 28×28 pixels with its centre of mass in the middle.
"""

from typing import Any

import numpy as np

from dnn_cli.errors import DataError
from dnn_cli.typing import Array

IMAGE_SIDE = 28  # Pixels along a side of MNIST's images.
BOX_SIDE = 20  # Pixels along the longer side of the digits in them.
COARSE_SIDE = 100  # A picture of twice this many pixels or more is reduced to find the digit, then cropped around it.
GRID_CELLS = 24  # Cells along the longer side of a picture, in which connected parts are searched.
MIN_CONTRAST = 24  # Least difference, of 255, between the strongest ink and the background.
MAX_PLAIN_DEVIATION = 2  # A border whose median difference from its median colour is at most this is one colour.
MIN_INK = 0.12  # Fainter ink is background. The mean ink of the strong pixels is 1.
MAX_INK = 1.3  # Stronger ink is clipped, so that a few very dark pixels do not make the others look faint.
MIN_PART = 0.1  # A separate part with less than this share of the largest part's area is a speck.
MIN_NOISE_RATIO = 5  # Ink below this many standard deviations of the border's noise is background.

Box = tuple[slice, slice]  # rows and columns


def normalize(pixels: Array, side: int = IMAGE_SIDE) -> Array:
    """Return the digit of a picture as an image like those of MNIST.

    A picture that is such an image already is returned unchanged.

    Args:
        pixels: (height, width, channels) uint8, with one or three channels.
        side: side of the square image to return; the box of the digit is scaled with it.

    Returns:
        (side, side) uint8, from 0 for the background to 255 for the strongest ink.

    Raises:
        DataError: there is no digit: the picture is a single colour, or noise.
    """
    if _is_normalized(pixels, side):
        return pixels[..., 0]
    return _centre(_scale_to_box(_crop_to_digit(pixels), _box_side(side)), side)


def reduce_image(image: Any, factor: int) -> Array:
    """Return a Pillow image as (height, width, channels), made smaller by averaging blocks of `factor`² pixels."""
    pixels = np.asarray(image.reduce(factor) if factor > 1 else image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _is_normalized(pixels: Array, side: int) -> bool:
    """Return whether the picture is of the right size, light on black, and its digit scaled and centred."""
    if pixels.shape != (side, side, 1) or np.median(_border(pixels)) > 0 or not pixels.any():
        return False
    grey = pixels[..., 0]
    longer = max(grey[_bounding_box(grey > 0)].shape)
    # A few digits of MNIST are one pixel smaller than the box.
    return _box_side(side) - 1 <= longer <= _box_side(side) and _centre_of_mass(grey) == (side // 2, side // 2)


def _crop_to_digit(pixels: Array) -> Array:
    """Return the ink in the bounding box of the digit: (height, width) float32, 0 for background and 1 for usual ink.

    A large picture is reduced first, which is faster and averages its noise. If the digit is then too small to be
    scaled well, the ink is measured again in the part of the full picture around the digit.
    """
    factor = max(1, max(pixels.shape) // COARSE_SIDE)
    ink = _measure_ink(_reduce_pixels(pixels, factor))
    box = _bounding_box(ink > 0)
    digit = ink[box]
    longer = max(digit.shape)
    if factor == 1 or longer >= COARSE_SIDE // 2:
        return digit
    margin = longer // 2
    around = (slice(max(0, part.start - margin) * factor, (part.stop + margin) * factor) for part in box)
    return _crop_to_digit(pixels[tuple(around)])


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
    distance = _root_mean_square(difference)
    if distance.max() < MIN_CONTRAST:
        raise DataError("no digit found: the picture is a single colour")
    strong = distance > _otsu_threshold(distance)
    direction = difference[strong].mean(axis=0)
    amount = difference @ (direction / (direction @ direction))  # Its mean over the strong pixels is 1.
    # The median absolute deviation times 1.4826 is the standard deviation of normal noise.
    noise = 1.4826 * float(np.median(np.abs(_border(amount))))
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
    border = _border(values)
    background: Array = np.median(border, axis=0)
    error = _root_mean_square(border - background)
    if np.median(error) <= MAX_PLAIN_DEVIATION:
        return background
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in values.shape[:2])
    terms = np.stack(np.broadcast_arrays(np.float32(1), y[:, None], x), axis=-1)
    border_terms = _border(terms)
    for _ in range(2):  # A digit may touch the border: pixels far from the estimate are left out of the next one.
        usual = error <= 3 * np.median(error)
        plane = np.linalg.lstsq(border_terms[usual], border[usual], rcond=None)[0]
        error = _root_mean_square(border - border_terms @ plane)
    return np.asarray(terms @ plane)


def _root_mean_square(difference: Array) -> Array:
    """Return the root of the mean square over the last axis, the channels."""
    norm: Array = np.sqrt(np.einsum("...c,...c->...", difference, difference) / difference.shape[-1])
    return norm


def _border(pixels: Array) -> Array:
    """Return the outermost pixels of a picture as one row; each corner twice."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _otsu_threshold(values: Array) -> float:
    """Return the threshold that divides values >= 0 in two with the largest variance between the halves (Otsu 1979)."""
    step = float(values.max()) / 255
    counts = np.bincount((values.ravel() / step).astype(np.intp), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (sums * below[-1] - below * sums[-1]) ** 2 / (below * above)
    return float(np.nanargmax(between) + 1) * step


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


def _bounding_box(mask: Array) -> Box:
    """Return the rows and columns that contain every true pixel of a mask, of which there is at least one."""
    lines = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    return rows, columns


def _scale_to_box(digit: Array, size: int) -> Array:
    """Scale the digit so that its longer side has `size` pixels, with grey levels by anti-aliasing; returns uint8."""
    from PIL import Image

    height, width = digit.shape
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    ink = np.asarray(Image.fromarray(digit).resize(shape, method))
    grey: Array = np.clip(ink / ink.max(), 0, 1) * 255
    return np.rint(grey).astype(np.uint8)


def _centre(digit: Array, side: int) -> Array:
    """Place the digit in (side, side) with its centre of mass in the middle, or as near to it as the digit fits."""
    centres = zip(_centre_of_mass(digit), digit.shape, strict=True)
    starts = [min(max(side // 2 - centre, 0), side - length) for centre, length in centres]
    image = np.zeros((side, side), np.uint8)
    image[tuple(slice(start, start + length) for start, length in zip(starts, digit.shape, strict=True))] = digit
    return image


def _centre_of_mass(grey: Array) -> tuple[int, int]:
    """Return the row and the column of the pixel that contains the centre of mass."""
    rows, columns = grey.sum(axis=1, dtype=np.float64), grey.sum(axis=0, dtype=np.float64)
    mean = (float(line @ (np.arange(len(line)) + 0.5) / line.sum()) for line in (rows, columns))
    row, column = map(int, mean)
    return row, column


def _box_side(side: int) -> int:
    """Return the longer side of the digits in images of (side, side) pixels."""
    return max(1, round(side * BOX_SIDE / IMAGE_SIDE))
