"""Test that pictures on any paper, in any ink, light and place become images as MNIST's authors describe them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.__main__ import run
from dnn_cli.data import datasets, digit_normalization, image_files, plain_paper
from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.errors import DataError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.typing import Array
from tests.pictures import coverage, encoded, painted

CREAM, INK = (230, 225, 210), (40, 40, 60)


@pytest.fixture(scope="session")
def four(sample: Split) -> Array:
    """Return a 4 of the sample."""
    found: Array = sample.images[sample.labels == 4][3]
    return found


def normalize(pixels: Array, side: int = 28) -> Array:
    """Return the only digit of a picture."""
    (digit,) = digit_normalization.normalize(pixels, side)
    return digit.image


def read(content: io.BytesIO) -> Array:
    return image_files.read(content)[0].image


def assert_alike(one: Array, other: Array) -> None:
    """Check that two images show the same digit. Rounding its box by a pixel moves every edge a little."""
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_the_digit_fills_its_box_and_is_centred_by_mass(sample: Split) -> None:
    for digit in sample.images[:50]:
        image = normalize(painted(coverage(digit, at=(0.1, 0.9))))
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
        assert image.max() == 255
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        for axis in (0, 1):
            centre = image.sum(axis=1 - axis) @ (np.arange(28) + 0.5) / image.sum()
            assert 14 <= centre < 15  # as in MNIST itself
        assert len(np.unique(image)) > 20  # grey levels


def test_images_like_mnists_are_returned_unchanged(sample: Split) -> None:
    for image in sample.images:
        assert np.array_equal(normalize(image[..., None]), image)


def test_images_almost_like_mnists_hardly_change(sample: Split) -> None:
    """All steps are applied to images that would otherwise be returned unchanged."""
    changes: list[Callable[[Array], Array]] = [
        lambda image: 255 - image,
        lambda image: np.roll(image, 1, axis=0),
        lambda image: image.repeat(3, axis=2),
    ]
    for change in changes:
        differences = [np.abs(normalize(change(x[..., None])).astype(int) - x).mean() for x in sample.images[:100]]
        assert np.median(differences) < 1  # of 255; a few lose a faint edge, and move by a pixel


def test_a_digit_alone_on_plain_paper_is_measured_there(sample: Split) -> None:
    """Looking for lines, edges and other digits changes nothing of the picture of a digit with usual strokes."""
    same = 0
    for image in sample.images[:100]:
        pixels = painted(coverage(image))
        (found,) = digit_normalization.normalize(pixels)
        ink, box = plain_paper.crop_to_digit(pixels)
        alone = digit_normalization._centre(digit_normalization._scale_to_box(ink, 20), 28)
        same += found.box == box and not found.doubt and np.array_equal(found.image, alone)
    assert same >= 95  # some have specks beside them, or finer or broader strokes


@pytest.mark.parametrize(
    ("paper", "pen"),
    [
        ((255, 255, 255), (0, 0, 0)),
        ((0, 0, 0), (255, 255, 255)),
        ((20, 90, 40), (240, 240, 230)),
        ((200, 60, 60), (60, 110, 60)),  # of the same brightness
        ((200, 200, 190), (150, 150, 150)),
    ],
)
def test_paper_and_ink_may_have_any_colours(paper: Any, pen: Any, four: Array) -> None:
    assert_alike(normalize(painted(coverage(four), paper, pen)), four)


@pytest.mark.parametrize(("size", "share"), [(40, 0.9), (200, 0.2), (700, 0.9), (700, 0.12)])
@pytest.mark.parametrize("at", [(0, 0), (1, 0.3), (0.5, 1)])
def test_the_digit_may_have_any_size_and_place(size: int, share: float, at: tuple[float, float], four: Array) -> None:
    assert_alike(normalize(painted(coverage(four, size, share, at))), four)


def test_uneven_light_is_removed(four: Array) -> None:
    light = np.linspace(1, 0.5, 200)[:, None, None] * np.linspace(0.8, 1, 200)[:, None]
    assert_alike(normalize((painted(coverage(four, at=(1, 0.4)), CREAM, INK) * light).astype(np.uint8)), four)


def test_noise_is_removed(four: Array) -> None:
    noise = np.random.default_rng(0).normal(0, 10, (200, 200, 3))
    assert_alike(normalize(np.clip(painted(coverage(four), CREAM, INK) + noise, 0, 255).astype(np.uint8)), four)


def test_specks_are_removed(four: Array) -> None:
    ink = coverage(four, share=0.5)
    for row, column in ((5, 5), (190, 20), (100, 194), (3, 150)):
        ink[row : row + 3, column : column + 3] = 1
    assert_alike(normalize(painted(ink, CREAM, INK)), four)


def test_a_digit_may_touch_the_border(four: Array) -> None:
    ink = coverage(four, 140, 1)
    rows, columns = np.nonzero(ink > 0.2)
    assert_alike(normalize(painted(ink[rows.min() : rows.max(), columns.min() : columns.max()])), four)


def test_tiny_pictures_are_normalized() -> None:
    for shape in ((1, 9, 1), (9, 1, 3), (3, 3, 1), (3, 90, 3)):
        pixels = np.zeros(shape, np.uint8)
        pixels.reshape(-1, shape[2])[len(pixels.reshape(-1, shape[2])) // 2] = 255
        image = normalize(pixels)
        assert (image.shape, image.max()) == ((28, 28), 255)


def test_pictures_of_noise_are_normalized_or_rejected() -> None:
    for seed in range(20):
        chance = np.random.default_rng(seed)
        pixels = chance.integers(0, 256, (*chance.integers(1, 300, 2), chance.choice([1, 3])), np.uint8)
        try:
            digits = digit_normalization.normalize(pixels)
        except DataError:
            continue
        assert {(digit.image.shape, digit.image.max()) for digit in digits} == {((28, 28), 255)}


@pytest.mark.parametrize("side", [4, 8, 27, 32, 56])
def test_the_box_is_scaled_with_the_image(side: int, four: Array) -> None:
    image = normalize(painted(coverage(four)), side)
    rows, columns = np.nonzero(image)
    assert image.shape == (side, side)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == round(side * 20 / 28)
    assert np.array_equal(normalize(image[..., None], side), image)


# Accuracy on normalized pictures


def plain(ink: Array, chance: np.random.Generator) -> bytes:
    return encoded(painted(ink))


def inverted(ink: Array, chance: np.random.Generator) -> bytes:
    return encoded(painted(ink), "JPEG", quality=85)


def yellow(ink: Array, chance: np.random.Generator) -> bytes:
    return encoded(painted(ink, (250, 230, 120), (20, 20, 90)), "JPEG", quality=85)


def board(ink: Array, chance: np.random.Generator) -> bytes:
    return encoded(painted(ink, (20, 90, 40), (240, 240, 230)), "JPEG", quality=50)


def any_colours(ink: Array, chance: np.random.Generator) -> bytes:
    while True:
        paper, pen = chance.integers(0, 256, (2, 3))
        if np.abs(paper - pen).sum() > 200:
            return encoded(painted(ink, tuple(paper), tuple(pen)), "JPEG", quality=75)


def photo(ink: Array, chance: np.random.Generator) -> bytes:
    light = 1 - 0.3 * np.linspace(0, 1, len(ink))[:, None, None]
    pixels = painted(ink, CREAM, INK) * light + chance.normal(0, 4, (*ink.shape, 3))
    return encoded(np.clip(pixels, 0, 255).astype(np.uint8), "JPEG", quality=85)


@pytest.fixture(scope="session")
def textbook(mnist_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Array], Array]:
    """Return a function that predicts digits with the textbook's network, trained for three epochs."""
    path = tmp_path_factory.mktemp("textbook") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNN_DATA_DIR", str(mnist_folder))
        assert run(["train", "-c", "mnist", "--engine", "numpy", "--epochs", "3", "-q", "--run-dir", str(path)]) == 0
    loaded = keras_format.load(RunDirectory.open(path).checkpoint("best")[0])
    return lambda images: build.predict(loaded.network, images, loaded.batch).argmax(axis=1)


