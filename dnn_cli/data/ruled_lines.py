"""Remove straight lines from the ink of a picture: rules, squares, frames and the borders of table cells.

A line is a straight run of ink, thin for its length, that crosses the picture from edge to edge, or that ends at other
lines on both sides as those of a frame do. Lines are horizontal and vertical, apart from a small angle that all lines
of a picture share. A stroke that crosses a line is thicker there than the line, and is kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dnn_cli.typing import Array

SEARCH_SIDE = 96  # Pixels along the longer side of the copy in which the angle is searched.
MAX_ANGLE = 14  # Largest angle between lines and the sides of the picture, in degrees.
MIN_LENGTH = 0.25  # Least length of a line, as a share of the picture's shorter side.
MAX_THICKNESS = 0.05  # Largest thickness of a line, as a share of the picture's shorter side.
MIN_THIN = 0.4  # Least share of its length along which a line is not covered by broader ink.
MIN_SPAN = 0.75  # A line that covers this share of the picture's breadth crosses it from edge to edge.
MAX_GAP = 0.03  # Largest distance between the end of a line and the line at which it ends, as a share of that side.


@dataclass(frozen=True)
class _Line:
    """A horizontal line, or a vertical one with x and y exchanged.

    Attributes:
        start: its first column.
        stop: the column after its last.
        place: its row.
        thickness: in pixels.
        crosses: whether it crosses the picture from edge to edge.
        mask: (height, width) bool of its pixels, in the picture's orientation.
    """

    start: float
    stop: float
    place: float
    thickness: float
    crosses: bool
    mask: Array


def turn(values: Array, degrees: float) -> tuple[Array, Array]:
    """Turn a float image about its middle, in a frame large enough for all of it; zero beyond its border.

    Returns:
        The turned image, and the (2, 3) matrix that leads from its pixels back to those of `values`.
    """
    import cv2

    height, width = values.shape
    turning: Any = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    cosine, sine = abs(turning[0, 0]), abs(turning[0, 1])
    size = (round(height * sine + width * cosine), round(height * cosine + width * sine))
    turning[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return np.asarray(cv2.warpAffine(values, turning, size)), np.asarray(cv2.invertAffineTransform(turning))


def find_angle(amount: Array) -> int | None:
    """Return the angle in degrees by which the picture has to be turned for its lines to be upright.

    Returns:
        None if there are no long lines.
    """
    import cv2

    factor = max(1, max(amount.shape) // SEARCH_SIDE)
    mask = (amount > 0).astype(np.float32)
    small = np.ascontiguousarray(cv2.dilate(mask, np.ones((factor, factor), np.uint8))[::factor, ::factor])
    rough = _best_angle(small, range(-MAX_ANGLE, MAX_ANGLE + 1, 2))
    return None if rough is None else _best_angle(mask, range(rough - 1, rough + 2))


def _best_angle(mask: Array, angles: range) -> int | None:
    """Return the angle by which a mask (float32) has the most pixels in long lines; None if it has none."""
    longest = {}
    for degrees in angles:
        turned = (turn(mask, degrees)[0] > 0.5).astype(np.uint8)
        length = max(9, round(2 * MIN_LENGTH * min(mask.shape)))
        longest[degrees] = sum(int(np.count_nonzero(_runs(one, length))) for one in (turned, turned.T))
    best = max(longest, key=lambda degrees: (longest[degrees], -abs(degrees)))
    return best if longest[best] else None


def remove(amount: Array, present: Array) -> Array | None:
    """Remove the lines from the ink of a picture whose lines are upright.

    Args:
        amount: (height, width) float32, the amount of ink.
        present: (height, width) bool, the pixels that belong to the picture, which may have been turned.

    Returns:
        The rest of the ink; None if there are no lines.
    """
    mask = amount > 0
    shorter = min(amount.shape)
    across = _candidates(mask, present, shorter)
    down = _candidates(mask.T, present.T, shorter)
    across, down = _accepted(across, down, MAX_GAP * shorter)
    if not across and not down:
        return None
    rest = amount.copy()
    for line in across:
        _erase(rest, mask, line)
    for line in down:
        _erase(rest.T, mask.T, line)
    return rest


def _column(length: int) -> Array:
    """Return the structuring element of a column with an odd number of at least `length` pixels.

    With an even number OpenCV's opening moves the picture by a pixel.
    """
    return np.ones((length | 1, 1), np.uint8)


def _runs(mask: Array, length: int) -> Array:
    """Return the pixels in horizontal runs of at least `length` pixels, which may waver by a pixel: uint8."""
    import cv2

    thick = cv2.dilate(np.ascontiguousarray(mask), np.ones((3, 1), np.uint8))
    joined = cv2.morphologyEx(thick, cv2.MORPH_CLOSE, np.ones((1, 5), np.uint8))
    runs = cv2.morphologyEx(joined, cv2.MORPH_OPEN, _column(length).T, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(runs)


def _candidates(mask: Array, present: Array, shorter: int) -> list[_Line]:
    """Return the thin and long horizontal runs of ink."""
    import cv2

    length, most = max(9, round(MIN_LENGTH * shorter)), max(2, round(MAX_THICKNESS * shorter))
    ink = np.ascontiguousarray(mask, np.uint8)
    runs = _runs(ink, length)
    if not runs.any():
        return []
    thin = ink & ~cv2.morphologyEx(ink, cv2.MORPH_OPEN, _column(most + 1))
    # Where a stroke crosses a line, the line goes on in the ink of the stroke.
    whole = cv2.morphologyEx(thin & runs, cv2.MORPH_CLOSE, _column(mask.shape[1]).T) & runs
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(whole)
    found = []
    for label in range(1, count):
        left, top, width, height, _ = map(int, boxes[label])
        part = (slice(top, top + height), slice(left, left + width))
        inside = (labels[part] == label) & (thin[part] > 0)
        columns = np.flatnonzero(inside.any(axis=0))
        if width < length or columns.size < MIN_THIN * width:
            continue
        thickness = float(np.median(inside.sum(axis=0)[columns]))
        if width < 8 * thickness:
            continue
        row = float(np.median(np.nonzero(inside)[0])) + top
        chord = int(present[round(row)].sum())
        full = np.zeros(mask.shape, bool)
        full[part] = labels[part] == label
        found.append(_Line(left, left + width, row, thickness, width >= MIN_SPAN * chord, full))
    return found


def _accepted(across: list[_Line], down: list[_Line], gap: float) -> tuple[list[_Line], list[_Line]]:
    """Return the lines that cross the picture, or that end at such lines or at each other on both sides."""

    def ends_at(one: _Line, others: list[_Line]) -> bool:
        return all(
            any(
                abs(other.place - end) <= gap + other.thickness and other.start - gap <= one.place <= other.stop + gap
                for other in others
            )
            for end in (one.start, one.stop)
        )

    while True:
        kept_across = [line for line in across if line.crosses or ends_at(line, down)]
        kept_down = [line for line in down if line.crosses or ends_at(line, across)]
        if len(kept_across) == len(across) and len(kept_down) == len(down):
            return across, down
        across, down = kept_across, kept_down


def _erase(amount: Array, mask: Array, line: _Line) -> None:
    """Set the ink of a horizontal line to zero, except where vertical runs of ink are longer than it is thick."""
    import cv2

    tall = _column(round(1.5 * line.thickness) + 3)
    strokes = cv2.morphologyEx(np.ascontiguousarray(mask, np.uint8), cv2.MORPH_OPEN, tall)
    near = cv2.dilate(line.mask.astype(np.uint8), np.ones((5, 3), np.uint8))
    amount[(near > 0) & (strokes == 0)] = 0
