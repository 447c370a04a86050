"""Find the digits in the ink of a picture, and leave out what is none: lines, dark edges, holes, stains and specks.

1. Straight lines are removed, see `ruled_lines`. A picture whose lines are askew is turned upright.
2. Connected parts are dropped that touch the border beside others that do not, that are solid, that surround others, or
   that are much smaller or fainter than the rest.
3. Parts close to each other are joined: the strokes of one digit. Digits are sorted line by line, from left to right.
"""

from dataclasses import dataclass

import numpy as np

from dnn_cli.data import ink as ink_measure
from dnn_cli.data import ruled_lines
from dnn_cli.data.ink import Ink
from dnn_cli.data.pixels import Box
from dnn_cli.errors import DataError
from dnn_cli.typing import Array

MIN_PART = 0.25  # A separate part smaller than this share of the largest is no digit.
MIN_PIXELS = 4  # A part of fewer pixels is a speck.
MIN_STRENGTH = 0.4  # A part fainter than this share of the strongest is a stain or a shadow.
MAX_SOLIDITY = 0.8  # A round part whose largest inscribed circle is this broad, for its box, is a hole or a spot.
MIN_FILLED = 0.65  # Least share of the box that a hole or a spot fills.
MAX_FLATNESS = 4  # A part broader than this many heights is a line.
MIN_BORDER = 0.5  # A part that touches the border along this share of a side is a dark edge.
MIN_INNER = 0.1  # A part apart from the border counts if it has this share of the picture's side.
MIN_CUT = 0.5  # A part that touches the border is kept if those apart from it are smaller than this share of it.
MIN_FRAME = 0.75  # A part this large, as a share of the picture's side, that surrounds another is a frame.
SAME_LINE = 0.6  # Digits whose middles differ by less than this share of their height stand in one line.
MAX_PARTS = 500  # Smaller parts than this many are specks.
MAX_ASPECT = 1.75  # A digit broader than this many heights may be two that touch.
MAX_HEIGHT = 1.7  # Strokes one above the other that are together less high than this many widths are one digit.
MAX_END = 1.5  # The end of a stroke that leaves the picture is at most this many breadths long.


@dataclass(frozen=True)
class FoundDigit:
    """A digit in a picture.

    Attributes:
        ink: (height, width) float32, the ink in its box: 0 for paper and 1 for usual ink.
        box: its place in the picture.
        doubt: why it may be no digit, or not all of one; empty if nothing indicates it.
    """

    ink: Array
    box: Box
    doubt: str = ""


@dataclass(frozen=True)
class _Part:
    """A connected part of the ink, or several parts of one digit.

    Attributes:
        labels: of the connected parts.
        left: the first column of the box around them.
        top: its first row.
        right: the column after its last.
        bottom: the row after its last.
        pixels: how many pixels have ink.
        strength: the amount of ink in its darker pixels.
        borders: how many of its pixels are at the left, the upper, the right and the lower border of the picture, and
            how many beside a dark part beyond the paper.
        breadth: the diameter of the largest circle inside.
    """

    labels: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    pixels: int
    strength: float
    borders: tuple[int, ...]
    breadth: float

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def size(self) -> int:
        """The longer side of the box."""
        return max(self.width, self.height)

    @property
    def is_blob(self) -> bool:
        """True if it is solid and round: a hole, a spot, a full stop."""
        shorter = min(self.width, self.height)
        return (
            self.breadth > MAX_SOLIDITY * shorter
            and self.size < 1.5 * shorter
            and self.pixels > MIN_FILLED * self.width * self.height
        )

    @property
    def is_flat(self) -> bool:
        """True if it is a line rather than a digit."""
        return self.width >= MAX_FLATNESS * self.height

    @property
    def is_cut(self) -> bool:
        """True if more than the end of a stroke is at the border, and it is not a digit that fills the picture."""
        left, top, right, bottom, _ = (count > 0 for count in self.borders)
        return sum(self.borders) > MAX_END * self.breadth and not (left and right) and not (top and bottom)

    def surrounds(self, other: "_Part") -> bool:
        """Return whether the other lies inside this one's box, which is mostly empty."""
        return (
            self.left < other.left
            and self.top < other.top
            and other.right < self.right
            and other.bottom < self.bottom
            and self.pixels < 0.3 * self.width * self.height
        )

    def joined(self, other: "_Part") -> "_Part":
        """Return both as one."""
        return _Part(
            self.labels + other.labels,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.pixels + other.pixels,
            max(self.strength, other.strength),
            tuple(map(sum, zip(self.borders, other.borders, strict=True))),
            max(self.breadth, other.breadth),
        )


