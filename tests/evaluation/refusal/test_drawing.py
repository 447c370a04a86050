"""Test that shapes are drawn through their points, in the box and the place of MNIST's digits."""

import numpy as np
import pytest

from dnn_cli.evaluation.refusal import drawing

CORNER = np.array([[[0.0, 0.0], [2.0, 0.0], [2.0, 4.0]]])


@pytest.mark.parametrize("smooth", [True, False])
def test_a_stroke_goes_through_its_points(smooth: bool) -> None:
    points = drawing.curve(CORNER, 21, smooth=smooth)
    np.testing.assert_allclose(points[0, [0, 10, 20]], CORNER[0], atol=1e-6)


def test_the_points_are_shared_among_the_lines_of_all_strokes() -> None:
    points = drawing.trace([(False, CORNER), (True, CORNER[:, :2] + 10)])
    assert points.shape == (1, drawing.POINTS, 2)
    assert (points[0, :, 0] < 5).sum() == pytest.approx(2 * drawing.POINTS / 3, abs=1)
    np.testing.assert_allclose(points[0, [0, -1]], [CORNER[0, 0], CORNER[0, 1] + 10], atol=1e-6)


def test_straight_lines_are_straight_and_curves_are_not() -> None:
    straight, smooth = (drawing.curve(CORNER, 21, smooth=smooth)[0] for smooth in (False, True))
    np.testing.assert_allclose(straight[:11, 1], 0, atol=1e-6)
    np.testing.assert_allclose(straight[10:, 0], 2, atol=1e-6)
    assert np.abs(smooth[:11, 1]).max() > 0.1


def test_a_shape_fills_the_box_in_the_middle() -> None:
    square = np.array([[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]], float)
    (image,) = drawing.draw(drawing.curve(square, 400, smooth=False), np.array([1.0]))
    rows, columns = (np.flatnonzero(image.max(axis=axis) > 100) for axis in (1, 0))
    assert len(rows) == len(columns) == pytest.approx(20, abs=1)
    assert rows.mean() == columns.mean() == pytest.approx(13.5, abs=0.6)
    assert not image[10:18, 10:18].any()
    assert image.max() == 255


@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0])
def test_the_pen_has_its_width(radius: float) -> None:
    line = drawing.curve(np.array([[[0.0, 0.0], [0.0, 1.0]]]), 100, smooth=False)
    (image,) = drawing.draw(line, np.array([radius]))
    width = image[14].sum() / 255
    assert width == pytest.approx(2 * radius + 0.5, abs=0.6)


def test_hands_differ_but_keep_a_shape() -> None:
    points = np.repeat(drawing.curve(CORNER, 30, smooth=False), 50, axis=0)
    deformed = drawing.deform(points, np.random.default_rng(0))
    assert deformed.shape == points.shape
    assert (deformed.std(axis=0) > 0)[1:].any()
    assert (deformed[:, -1, 1] > deformed[:, 0, 1]).all()  # what is at the bottom stays there
    np.testing.assert_array_equal(deformed, drawing.deform(points, np.random.default_rng(0)))


def test_centring_moves_the_mass_to_the_middle_and_loses_nothing_within_the_image() -> None:
    images = np.zeros((3, 28, 28), np.uint8)
    images[0, 2:6, 3:5] = 200
    images[1, 20:25, 18:26] = 90
    found = drawing.centred(images)
    assert found.sum() == images.sum()
    for image in found[:2]:
        y, x = np.nonzero(image)
        assert abs(y.mean() - 13.5) <= 0.5
        assert abs(x.mean() - 13.5) <= 0.5
    assert not found[2].any()
