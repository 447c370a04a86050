"""Turn a picture of digits into images like those of MNIST: light on dark, scaled, and centred by mass.

Y. LeCun, C. Cortes and C. Burges describe how MNIST was made (in "The MNIST database of handwritten digits"): the
bilevel digits of NIST were scaled to fit a box of 20×20 pixels with their aspect ratio preserved, which gave them grey
levels by anti-aliasing; then each was placed in 28×28 pixels with its centre of mass in the middle. A network trained
on MNIST has seen no other images, so every picture goes through the same steps here:

1. Find the digits in the ink of the picture, see `digit_finding`.
2. Make strokes that are broader or finer than those of MNIST finer or broader.
3. Scale each digit to the box of 20×20 pixels.
4. Place it in 28×28 pixels with its centre of mass in the middle.
"""

from dataclasses import dataclass

import numpy as np

from dnn_cli.data import digit_finding, ink, plain_paper
from dnn_cli.data.digit_finding import FoundDigit
from dnn_cli.data.pixels import Box, border_of, bounding_box
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

IMAGE_SIDE = 28  # Pixels along a side of MNIST's images.
BOX_SIDE = 20  # Pixels along the longer side of the digits in them.
MIN_SHIFT = 2  # A digit is alone on plain paper if its box there differs by at most this many pixels, or
MAX_SHIFT = 0.05  # this share of its longer side, from where it is found among all else.
FINE_SIDE = 160  # Pixels along the longer side of a digit whose strokes are measured and changed.
USUAL_STROKES = (1.5, 4.0)  # Width of strokes, in pixels of the box, of 97 % of MNIST's digits. Finer strokes
BROADENED, FINED = 2.0, 3.2  # and broader ones get these widths.


@dataclass(frozen=True)
class DigitImage:
    """A digit of a picture as a network takes it.

    Attributes:
        image: (side, side) uint8, from 0 for the background to 255 for the strongest ink.
        box: its place in the picture: left, top, right and bottom in pixels.
        doubt: why it may be no digit, or not all of one; empty if nothing indicates it.
    """

    image: Array
    box: Box
    doubt: str = ""


def normalize(pixels: Array, side: int = IMAGE_SIDE) -> list[DigitImage]:
    """Return the digits of a picture as images like those of MNIST, in reading order: one at least.

    A picture that is such an image already is returned unchanged.

    Args:
        pixels: (height, width, channels) uint8, with one or three channels.
        side: side of the square images to return; the box of the digit is scaled with it.

    Raises:
        DataError: there is no digit: the picture is a single colour, or noise.
    """
    if _is_normalized(pixels, side):
        rows, columns = bounding_box(pixels[..., 0] > 0)
        return [DigitImage(pixels[..., 0], (columns.start, rows.start, columns.stop, rows.stop))]
    return [
        DigitImage(_centre(_scale_to_box(_usual_strokes(one.ink), _box_side(side)), side), one.box, one.doubt)
        for one in _find(pixels)
    ]


def _find(pixels: Array) -> list[FoundDigit]:
    """Return the digits in a picture.

    The ink of a digit that is alone on plain paper is measured there: with less to leave out, it keeps faint strokes.
    """
    found = digit_finding.find(pixels)
    if len(found) > 1:
        return found
    try:
        ink, box = plain_paper.crop_to_digit(pixels)
    except DataError:
        return found
    (digit,) = found
    difference = max(abs(one - other) for one, other in zip(box, digit.box, strict=True))
    is_alone = difference <= max(MIN_SHIFT, MAX_SHIFT * _longer_side(box))
    return [FoundDigit(ink, box, digit.doubt)] if is_alone else found


def _longer_side(box: Box) -> float:
    left, top, right, bottom = box
    return max(right - left, bottom - top)


def _is_normalized(pixels: Array, side: int) -> bool:
    """Return whether the picture is of the right size, light on black, and its digit scaled and centred."""
    if pixels.shape != (side, side, 1) or np.median(border_of(pixels)) > 0 or not pixels.any():
        return False
    grey = pixels[..., 0]
    longer = max(grey[bounding_box(grey > 0)].shape)
    # A few digits of MNIST are one pixel smaller than the box.
    return _box_side(side) - 1 <= longer <= _box_side(side) and _centre_of_mass(grey) == (side // 2, side // 2)


def _usual_strokes(digit: Array) -> Array:
    """Return the digit, larger and with broader or finer strokes if its own are finer or broader than MNIST's."""
    import cv2

    unit = FINE_SIDE / BOX_SIDE
    scale = FINE_SIDE / max(digit.shape)
    height, width = (max(1, round(length * scale)) for length in digit.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = np.pad(np.asarray(cv2.resize(digit, (width, height), interpolation=method)), FINE_SIDE // 8)
    halves = ink.ridge_distances(large > 0.5)
    thickness = 2 * float(np.median(halves)) / unit if halves.size else USUAL_STROKES[0]
    if USUAL_STROKES[0] <= thickness <= USUAL_STROKES[1] or thickness > BOX_SIDE / 2:  # the last has no strokes
        return digit
    change, wanted = (cv2.dilate, BROADENED) if thickness < BROADENED else (cv2.erode, max(FINED, thickness / 2))
    # Both the strokes and the box around them change by twice the radius.
    changed = change(large, _disc(abs(thickness - wanted) / 2 / (1 - wanted / BOX_SIDE) * unit))
    return np.asarray(changed[bounding_box(changed > ink.MIN_INK)])


def _disc(radius: float) -> Array:
    """Return the structuring element of a disc."""
    import cv2

    side = 2 * round(radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


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