def find(pixels: Array) -> list[FoundDigit]:
    """Return the digits in a picture, (height, width, channels) uint8, in reading order: one at least.

    Raises:
        DataError: there is no digit.
    """
    ink = ink_measure.measure(pixels)
    amount, back = _without_lines(ink)
    amount = _without_faint_parts(amount)
    labels, parts = _parts(amount, back, ink.beyond)
    digits = _in_reading_order(_joined(_chosen(parts, min(ink.amount.shape))))
    if not digits:
        raise DataError("no digit found: there are only lines, spots or edges")
    return [_found(one, amount, labels, back, ink.factor) for one in digits]


def _without_lines(ink: Ink) -> tuple[Array, Array]:
    """Return the ink without lines, upright, and the matrix that leads from its pixels back to those of `ink`."""
    amount, same = ink.amount, np.eye(2, 3)
    degrees = ruled_lines.find_angle(amount)
    if degrees is None:
        return amount, same
    turned, back, present = amount, same, np.ones(amount.shape, bool)
    if degrees:
        turned, back = ruled_lines.turn(amount, degrees)
        turned[turned < ink_measure.MIN_INK] = 0
        present = ruled_lines.turn(np.ones_like(amount), degrees)[0] > 0.5
    rest = ruled_lines.remove(turned, present)
    # A digit that consists of straight lines is no frame.
    return (rest, back) if rest is not None and np.count_nonzero(rest) > MIN_PIXELS else (amount, same)


def _without_faint_parts(amount: Array) -> Array:
    """Return the ink without what is much fainter than the strokes that it is connected with: shadows and stains."""
    import cv2

    count, labels = cv2.connectedComponents((amount > 0).astype(np.uint8))
    flat = labels.ravel()
    strongest = np.zeros(count, np.float32)
    np.maximum.at(strongest, flat, cv2.blur(amount, (3, 3)).ravel())
    strong = amount > MIN_STRENGTH * strongest[labels]
    edges = cv2.dilate(strong.astype(np.uint8), ink_measure.square(5))
    return np.where(edges > 0, amount, 0).astype(np.float32)