@pytest.fixture
def tests(mnist_folder: Path) -> Split:
    """Every tenth of MNIST's test images: 1,000."""
    split = datasets.find(str(mnist_folder / "mnist.npz"), split="test").load("test")
    return Split(split.images[::10], split.labels[::10])


@pytest.mark.parametrize(
    "paint",
    [plain, photo, *(pytest.param(paint, marks=pytest.mark.long) for paint in (inverted, yellow, board, any_colours))],
)
def test_pictures_cost_at_most_half_a_percentage_point_of_accuracy(
    paint: Callable[[Array, np.random.Generator], bytes],
    tests: Split,
    textbook: Callable[[Array], Array],
) -> None:
    """The pictures are MNIST's test images drawn at 200 pixels, off-centre, on coloured paper, as JPEG."""
    chance = np.random.default_rng(0)
    pictures = (
        coverage(digit, share=chance.uniform(0.4, 0.95), at=tuple(chance.uniform(0, 1, 2))) for digit in tests.images
    )
    prepared = np.stack([read(io.BytesIO(paint(ink, chance))) for ink in pictures])
    originally = (textbook(tests.images) == tests.labels).mean()
    assert originally > 0.96
    assert (textbook(prepared) == tests.labels).mean() >= originally - 0.005


def test_normalizing_mnists_own_images_costs_no_accuracy(
    tests: Split, textbook: Callable[[Array], Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    originally = textbook(tests.images)
    assert np.array_equal(textbook(np.stack([normalize(image[..., None]) for image in tests.images])), originally)
    monkeypatch.setattr(digit_normalization, "_is_normalized", lambda *_: False)
    prepared = np.stack([digit_normalization.normalize(image[..., None])[0].image for image in tests.images])
    assert (textbook(prepared) == tests.labels).mean() >= (originally == tests.labels).mean() - 0.003
