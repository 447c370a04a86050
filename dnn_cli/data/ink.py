"""Measure how much ink is in each pixel of a picture, whatever the paper, the pen and the light.

1. The paper is one colour, or a brightness that changes from side to side. The pixels that differ most from it give
   the direction in colour space from paper to ink; the length along that direction is the amount of ink. Ink may be
   darker, lighter or of another hue.
2. A light sheet on a dark table is recognized by its shape. Its ink is what is dark inside it.
3. What is broader than strokes is no ink: shadows, stains, folds and dark areas are removed by a morphological opening
   (the "top hat" of J. Serra) with a square a few strokes wide.

OpenCV does the work on whole pictures: its import takes 0.02 s, those of SciPy's ndimage and scikit-image 0.4 and 0.6.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn_cli.data.pixels import border_of, otsu_threshold, root_mean_square
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

COARSE_SIDE = 128  # Pixels along the longer side of the copy in which the width of the strokes is measured.
COARSE_OPENING = 0.35  # Side of the square that no stroke contains, as a share of the picture's longer side.
WORK_STROKE = 10  # A picture with broader strokes, in pixels, is reduced by a whole factor.
OPENING_STROKES = 4  # Side of the square that no stroke contains, in widths of a stroke.
STROKE_SHARE = 0.2  # Strokes are no broader than this share of the picture's longer side.
MIN_OPPOSITE = 0.25  # Least difference from the paper of strokes that decide whether ink is darker or lighter.
MAX_SHADOW = (
    0.6  # A part darker than the paper by more than this share of its brightness is no shadow. The same for light.
)
ERODED_SHARE = 0.07  # Side of the square by which strokes are made thinner, and
MEDIAN_SHARE = 0.5  # of that in which the light is the median, as shares of the picture's longer side.
MIN_CONTRAST = 24  # Least difference, of 255, between the strongest ink and the paper.
MAX_PLAIN_DEVIATION = 2  # A border whose median difference from its median colour is at most this is one colour.
MIN_INK = 0.12  # Fainter ink is paper. The mean ink of the strong pixels is 1.
MAX_INK = 1.3  # Stronger ink is clipped, so that a few very dark pixels do not make the others look faint.
MIN_NOISE_RATIO = 5  # Ink below this many standard deviations of the noise is paper.
MIN_SHEET = 0.35  # A sheet covers at least this share of the picture,
MIN_RECTANGLE = 0.9  # this share of the smallest rectangle around it,
MIN_SOLIDITY = 0.5  # and its blank paper this share of the sheet.


@dataclass(frozen=True)
class Ink:
    """The ink of a picture, which may be reduced.

    Attributes:
        amount: (height, width) float32: 0 for paper, 1 for usual ink, at most `MAX_INK`.
        stroke: about the width of the broadest strokes, in pixels.
        beyond: (height, width) bool, the parts too broad for ink and too dark for a shadow: they lie beyond the paper.
        factor: how many pixels of the picture a pixel of `amount` stands for, along each axis.
    """

    amount: Array
    stroke: float
    beyond: Array
    factor: int


def measure(pixels: Array) -> Ink:
    """Measure the ink in a picture, (height, width, channels) uint8; raises `DataError` if there is none."""
    amount, contrast, is_dark = _along_ink(pixels.astype(np.float32))
    sheet = _sheet(amount)
    if sheet is not None:
        amount, is_dark = np.where(sheet, 1 - amount, 0).astype(np.float32), not is_dark
    elif _is_inverted(amount):
        amount, is_dark = -amount, not is_dark
    # The paper outside a shadow, which may cover most of the picture, is the lightest part; for light ink the darkest.
    low, high = map(float, np.quantile(pixels, (0.05, 0.95)))
    largest = high if is_dark else 255 - low
    darkest = MAX_SHADOW * largest / contrast
    stroke, light = _stroke_width(amount), _uneven_light(amount, darkest)
    factor = max(1, int(stroke / WORK_STROKE))
    amount, light, stroke = reduced(amount, factor), reduced(light, factor), stroke / factor
    broad = _broad_parts(amount, max(5, round(OPENING_STROKES * stroke)), 0.1 * stroke)
    beyond = _grown(broad > darkest)
    amount = np.where(beyond, 0, amount - np.maximum(broad, light))
    # Half of the pixels may be ink. Of normal noise, a quarter is 0.674 deviations below the mean, and 0.4 are 0.253.
    low, high = map(float, np.quantile(amount, (0.25, 0.4)))
    noise = (high - low) / 0.421
    amount -= high + 0.253 * noise
    if amount.max() * contrast < MIN_CONTRAST:
        raise DataError("no digit found: the picture is a single colour")
    usual = float(amount[amount > otsu_threshold(amount)].mean())
    amount[amount < max(MIN_INK * usual, MIN_NOISE_RATIO * noise)] = 0
    if not amount.any():
        raise DataError("no digit found: nothing stands out from the noise")
    return Ink(np.minimum(amount / usual, MAX_INK), stroke, beyond, factor)


def reduced(values: Array, factor: int) -> Array:
    """Return a float image made smaller by averaging blocks of `factor`² pixels."""
    import cv2

    if factor == 1:
        return values
    height, width = (max(1, round(length / factor)) for length in values.shape)
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))


def square(side: int) -> Array:
    """Return the structuring element of a square with an odd side of at least `side` pixels."""
    return np.ones((side | 1, side | 1), np.uint8)


def _grown(mask: Array) -> Array:
    """Return a mask with all pixels within two of its own."""
    import cv2

    return np.asarray(cv2.dilate(mask.astype(np.uint8), square(5))) > 0


def ridge_distances(mask: Array) -> Array:
    """Return half the width of the strokes of a mask, a value for each pixel along their middle.

    There the distance to the nearest pixel outside the mask has no slope. The slope is one everywhere else.
    """
    import cv2

    padded = np.pad(mask.astype(np.uint8), 1)
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))[1:-1, 1:-1]
    across, down = (cv2.Sobel(distance, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.asarray(distance[(np.hypot(across, down) < 0.6) & (distance > 0)])


def _along_ink(values: Array) -> tuple[Array, float, bool]:
    """Return the difference of each pixel from paper towards ink, (height, width).

    Returns:
        The difference in units of that of usual ink, the mean of the strong pixels; that difference, of 255; and
        whether ink is darker than paper.
    """
    paper, is_plain = _estimate_paper(values)
    difference = values - paper
    distance = root_mean_square(difference)
    if distance.max() < MIN_CONTRAST:
        raise DataError("no digit found: the picture is a single colour")
    direction = difference[distance > otsu_threshold(distance)].mean(axis=0)
    if not is_plain:
        # Shadows and dark edges outweigh the strokes there; what differs from its surrounding has their colour.
        local = _local_difference(values)
        distance = root_mean_square(local)
        strong = local[distance > otsu_threshold(distance)]
        axis = np.linalg.eigh(strong.T @ strong)[1][:, -1]
        direction = axis * np.abs(strong @ axis).mean() * (-1 if axis @ direction < 0 else 1)
    amount = np.ascontiguousarray(difference @ (direction / (direction @ direction)))
    return amount.astype(np.float32), float(root_mean_square(direction)), bool(direction.sum() < 0)


def _local_difference(values: Array) -> Array:
    """Return a smaller copy of the picture, as the difference from the median of a large surrounding."""
    import cv2

    factor = max(1, max(values.shape) // COARSE_SIDE)
    side = round(MEDIAN_SHARE * max(values.shape) / factor) | 1
    channels = [reduced(np.ascontiguousarray(values[..., channel]), factor) for channel in range(values.shape[2])]
    medians = [cv2.medianBlur(np.rint(one).astype(np.uint8), side) for one in channels]
    return np.stack([one - median for one, median in zip(channels, medians, strict=True)], axis=-1)


def _estimate_paper(values: Array) -> tuple[Array, bool]:
    """Return the picture's paper, which broadcasts to (height, width, channels), and whether it is one colour.

    It is the median colour of the border; or, if the border is not one colour, the plane with the least sum of absolute
    differences, which follows light that falls from one side and ignores ink, frames and dark edges.
    """
    border = border_of(values)
    paper: Array = np.median(border, axis=0)
    if np.median(root_mean_square(border - paper)) <= MAX_PLAIN_DEVIATION:
        return paper, True
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in values.shape[:2])
    terms = np.stack(np.broadcast_arrays(np.float32(1), y[:, None], x), axis=-1)
    step = max(1, max(values.shape) // 64)
    some, some_terms = (array[::step, ::step].reshape(-1, array.shape[2]) for array in (values, terms))
    error = root_mean_square(some - np.median(some, axis=0))
    for _ in range(8):  # iteratively reweighted least squares
        weights = np.sqrt(1 / np.maximum(error, 1))[:, None]
        plane = np.linalg.lstsq(some_terms * weights, some * weights, rcond=None)[0]
        error = root_mean_square(some - some_terms @ plane)
    return np.asarray(terms @ plane), False


def _sheet(amount: Array) -> Array | None:
    """Return a mask of the sheet of paper, if what differs from the border is a rectangle with ink in it."""
    import cv2

    factor = max(1, max(amount.shape) // COARSE_SIDE)
    solid = (reduced(amount, factor) > 0.5).astype(np.uint8)
    outlines = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    filled = np.zeros_like(solid)
    cv2.drawContours(filled, [outline], -1, 1, cv2.FILLED)
    area, (_, sides, _) = int(filled.sum()), cv2.minAreaRect(outline)
    blank = int((solid & filled).sum())
    is_sheet = (
        area >= MIN_SHEET * solid.size
        and area >= MIN_RECTANGLE * (sides[0] + 1) * (sides[1] + 1)
        and MIN_SOLIDITY * area <= blank < 0.998 * area
    )
    if not is_sheet:
        return None
    inner = cv2.erode(filled, square(5), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    height, width = amount.shape
    return np.asarray(cv2.resize(inner, (width, height), interpolation=cv2.INTER_NEAREST)) > 0


def _is_inverted(amount: Array) -> bool:
    """Return whether the strokes in a picture are less than zero, as those in a shadow that covers most of it."""
    factor = max(1, max(amount.shape) // COARSE_SIDE)
    coarse = reduced(amount, factor)
    side = round(STROKE_SHARE * max(coarse.shape))
    strokes, opposite = (
        float(np.square((one - _broad_parts(one, side))[one > MIN_OPPOSITE]).sum()) for one in (coarse, -coarse)
    )
    return strokes < opposite


def _uneven_light(amount: Array, darkest: float) -> Array:
    """Return the amount of ink that a smooth change of the light looks like: the median of a large surrounding.

    What looks like more than `darkest` is no shadow, and stays.
    """
    import cv2

    height, width = amount.shape
    coarse = reduced(amount, max(1, max(amount.shape) // COARSE_SIDE))
    side = max(coarse.shape)
    faint = cv2.erode(coarse, square(round(ERODED_SHARE * side)))  # Without most of the strokes.
    levels = np.clip(np.rint((faint + 1) * 80), 0, 255).astype(np.uint8)
    light = cv2.medianBlur(levels, round(MEDIAN_SHARE * side) | 1).astype(np.float32) / 80 - 1
    light[light > darkest] = 0
    return np.asarray(cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR))


def _stroke_width(amount: Array) -> float:
    """Return about the width of the broadest strokes in pixels, one at least."""
    factor = max(1, max(amount.shape) // COARSE_SIDE)
    coarse = reduced(amount, factor)
    top = coarse - _broad_parts(coarse, round(COARSE_OPENING * max(coarse.shape)))
    top -= np.median(top)
    if top.max() <= 0:
        return 1.0
    halves = ridge_distances(top > otsu_threshold(top))
    return max(1.0, factor * 2 * float(np.quantile(halves, 0.98))) if halves.size else 1.0


def _broad_parts(amount: Array, side: int, blur: float = 0.0) -> Array:
    """Return the amount of ink in the parts that contain a square of `side` pixels."""
    import cv2

    smooth: Any = cv2.GaussianBlur(amount, (0, 0), blur) if blur > 0.3 else amount
    # A picture is surrounded by paper: a stroke that ends at its border is not broader for it.
    eroded = cv2.erode(smooth, square(side), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(cv2.dilate(eroded, square(side)))
