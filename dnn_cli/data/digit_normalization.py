"""A picture of a digit → what MNIST is: light on dark, in a box of 20×20 in 28×28, centred by its mass.

Y. LeCun, C. Cortes and C. Burges describe their set so: the digits were scaled to fit a box of 20×20 pixels, keeping
their aspect ratio, which by anti-aliasing gave them grey levels, and then put into 28×28 pixels with their centre of
mass in the middle. The same is done here to any picture of one digit.

The background is what the picture's border shows: one colour, or light that falls off to a side. Ink is what differs
from it, in whatever direction most of it does: darker, lighter, or of another hue.
"""

import numpy as np

from dnn_cli.errors import DataError
from dnn_cli.typing import Array

SIDE, BOX = 28, 20  # of MNIST's images, and of the digits in them
NEAR = 100  # pixels; a picture of twice this or more is looked at smaller, and then closer at the digit
CELLS = 24  # along a picture, when it is asked what hangs together
LEAST_CONTRAST = 24  # between ink and background, of 255 in grey
FLAT = 2  # of 255: a border that usually differs no more than this from its median is of one colour
LEAST_INK = 0.12  # of 1 for the usual ink: what is fainter is background
MOST_INK = 1.3  # what is stronger tells no more
LEAST_PART = 0.1  # of the largest part's ink: what is less, and apart from it, is a speck
NOISE = 5  # times the border's usual deviation: what is less is background

Box = tuple[slice, slice]  # rows and columns


def prepare(pixels: Array, side: int = SIDE) -> Array:
    """The digit in a picture, as MNIST would have it; what already is like that is given as it is.

    Args:
        pixels: (height, width, channels) uint8, with one channel or three.
        side: of the square image that is wanted; the recipe is scaled to it.

    Returns:
        (side, side) uint8, 0 the background and 255 the strongest ink.

    Raises:
        DataError: there is no digit, since it is all one colour, or noise.
    """
    if _is_ready(pixels, side):
        return pixels[..., 0]
    return _centred(_scaled(_digit(pixels), _box_side(side)), side)


