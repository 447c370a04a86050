"""Test finding digits among edges, holes, frames and other digits, and the order in which they are read."""

import numpy as np
import pytest

from dnn_cli.data import digit_finding
from dnn_cli.data.datasets import Split
from dnn_cli.errors import DataError
from dnn_cli.typing import Array
from tests.pictures import coverage, painted


@pytest.fixture(scope="session")
def digits(sample: Split) -> list[Array]:
    """Return a digit of each kind, as ink of 80×80."""
    return [coverage(sample.images[sample.labels == label][1], 80, 1) for label in range(10)]


def boxes(ink: Array) -> list[tuple[int, ...]]:
    return [tuple(map(round, one.box)) for one in digit_finding.find(painted(ink))]


def test_digits_are_read_line_by_line_from_left_to_right(digits: list[Array]) -> None:
    page = np.zeros((300, 400), np.float32)
    places = [(20, 30), (35, 150), (15, 280), (180, 40), (195, 160), (175, 300)]
    for (top, left), digit in zip(places, digits, strict=False):
        page[top : top + 80, left : left + 80] = digit
    found = boxes(page)
    assert len(found) == 6
    for (left, top, right, bottom), (y, x) in zip(found, places, strict=True):
        assert x <= left < right <= x + 80
        assert y <= top < bottom <= y + 80


def test_dark_edges_and_holes_are_no_digits(digits: list[Array]) -> None:
    page = np.zeros((240, 240), np.float32)
    page[80:160, 80:160] = digits[3]
    alone = boxes(page)
    page[:, :12] = page[-9:] = 1
    y, x = np.mgrid[:240, :240]
    page[np.hypot(y - 50, x - 40) < 10] = 1
    assert np.abs(np.subtract(boxes(page), alone)).max() <= 2


def test_a_digit_cut_off_by_the_border_is_doubtful(digits: list[Array]) -> None:
    page = np.zeros((240, 240), np.float32)
    page[100:180, :40] = digits[8][:, 40:]
    (found,) = digit_finding.find(painted(page))
    assert found.doubt == "it touches the picture's border: a part may be cut off"


def test_a_stroke_that_ends_at_the_border_is_not_doubtful() -> None:
    page = np.zeros((240, 240), np.float32)
    page[100:230, 100:108] = page[100:108, 60:108] = 1
    (found,) = digit_finding.find(painted(page[:230]))
    assert found.doubt == ""


def test_touching_digits_are_doubtful(digits: list[Array]) -> None:
    page = np.zeros((240, 240), np.float32)
    page[80:160, 20:100] = digits[0]
    page[80:160, 90:170] = digits[0]
    page[118:122, 60:130] = 1
    (found,) = digit_finding.find(painted(page))
    assert found.doubt == "it is broader than a digit: two may touch"


def test_a_spot_is_doubtful() -> None:
    y, x = np.mgrid[:100, :100]
    (found,) = digit_finding.find(painted((np.hypot(y - 50, x - 50) < 8).astype(np.float32)))
    assert found.doubt == "it is a spot without strokes"


def test_lines_alone_are_no_digits() -> None:
    page = np.zeros((200, 200), np.float32)
    page[100:104, 30:170] = 1
    with pytest.raises(DataError, match="^no digit found: there are only lines, spots or edges$"):
        digit_finding.find(painted(page))
