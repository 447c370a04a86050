"""Test the figures that are computed from probabilities and labels."""

import math

import numpy as np
import pytest

from dnn_cli.evaluation import metrics
from dnn_cli.runs.records import CalibrationBin, ClassFigures
from dnn_cli.typing import Array


def calibration_error(confidence: Array, correct: Array) -> float:
    return metrics.calibration_error(metrics.calibration(confidence, correct))


def test_figures_equal_a_calculation_by_hand() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], "float32")
    found = metrics.score(probabilities, np.array([0, 1, 1, 1], "int32"))
    assert (found.images, found.errors, found.accuracy) == (4, 1, 0.75)
    assert found.loss == pytest.approx(-(2 * math.log(0.7) + math.log(0.8) + math.log(0.3)) / 4, rel=1e-6)
    assert found.confusion == ((1, 0, 0), (1, 2, 0), (0, 0, 0))
    assert found.classes == (
        ClassFigures(0, precision=1 / 2, recall=1.0, f1=2 / 3, support=1, name="0"),
        ClassFigures(1, precision=1.0, recall=2 / 3, f1=4 / 5, support=3, name="1"),
        ClassFigures(2, precision=None, recall=None, f1=None, support=0, name="2"),
    )
    # The two images of 0.7 share a bin and are correct, 0.8 is correct, 0.6 is wrong.
    assert found.calibration_error == pytest.approx((0.6 + 0.2 + 0.6) / 4, rel=1e-6)


def test_calibration_puts_images_of_similar_confidence_into_one_bin() -> None:
    bins = metrics.calibration(np.array([0.98, 1.0, 0.7, 0.71, 0.69]), np.array([True, False, True, False, True]))
    filled = {index: each for index, each in enumerate(bins) if each.images}
    assert len(bins) == metrics.CALIBRATION_BINS
    assert {index: (each.images, each.accuracy) for index, each in filled.items()} == {
        10: (3, 2 / 3),
        14: (2, 0.5),
    }
    assert [each.confidence for each in filled.values()] == pytest.approx([0.7, 0.99])
    assert bins[0] == CalibrationBin(0, confidence=None, accuracy=None)


def test_figures_are_none_for_a_class_without_images_or_without_predictions() -> None:
    found = metrics.score(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([1, 1]))
    assert found.classes == (
        ClassFigures(0, precision=0.0, recall=None, f1=0.0, support=0, name="0"),
        ClassFigures(1, precision=None, recall=0.0, f1=0.0, support=2, name="1"),
    )


def test_figures_equal_counts_of_single_images() -> None:
    random = np.random.default_rng(5)
    probabilities = random.dirichlet(np.ones(4), 500)
    labels = random.integers(0, 4, 500)
    found = metrics.score(probabilities, labels)
    pairs = list(zip(labels.tolist(), probabilities.argmax(axis=1).tolist(), strict=True))
    for true in range(4):
        for predicted in range(4):
            assert found.confusion[true][predicted] == pairs.count((true, predicted))
        one = found.classes[true]
        assert one.precision
        assert one.recall
        assert one.f1 == pytest.approx(2 / (1 / one.precision + 1 / one.recall))
        assert one.support == labels.tolist().count(true)
    assert found.accuracy == sum(true == predicted for true, predicted in pairs) / 500


def test_a_probability_of_zero_gives_a_finite_loss() -> None:
    found = metrics.score(np.array([[1.0, 0.0]]), np.array([1]))
    assert 80 < found.loss < 100


def test_the_calibration_error_of_calibrated_and_of_overconfident_networks() -> None:
    right = np.array([True] * 8 + [False] * 2)
    assert calibration_error(np.full(10, 0.8), right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(np.full(10, 1.0), right) == pytest.approx(0.2)
    assert calibration_error(np.full(10, 0.5), right) == pytest.approx(0.3)
    random = np.random.default_rng(0)
    confidence = random.uniform(0.1, 1, 200_000)
    correct = random.uniform(size=200_000) < confidence
    assert calibration_error(confidence, correct) < 0.01
    # One group is too confident, one not confident enough: their errors do not cancel.
    assert calibration_error(np.array([0.2] * 5 + [0.8] * 5), np.array([True] * 5 + [False] * 5)) == (
        pytest.approx(0.8)
    )


def test_the_two_most_probable_classes_are_chosen_among_the_selected_ones() -> None:
    probabilities = np.array([0.1, 0.4, 0.2, 0.3])
    assert metrics.two_most_probable(probabilities, None) == (1, 3)
    assert metrics.two_most_probable(probabilities, (2, 3, 0)) == (3, 2)


def test_of_equal_probabilities_the_lower_label_is_first() -> None:
    assert metrics.two_most_probable(np.full(4, 0.25), None) == (0, 1)
