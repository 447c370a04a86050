"""Test the tables of letters, signs and digits."""

import numpy as np
import pytest

from dnn_cli.evaluation.refusal import shapes


@pytest.mark.parametrize("table", [shapes.LETTERS, shapes.DIGITS])
def test_every_stroke_has_two_points_on_the_grid(table: str) -> None:
    forms = shapes.forms(table)
    assert len(forms) == len(table.strip().splitlines())
    for name, strokes in forms:
        assert strokes, name
        for _, points in strokes:
            assert len(points) >= 2, name
            assert (points >= 0).all(), name
            assert (points <= (4, 8)).all(), name


def test_curves_and_straight_lines_are_told_apart() -> None:
    [(name, [straight, smooth])] = shapes.forms("two words 0006 ~003042443606")
    assert name == "two words"
    assert (straight[0], smooth[0]) == (False, True)
    assert np.array_equal(straight[1], [[0, 0], [0, 6]])
    assert np.array_equal(smooth[1][:3], [[0, 0], [3, 0], [4, 2]])


def test_letters_that_people_take_for_digits_are_left_out() -> None:
    names = {name for name, _ in shapes.forms(shapes.LETTERS)}
    assert not names & set("OoIilZzSsgq0123456789")
    assert names >= set("ACDEFGHJKLMNPQRTUVWXYabcdefhjkmnprtuvwxy")


def test_each_digit_has_several_forms() -> None:
    names = [name for name, _ in shapes.forms(shapes.DIGITS)]
    assert set(names) == set("0123456789")
    assert min(map(names.count, "0123456789")) >= 2