def _is_ready(pixels: Array, side: int) -> bool:
    """Whether it is a light digit on black of MNIST's size, in its box, and centred."""
    if pixels.shape != (side, side, 1) or np.median(_border(pixels)) > 0 or not pixels.any():
        return False
    grey = pixels[..., 0]
    size = max(grey[_box(grey > 0)].shape)
    return _box_side(side) - 1 <= size <= _box_side(side) and _middle(grey) == (side // 2, side // 2)


def _digit(pixels: Array) -> Array:
    """How much ink, 1 being the usual, there is in each pixel of the digit's box: (height, width) float32."""
    factor = max(1, max(pixels.shape) // NEAR)
    ink = _ink(_smaller(pixels, factor))
    box = _box(ink > 0)
    digit = ink[box]
    size = max(digit.shape)
    if factor == 1 or size >= NEAR // 2:
        return digit
    around = (slice(max(0, part.start * factor - size // 2 * factor), (part.stop + size // 2) * factor) for part in box)
    return _digit(pixels[tuple(around)])


def _smaller(pixels: Array, factor: int) -> Array:
    if factor == 1:
        return pixels
    from PIL import Image

    smaller = np.asarray(Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).reduce(factor))
    return smaller.reshape(*smaller.shape[:2], -1)


def _ink(pixels: Array) -> Array:
    """How much ink, 1 being the usual, there is in each pixel: (height, width) float32, 0 where the background is."""
    values = pixels.astype(np.float32)
    difference = values - _background(values)
    distance = _norm(difference)
    if distance.max() < LEAST_CONTRAST:
        raise DataError("it holds no digit: it is all one colour")
    strong = distance > _threshold(distance)
    direction = difference[strong].mean(axis=0)
    amount = difference @ (direction / (direction @ direction))  # 1 for what is strong, in the mean
    noise = 1.4826 * float(np.median(np.abs(_border(amount))))
    amount[(amount < max(LEAST_INK, NOISE * noise)) | ~_hangs_together(strong)] = 0
    ink: Array = np.minimum(amount, MOST_INK)
    if not ink.any():
        raise DataError("it holds no digit: nothing in it stands out from noise")
    return ink


def _background(values: Array) -> Array:
    """The picture without its digit, of a shape that goes with (height, width, channels): one colour, or a plane."""
    border = _border(values)
    background: Array = np.median(border, axis=0)
    error = _norm(border - background)
    if np.median(error) <= FLAT:
        return background
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in values.shape[:2])
    places = np.stack(np.broadcast_arrays(np.float32(1), y[:, None], x), axis=-1)
    at = _border(places)
    for _ in range(2):  # the digit may touch the border: what is far from the plane is left out
        usual = error <= 3 * np.median(error)
        plane = np.linalg.lstsq(at[usual], border[usual], rcond=None)[0]
        error = _norm(border - at @ plane)
    return np.asarray(places @ plane)


def _norm(difference: Array) -> Array:
    """The root of the mean square over the channels."""
    norm: Array = np.sqrt(np.einsum("...c,...c->...", difference, difference) / difference.shape[-1])
    return norm


def _border(pixels: Array) -> Array:
    """The outermost pixels, in a row."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _threshold(values: Array) -> float:
    """Where to part values >= 0 in two, so that they differ least from the means of their parts (Otsu 1979)."""
    step = float(values.max()) / 255
    counts = np.bincount((values.ravel() / step).astype(np.intp), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (sums * below[-1] - below * sums[-1]) ** 2 / (below * above)
    return float(np.nanargmax(between) + 1) * step


def _hangs_together(strong: Array) -> Array:
    """Where the digit is, in cells of some pixels: the largest part of `strong`, and what is near it or like it."""
    cell = max(1, max(strong.shape) // CELLS)
    starts = (np.arange(0, length, cell) for length in strong.shape)
    rows, columns = starts
    mass = np.add.reduceat(np.add.reduceat(strong, rows, axis=0, dtype=np.int32), columns, axis=1)
    padded = np.pad(mass, 1)
    stride = padded.shape[1]
    steps = [dy * stride + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    ink = padded.ravel()
    parts = _parts(set(np.flatnonzero(ink).tolist()), steps)
    masses = [int(ink[list(part)].sum()) for part in parts]
    kept = {
        place for part, mass in zip(parts, masses, strict=True) if mass >= LEAST_PART * max(masses) for place in part
    }
    around = np.zeros(ink.size, bool)
    around[[place + step for place in kept for step in steps]] = True
    cells = around.reshape(padded.shape)[1:-1, 1:-1]
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)[: strong.shape[0], : strong.shape[1]]


def _parts(places: set[int], steps: list[int]) -> list[set[int]]:
    """The places, parted into those that one can go between by `steps`."""
    parts = []
    while places:
        part: set[int] = set()
        edge = {places.pop()}
        while edge:
            part |= edge
            places -= edge
            edge = {place + step for place in edge for step in steps} & places
        parts.append(part)
    return parts


def _box(mask: Array) -> Box:
    """The rows and columns that hold all that is in the mask, which is not empty."""
    lines = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(int(line[0]), int(line[-1]) + 1) for line in lines)
    return rows, columns


def _scaled(digit: Array, size: int) -> Array:
    """The digit with its longer side at `size` pixels, with the grey levels of anti-aliasing, as uint8."""
    from PIL import Image

    height, width = digit.shape
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    ink = np.asarray(Image.fromarray(digit).resize(shape, way))
    grey: Array = np.clip(ink / ink.max(), 0, 1) * 255
    return np.rint(grey).astype(np.uint8)


def _centred(digit: Array, side: int) -> Array:
    """The digit in (side, side) with its centre of mass in the middle, or as near as it fits."""
    middles = zip(_middle(digit), digit.shape, strict=True)
    starts = [min(max(side // 2 - middle, 0), side - length) for middle, length in middles]
    image = np.zeros((side, side), np.uint8)
    image[tuple(slice(start, start + length) for start, length in zip(starts, digit.shape, strict=True))] = digit
    return image


def _middle(grey: Array) -> tuple[int, int]:
    """The row and the column that hold the centre of mass."""
    rows, columns = grey.sum(axis=1, dtype=np.float64), grey.sum(axis=0, dtype=np.float64)
    mean = (float(line @ (np.arange(len(line)) + 0.5) / line.sum()) for line in (rows, columns))
    row, column = map(int, mean)
    return row, column


def _box_side(side: int) -> int:
    return max(1, round(side * BOX / SIDE))
