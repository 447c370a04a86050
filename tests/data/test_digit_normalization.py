"""Preparing a picture: what MNIST's authors describe, whatever paper, pen, light and place the digit has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.__main__ import run
from dnn_cli.data import datasets, digit_normalization
from dnn_cli.data.datasets import Split
from dnn_cli.data.digit_normalization import prepare
from dnn_cli.data.image_files import read
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.errors import DataError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.typing import Array
from tests.pictures import coverage, encoded, painted

CREAM, INK = (230, 225, 210), (40, 40, 60)


@pytest.fixture(scope="session")
def four(sample: Split) -> Array:
    """A 4 of the sample."""
    found: Array = sample.images[sample.labels == 4][3]
    return found


def assert_alike(one: Array, other: Array) -> None:
    """The same digit, give or take the rounding of its box: a pixel more or less moves every edge a little."""
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_the_digit_fills_its_box_and_stands_on_its_centre_of_mass(sample: Split) -> None:
    for digit in sample.images[:50]:
        image = prepare(painted(coverage(digit, at=(0.1, 0.9))))
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
        assert image.max() == 255
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        for axis in (0, 1):
            centre = image.sum(axis=1 - axis) @ (np.arange(28) + 0.5) / image.sum()
            assert 14 <= centre < 15  # as in MNIST itself
        assert len(np.unique(image)) > 20  # grey levels


def test_what_is_like_mnist_already_stays_as_it_is(sample: Split) -> None:
    for image in sample.images:
        assert np.array_equal(prepare(image[..., None]), image)


def test_what_is_almost_like_mnist_is_hardly_changed(sample: Split) -> None:
    """The whole way, for images that would have been left alone."""
    changes: list[Callable[[Array], Array]] = [
        lambda image: 255 - image,
        lambda image: np.roll(image, 1, axis=0),
        lambda image: image.repeat(3, axis=2),
    ]
    for change in changes:
        differences = [np.abs(prepare(change(x[..., None])).astype(int) - x).mean() for x in sample.images[:100]]
        assert np.median(differences) < 1  # of 255; a few lose a faint edge, and with it move by a pixel


@pytest.mark.parametrize(
    ("paper", "pen"),
    [
        ((255, 255, 255), (0, 0, 0)),
        ((0, 0, 0), (255, 255, 255)),
        ((20, 90, 40), (240, 240, 230)),
        ((200, 60, 60), (60, 110, 60)),  # of one brightness
        ((200, 200, 190), (150, 150, 150)),
    ],
)
def test_paper_and_pen_of_any_colour(paper: Any, pen: Any, four: Array) -> None:
    assert_alike(prepare(painted(coverage(four), paper, pen)), four)


@pytest.mark.parametrize(("size", "share"), [(40, 0.9), (200, 0.2), (700, 0.9), (700, 0.12)])
@pytest.mark.parametrize("at", [(0, 0), (1, 0.3), (0.5, 1)])
def test_any_size_anywhere(size: int, share: float, at: tuple[float, float], four: Array) -> None:
    assert_alike(prepare(painted(coverage(four, size, share, at))), four)


def test_light_that_falls_off(four: Array) -> None:
    light = np.linspace(1, 0.5, 200)[:, None, None] * np.linspace(0.8, 1, 200)[:, None]
    assert_alike(prepare((painted(coverage(four, at=(1, 0.4)), CREAM, INK) * light).astype(np.uint8)), four)


def test_noise(four: Array) -> None:
    noise = np.random.default_rng(0).normal(0, 10, (200, 200, 3))
    assert_alike(prepare(np.clip(painted(coverage(four), CREAM, INK) + noise, 0, 255).astype(np.uint8)), four)


def test_specks(four: Array) -> None:
    ink = coverage(four, share=0.5)
    for row, column in ((5, 5), (190, 20), (100, 194), (3, 150)):
        ink[row : row + 3, column : column + 3] = 1
    assert_alike(prepare(painted(ink, CREAM, INK)), four)


def test_a_digit_that_touches_the_border(four: Array) -> None:
    ink = coverage(four, 140, 1)
    rows, columns = np.nonzero(ink > 0.2)
    assert_alike(prepare(painted(ink[rows.min() : rows.max(), columns.min() : columns.max()])), four)


def test_pictures_of_hardly_any_pixels() -> None:
    for shape in ((1, 9, 1), (9, 1, 3), (3, 3, 1), (3, 90, 3)):
        pixels = np.zeros(shape, np.uint8)
        pixels.reshape(-1, shape[2])[len(pixels.reshape(-1, shape[2])) // 2] = 255
        image = prepare(pixels)
        assert (image.shape, image.max()) == ((28, 28), 255)


def test_noise_alone_is_no_reason_to_fail() -> None:
    for seed in range(20):
        chance = np.random.default_rng(seed)
        pixels = chance.integers(0, 256, (*chance.integers(1, 300, 2), chance.choice([1, 3])), np.uint8)
        try:
            image = prepare(pixels)
        except DataError:
            continue
        assert (image.shape, image.max()) == ((28, 28), 255)


@pytest.mark.parametrize("side", [4, 8, 27, 32, 56])
def test_the_recipe_scales_with_the_network(side: int, four: Array) -> None:
    image = prepare(painted(coverage(four)), side)
    rows, columns = np.nonzero(image)
    assert image.shape == (side, side)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == round(side * 20 / 28)
    assert np.array_equal(prepare(image[..., None], side), image)


# How much accuracy is lost


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
    """The guesses of the textbook's network after three epochs."""
    path = tmp_path_factory.mktemp("textbook") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNN_DATA_DIR", str(mnist_folder))
        assert run(["train", "-c", "mnist", "--engine", "numpy", "--epochs", "3", "-q", "--run-dir", str(path)]) == 0
    loaded = keras_format.load(RunDirectory.open(path).checkpoint("best")[0])
    return lambda images: build.predict(loaded.network, images, loaded.batch).argmax(axis=1)


@pytest.fixture
def tests(mnist_folder: Path) -> Split:
    """1,000 of MNIST's test images: every tenth."""
    split = datasets.find(str(mnist_folder / "mnist.npz"), split="test").load("test")
    return Split(split.images[::10], split.labels[::10])


@pytest.mark.parametrize("paint", [plain, inverted, yellow, board, any_colours, photo])
def test_at_most_half_a_point_is_lost(
    paint: Callable[[Array, np.random.Generator], bytes],
    tests: Split,
    textbook: Callable[[Array], Array],
) -> None:
    """MNIST's test images drawn at 200 pixels, off-centre, on coloured paper, as JPEG."""
    import io

    chance = np.random.default_rng(0)
    pictures = (
        coverage(digit, share=chance.uniform(0.4, 0.95), at=tuple(chance.uniform(0, 1, 2))) for digit in tests.images
    )
    prepared = np.stack([read(io.BytesIO(paint(ink, chance))) for ink in pictures])
    originally = (textbook(tests.images) == tests.labels).mean()
    assert originally > 0.96
    assert (textbook(prepared) == tests.labels).mean() >= originally - 0.005


def test_the_whole_way_loses_nothing_of_images_as_they_are(
    tests: Split, textbook: Callable[[Array], Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    originally = textbook(tests.images)
    assert np.array_equal(textbook(np.stack([prepare(image[..., None]) for image in tests.images])), originally)
    monkeypatch.setattr(digit_normalization, "_is_ready", lambda *_: False)
    prepared = np.stack([prepare(image[..., None]) for image in tests.images])
    assert (textbook(prepared) == tests.labels).mean() >= (originally == tests.labels).mean() - 0.003
