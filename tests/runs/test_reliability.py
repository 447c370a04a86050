"""Test the bins and the error of calibration, and that the fitted temperature is the best one."""

import numpy as np
import pytest

from dnn_cli.runs import reliability
from dnn_cli.runs.calibration import with_temperature
from dnn_cli.runs.records import CalibrationBin
from dnn_cli.typing import Array


def stated(confidence: Array, correct: Array) -> tuple[Array, Array]:
    """Return probabilities of a hundred classes with these maxima, and labels that are the maxima where correct."""
    count = len(confidence)
    probabilities = np.zeros((count, 100))
    probabilities[:, 0] = confidence
    probabilities[:, 1:] = ((1 - confidence) / 99)[:, None]
    return probabilities, np.where(correct, 0, 1)


def calibration_error(confidence: Array, correct: Array) -> float:
    return reliability.calibration_error(reliability.calibration_bins(*stated(confidence, correct)))


def test_images_of_similar_confidence_are_in_one_bin() -> None:
    confidence, correct = np.array([0.98, 1.0, 0.7, 0.71, 0.69]), np.array([True, False, True, False, True])
    bins = reliability.calibration_bins(*stated(confidence, correct))
    filled = {index: each for index, each in enumerate(bins) if each.images}
    assert len(bins) == reliability.CALIBRATION_BINS
    assert {index: (each.images, each.accuracy) for index, each in filled.items()} == {10: (3, 2 / 3), 14: (2, 0.5)}
    assert [each.confidence for each in filled.values()] == pytest.approx([0.7, 0.99])
    assert bins[0] == CalibrationBin(0, confidence=None, accuracy=None)


def test_the_calibration_error_of_calibrated_and_of_overconfident_networks() -> None:
    right = np.array([True] * 8 + [False] * 2)
    assert calibration_error(np.full(10, 0.8), right) == pytest.approx(0, abs=1e-12)
    assert calibration_error(np.full(10, 1.0), right) == pytest.approx(0.2)
    assert calibration_error(np.full(10, 0.5), right) == pytest.approx(0.3)
    random = np.random.default_rng(0)
    confidence = random.uniform(0.1, 1, 20_000)
    correct = random.uniform(size=20_000) < confidence
    assert calibration_error(confidence, correct) < 0.02
    # One group is too confident, one not confident enough: their errors do not cancel.
    half = np.array([True] * 5 + [False] * 5)
    assert calibration_error(np.array([0.2] * 5 + [0.8] * 5), half) == pytest.approx(0.8)


def drawn(temperature: float, count: int = 2000, classes: int = 10, seed: int = 0) -> tuple[Array, Array]:
    """Return probabilities and labels of a network that would be calibrated with this temperature."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(count, classes))
    true = np.exp(logits - logits.max(axis=1, keepdims=True))
    true /= true.sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < random.uniform(size=(count, 1))).sum(axis=1)
    return with_temperature(true, 1 / temperature).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.0, 1.5, 8.0])
def test_the_temperature_that_spoiled_the_probabilities_is_found(temperature: float) -> None:
    found = reliability.fit_temperature(*drawn(temperature))
    assert found == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_temperature_has_a_lower_loss(seed: int) -> None:
    probabilities, labels = drawn(2.0, 300, 4, seed)
    found = reliability.fit_temperature(probabilities, labels)
    assert found is not None

    def loss(temperature: float) -> float:
        calibrated = with_temperature(probabilities, temperature)
        return float(reliability.cross_entropies(calibrated, labels).mean())

    for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2):
        assert loss(found * factor) > loss(found)


def test_images_that_tell_no_temperature_give_none() -> None:
    probabilities, labels = drawn(1.0, 500)
    assert reliability.fit_temperature(probabilities, probabilities.argmax(axis=1)) is None  # any smaller one is better
    assert reliability.fit_temperature(probabilities, probabilities.argmin(axis=1)) is None  # any larger one is better
    assert reliability.fit_temperature(probabilities[:4], labels[:4]) is None
    assert reliability.fit_temperature(np.full((50, 2), 0.5), np.arange(50) % 2) is None


def test_probabilities_of_zero_and_one_have_a_temperature() -> None:
    probabilities = np.eye(4, dtype=np.float32)[np.arange(400) % 4]
    labels = np.arange(400) % 4
    labels[:100] = (labels[:100] + 1) % 4
    found = reliability.fit_temperature(probabilities, labels)
    assert found is not None
    calibrated = with_temperature(probabilities, found)
    assert calibrated.max(axis=1).mean() == pytest.approx(0.75, abs=1e-6)
