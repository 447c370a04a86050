"""Test measuring ink: what is broader than strokes is none, and the width of strokes is found."""

import numpy as np
import pytest

from dnn_cli.data import ink
from dnn_cli.data.datasets import Split
from dnn_cli.errors import DataError
from tests.pictures import coverage, painted


def test_shadows_with_sharp_edges_are_no_ink(sample: Split) -> None:
    drawn = coverage(sample.images[0])
    picture = painted(drawn)
    picture[:, 90:] //= 2
    found = ink.measure(picture)
    expected = ink.reduced(drawn, found.factor)
    assert found.amount[expected > 0.9].min() > 0.5
    assert np.quantile(found.amount[expected < 0.01], 0.95) < 0.3  # fainter than strokes: later steps leave it out


@pytest.mark.parametrize("width", [4, 9, 20])
def test_the_width_of_strokes_is_measured(width: int) -> None:
    drawn = np.zeros((200, 200), np.float32)
    drawn[40:160, 90 : 90 + width] = 1
    found = ink.measure(painted(drawn))
    assert found.stroke * found.factor == pytest.approx(width, rel=0.3)


def test_a_blank_picture_has_no_ink() -> None:
    with pytest.raises(DataError, match="^no digit found: the picture is a single colour$"):
        ink.measure(np.full((50, 50, 3), 200, np.uint8))
