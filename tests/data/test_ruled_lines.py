"""Test removing rules, squares and frames from ink without changing strokes that cross them."""

import numpy as np
import pytest

from dnn_cli.data import ruled_lines
from dnn_cli.data.datasets import Split
from tests.pictures import coverage

EVERYWHERE = np.ones((200, 200), bool)


def test_rules_and_squares_are_removed_and_strokes_kept(sample: Split) -> None:
    digit = coverage(sample.images[0])
    digit[digit < 0.12] = 0
    lines = np.zeros_like(digit)
    lines[10::30] = lines[11::30] = lines[:, 10::30] = 1
    rest = ruled_lines.remove(np.maximum(digit, lines), EVERYWHERE)
    assert rest is not None
    assert rest[digit > 0.9].mean() > 0.95
    assert rest[(digit == 0) & (lines > 0)].mean() < 0.05


def test_a_frame_is_removed_and_a_seven_kept() -> None:
    ink = np.zeros((200, 200), np.float32)
    ink[20:23, 20:180] = ink[177:180, 20:180] = ink[20:180, 20:23] = ink[20:180, 177:180] = 1
    ink[60:66, 60:130] = ink[60:150, 124:130] = 1
    rest = ruled_lines.remove(ink, EVERYWHERE)
    assert rest is not None
    assert np.array_equal(rest[30:170, 30:170], ink[30:170, 30:170])
    assert np.count_nonzero(rest) - np.count_nonzero(rest[30:170, 30:170]) < 150  # specks in the corners


def test_without_lines_there_is_nothing_to_remove(sample: Split) -> None:
    assert ruled_lines.remove(coverage(sample.images[0]), EVERYWHERE) is None


def test_a_straight_stroke_is_no_line_in_a_picture_of_any_size() -> None:
    for side in range(120, 150):
        ink = np.zeros((side, side), np.float32)
        ink[10:-10, side // 2 - 6 : side // 2 + 6] = 1
        assert ruled_lines.remove(ink, np.ones((side, side), bool)) is None


@pytest.mark.parametrize("degrees", [-10, -3, 0, 7])
def test_the_angle_of_lines_is_found(degrees: int) -> None:
    lines = np.zeros((200, 200), np.float32)
    lines[10::30] = lines[11::30] = 1
    found = ruled_lines.find_angle(ruled_lines.turn(lines, -degrees)[0])
    assert found is not None
    assert abs(found - degrees) <= 1
