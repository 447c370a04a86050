"""Test the descriptions of images by their edges."""

import numpy as np
import pytest

from dnn_cli.evaluation.refusal import edges


def bar(width: int = 4, level: int = 255) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return an upright bar, (28, 28)."""
    image = np.zeros((28, 28), np.uint8)
    image[:, 14 - width // 2 : 14 + width // 2] = level
    return image


def test_the_description_has_cells_and_directions() -> None:
    found = edges.describe(np.zeros((3, 28, 28), np.uint8))
    assert found.shape == (3, *edges.SHAPE) == (3, 7, 7, 8)
    assert found.dtype == np.float32
    assert not found.any()
    assert edges.describe(np.zeros((0, 28, 28), np.uint8)).shape == (0, *edges.SHAPE)


def test_an_upright_bar_has_edges_to_the_left_and_to_the_right() -> None:
    (found,) = edges.describe(bar()[None])
    inside = found[1:-1].sum(axis=(0, 1))
    assert inside[[2, 6]].tolist() == [0, 0]  # neither up nor down
    assert inside[0] == pytest.approx(inside[4])
    assert inside[0] > 1.5 * inside[[1, 3, 5, 7]].max()
    places = np.flatnonzero(found[3].sum(axis=1))
    assert set(places) <= {2, 3, 4}


def test_a_turned_image_has_turned_edges() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    plain, turned = edges.describe(np.stack([image, np.rot90(image)]))
    np.testing.assert_allclose(turned, np.roll(np.rot90(plain), -2, axis=-1), atol=1e-5)


def test_weaker_ink_has_weaker_edges_and_the_same_directions() -> None:
    strong, weak = edges.describe(np.stack([bar(level=240), bar(level=60)]))
    np.testing.assert_allclose(weak, strong / 2, atol=1e-6)


def test_images_are_described_alike_in_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(1).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    together = edges.describe(images)
    monkeypatch.setattr(edges, "CHUNK", 2)
    np.testing.assert_array_equal(edges.describe(images), together)
