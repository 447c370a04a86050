"""Test that the network tells digits from letters, noise and textures, on pictures that it was not trained on."""

import string
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from dnn_cli.data import datasets, image_files
from dnn_cli.data.datasets import Split
from dnn_cli.errors import RunError
from dnn_cli.evaluation.refusal import detector
from dnn_cli.evaluation.refusal.detector import Detector
from dnn_cli.typing import Array
from tests.shared_runs import SharedRuns

AMBIGUOUS = "OoIilZzSsgqBb"  # a person may take these letters for digits


@pytest.fixture(scope="module")
def trained(sample: Split) -> Detector:
    return Detector.fit(sample.images, sample.labels, 0)


def letters() -> Array:
    """Return the letters of four printed fonts in the form of MNIST, without those that look like digits."""
    found = []
    for family in ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "cmr10"):
        font = ImageFont.truetype(font_manager.findfont(family), 120)
        for letter in sorted(set(string.ascii_letters) - set(AMBIGUOUS)):
            picture = Image.new("L", (240, 240), 255)
            ImageDraw.Draw(picture).text((60, 40), letter, font=font, fill=20)
            found += [one.image for one in image_files.normalize_image(picture, 28, letter)]
    return np.array(found)


def test_test_digits_are_accepted_and_letters_refused(trained: Detector) -> None:
    tests = datasets.find("mnist-sample", split="test").load("test")
    assert (trained.scores(tests.images) > 0).mean() < 0.04
    assert (trained.scores(letters()) > 0).mean() > 0.75


def test_noise_and_textures_are_refused(trained: Detector) -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (100, 28, 28), dtype=np.uint8)
    y, x = np.mgrid[:28, :28]
    rings = np.stack([np.hypot(y - a, x - b) for a, b in random.uniform(0, 28, (100, 2))])
    tiles = np.stack([(y // a + x // a) % 2 for a in random.integers(2, 9, 100)])
    for pictures in (noise, 127 + 127 * np.sin(rings), 255 * tiles):
        assert (trained.scores(pictures.astype(np.uint8)) > 0).mean() > 0.98


def test_a_file_holds_the_detector(trained: Detector, few: Split, tmp_path: Path) -> None:
    trained.write(tmp_path / "it.keras")
    assert (tmp_path / "it.keras").stat().st_size < 2**20
    read = Detector.read(tmp_path / "it.keras")
    assert read.classes == 11
    np.testing.assert_allclose(read.scores(few.images), trained.scores(few.images), atol=1e-4)


def test_the_same_digits_and_seed_give_the_same_detector(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "EPOCHS", 1)
    first, second, other = (Detector.fit(few.images, few.labels, seed).scores(few.images) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_border_refuses_the_stated_share_of_unseen_digits(few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "EPOCHS", 1)
    monkeypatch.setattr(detector, "UNSEEN", 0.5)
    monkeypatch.setattr(detector, "REFUSED_DIGITS", 0.2)
    unseen = np.concatenate([few.images] * 4), np.concatenate([few.labels] * 4)
    found = Detector.fit(*unseen, 0)
    assert (found.scores(few.images) > 0).mean() == pytest.approx(0.2, abs=0.06)


def test_another_network_is_no_detector(shared_runs: SharedRuns) -> None:
    file = shared_runs.path("smoke", "--engine", "numpy") / "checkpoints" / "best.keras"
    with pytest.raises(RunError) as error:
        Detector.read(file)
    assert str(error.value) == f"{file} does not hold a network that tells digits from other pictures"
