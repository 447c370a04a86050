"""Test the table of letters and signs."""

import numpy as np

from dnn_cli.evaluation.refusal import shapes


def test_every_stroke_has_two_points_on_the_grid() -> None:
    forms = shapes.strokes()
    assert len(forms) == len(shapes.TABLE.strip().splitlines())
    for line, form in zip(shapes.TABLE.strip().splitlines(), forms, strict=True):
        assert form, line
        for _, points in form:
            assert len(points) >= 2, line
            assert (points >= 0).all(), line
            assert (points <= (4, 8)).all(), line


def test_curves_and_straight_lines_are_told_apart() -> None:
    first = shapes.TABLE.split("\nD ")[1].split("\n")[0]
    assert first == "0006 ~003042443606"
    [straight, smooth] = next(form for form in shapes.strokes() if form[0][1].tolist() == [[0, 0], [0, 6]])
    assert (straight[0], smooth[0]) == (False, True)
    assert np.array_equal(smooth[1][:3], [[0, 0], [3, 0], [4, 2]])


def test_letters_that_people_take_for_digits_are_left_out() -> None:
    names = {line.split()[0] for line in shapes.TABLE.strip().splitlines()}
    assert not names & set("OoIilZzSsgq0123456789")
    assert names >= set("ACDEFGHJKLMNPQRTUVWXYabcdefhjkmnprtuvwxy")
