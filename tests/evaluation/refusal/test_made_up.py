"""Test the pictures that show no digit."""

import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.evaluation.refusal import made_up


def make(few: Split, seed: int = 0, count: int = 800) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = made_up.pictures(
        count, few.images, few.labels, np.random.default_rng(seed)
    )
    return found


def test_they_have_the_form_of_mnist_and_about_the_number_asked_for(few: Split) -> None:
    found = make(few)
    assert found.shape[1:] == (28, 28)
    assert found.dtype == np.uint8
    assert len(found) == pytest.approx(800, rel=0.2)
    assert (found.max(axis=(1, 2)) > 0).mean() > 0.98
    assert len(np.unique(found, axis=0)) > 0.95 * len(found)


def test_they_are_a_function_of_the_seed(few: Split) -> None:
    np.testing.assert_array_equal(make(few), make(few))
    assert not np.array_equal(make(few), make(few, seed=1))


def test_spoiled_digits_are_made_of_the_digits_given(few: Split) -> None:
    blank = Split(np.zeros_like(few.images), few.labels)
    assert (make(blank).max(axis=(1, 2)) == 0).mean() == pytest.approx(0.17, abs=0.06)


def test_what_a_mirror_makes_another_digit_of_is_not_turned(few: Split) -> None:
    zeros = np.zeros(len(few.labels), few.labels.dtype)
    assert len(made_up._turned(400, few.images, zeros, np.random.default_rng(0))) == 0
    fours = np.full_like(few.labels, 4)
    assert len(made_up._turned(400, few.images, fours, np.random.default_rng(0))) == 400


def test_drawn_digits_are_of_the_digits_that_they_are_said_to_be() -> None:
    images, shown = made_up.digits(600, np.random.default_rng(0))
    assert images.shape[1:] == (28, 28)
    assert len(images) == len(shown) == pytest.approx(600, rel=0.1)
    assert set(shown.tolist()) == set(range(10))
    means = np.stack([images[shown == digit].mean(axis=0) for digit in range(10)]).reshape(10, -1)
    distances = ((images.reshape(len(images), 1, -1) - means) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == shown).mean() > 0.7


def test_few_pictures_are_possible(few: Split) -> None:
    assert len(make(few, count=20)) > 20