def _parts(amount: Array, back: Array, beyond: Array) -> tuple[Array, list[_Part]]:
    """Return the connected parts of the ink that are no specks, the largest first, and the label of each pixel.

    Args:
        amount: the ink, whose picture may have been turned.
        back: leads to the pixels of the picture before.
        beyond: mask of what lies beyond the paper, in the picture before.
    """
    import cv2

    mask = (amount > 0).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask)
    labels = np.asarray(labels)
    solid = (amount > MIN_STRENGTH).astype(np.uint8)
    distance = cv2.distanceTransform(np.pad(solid, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    rows, columns = np.nonzero(mask)
    x, y = back @ np.stack([columns, rows, np.ones_like(rows)])
    which = labels[rows, columns]
    height, width = beyond.shape
    beside = cv2.dilate(beyond.astype(np.uint8), ink_measure.square(3)) > 0
    is_beside = beside[np.rint(y).astype(int).clip(0, height - 1), np.rint(x).astype(int).clip(0, width - 1)]
    at_border = (x < 0.5, y < 0.5, x > width - 1.5, y > height - 1.5, is_beside)
    borders = np.stack([np.bincount(which[one], minlength=count) for one in at_border], axis=1)
    parts: list[_Part] = []
    for label in (1 + np.argsort(-boxes[1:, cv2.CC_STAT_AREA], kind="stable")[:MAX_PARTS]).tolist():
        left, top, width, height, pixels = map(int, boxes[label])
        if pixels < MIN_PIXELS and parts:
            break
        place = (slice(top, top + height), slice(left, left + width))
        inside = labels[place] == label
        strength = float(np.quantile(amount[place][inside], 0.9))
        breadth = 2 * float(distance[place][inside].max())
        box = (left, top, left + width, top + height)
        parts.append(_Part((label,), *box, pixels, strength, tuple(borders[label].tolist()), breadth))
    return labels, parts


def _chosen(parts: list[_Part], shorter: int) -> list[_Part]:
    """Return the parts that may be strokes of digits.

    Args:
        parts: all parts.
        shorter: length of the picture's shorter side.
    """
    largest = max(part.size for part in parts)
    strokes = [part for part in parts if not part.is_blob]
    inner = [part for part in strokes if not any(part.borders) and part.size >= MIN_INNER * shorter]
    if inner:
        tallest = max(part.size for part in inner)
        strokes = [
            part
            for part in strokes
            if not any(part.borders) or (sum(part.borders) < MIN_BORDER * shorter and tallest < MIN_CUT * part.size)
        ]
    strokes = [
        part
        for part in strokes
        if not (
            part.size >= MIN_FRAME * shorter
            and any(part.surrounds(other) and other.size >= MIN_INNER * part.size for other in strokes)
        )
    ]
    if not strokes:
        return [part for part in parts if part.size == largest][:1]
    largest = max(part.size for part in strokes)
    strongest = max(part.strength for part in strokes if part.size >= MIN_PART * largest)
    return [part for part in strokes if part.strength >= MIN_STRENGTH * strongest]


def _joined(parts: list[_Part]) -> list[_Part]:
    """Join the strokes of each digit, and leave out parts that are much smaller than the digits."""
    joined: list[_Part] = []
    for part in sorted(parts, key=lambda part: -part.size):
        whole = part
        while near := next((other for other in joined if _belong_together(whole, other)), None):
            joined.remove(near)
            whole = whole.joined(near)
        joined.append(whole)
    largest = max((part.size for part in joined), default=0)
    return [part for part in joined if part.size >= MIN_PART * largest and not part.is_flat]


def _belong_together(one: _Part, other: _Part) -> bool:
    """Return whether two parts are strokes of the same digit."""
    low, high = sorted((one, other), key=lambda part: part.height)
    small, size = min(one, other, key=lambda part: part.width * part.height), max(one.size, other.size)
    over_x = min(one.right, other.right) - max(one.left, other.left)
    over_y = min(one.bottom, other.bottom) - max(one.top, other.top)
    gap = max(-over_x, -over_y, 0)
    if over_x > 0 and over_y > 0 and over_x * over_y >= 0.5 * small.width * small.height:
        return True
    if over_x >= 0.5 * min(one.width, other.width):  # One above the other.
        both = one.joined(other)
        return gap <= 0.05 * size or (not small.is_flat and both.height < MAX_HEIGHT * both.width)
    if low.height < 0.6 * high.height:
        return gap <= 0.2 * size
    return low.height < 0.75 * high.height and gap <= 0.06 * size


def _in_reading_order(digits: list[_Part]) -> list[_Part]:
    """Sort digits line by line, each from left to right."""
    lines: list[list[_Part]] = []
    for digit in sorted(digits, key=lambda digit: digit.top + digit.bottom):
        middle = (digit.top + digit.bottom) / 2
        line = lines[-1] if lines else []
        height = float(np.mean([one.height for one in line])) if line else 0
        if line and middle - np.mean([(one.top + one.bottom) / 2 for one in line]) < SAME_LINE * height:
            line.append(digit)
        else:
            lines.append([digit])
    return [digit for line in lines for digit in sorted(line, key=lambda digit: digit.left)]


def _found(part: _Part, amount: Array, labels: Array, back: Array, factor: int) -> FoundDigit:
    """Return the digit that a part is, with its place in the picture."""
    place = (slice(part.top, part.bottom), slice(part.left, part.right))
    ink = np.where(np.isin(labels[place], part.labels), amount[place], 0)
    ink = np.minimum(ink / float(ink[ink > 0.5 * part.strength].mean()), ink_measure.MAX_INK)
    xs, ys = (part.left, part.right), (part.top, part.bottom)
    # Positions count from the middle of the first pixel, boxes from its edge.
    corners = np.array([(x - 0.5, y - 0.5, 1) for x in xs for y in ys]) @ back.T + 0.5
    box = tuple(factor * value for value in (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()))
    return FoundDigit(ink, box, _doubt(part))


def _doubt(part: _Part) -> str:
    if part.is_blob:
        return "it is a spot without strokes"
    if part.is_cut:
        return "it touches the picture's border: a part may be cut off"
    if part.width > MAX_ASPECT * part.height:
        return "it is broader than a digit: two may touch"
    return ""
