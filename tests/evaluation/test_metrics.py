"""Test the figures that are computed from probabilities and labels."""

import math
from dataclasses import replace

import numpy as np
import pytest

from dnn_cli.evaluation import metrics
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.records import ClassFigures, Reliability


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


def test_a_calibration_adds_figures_and_changes_none() -> None:
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.full(3, 0.2), 400)
    labels = random.integers(0, 3, 400)
    nothing = Reliability(0.0, 0.0)
    calibration = Calibration(checkpoint="", epoch=1, temperature=4.0, images=1, before=nothing, after=nothing)
    plain, found = metrics.score(probabilities, labels), metrics.score(probabilities, labels, None, calibration)
    assert plain.calibrated is None
    assert replace(found, calibrated=None) == plain
    alone = metrics.score(calibration.apply(probabilities), labels)
    assert found.calibrated is not None
    assert found.calibrated.temperature == 4.0
    assert found.calibrated.loss == alone.loss < plain.loss
    assert found.calibrated.calibration_error == alone.calibration_error < plain.calibration_error
    assert found.calibrated.calibration == alone.calibration


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


def test_the_two_most_probable_classes_are_chosen_among_the_selected_ones() -> None:
    probabilities = np.array([0.1, 0.4, 0.2, 0.3])
    assert metrics.two_most_probable(probabilities, None) == (1, 3)
    assert metrics.two_most_probable(probabilities, (2, 3, 0)) == (3, 2)


def test_of_equal_probabilities_the_lower_label_is_first() -> None:
    assert metrics.two_most_probable(np.full(4, 0.25), None) == (0, 1)
