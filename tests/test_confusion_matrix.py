"""Test figures of confusion matrices on small examples."""

import numpy as np
import pytest

from dnn_cli import confusion_matrix


def test_figures_of_a_confusion_matrix() -> None:
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 3]), np.array([0, 0, 0, 1, 1, 0, 3])
    matrix = confusion_matrix.matrix(labels, predicted, 5)
    assert matrix.tolist() == [[3, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [0, 0, 0, 1, 0], [0] * 5]
    assert confusion_matrix.balanced_accuracy(matrix) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    f1 = 2 * 3 / (4 + 4), 2 * 1 / (2 + 2), 1.0
    assert confusion_matrix.macro_f1(matrix) == pytest.approx(sum(f1) / 3)
    assert confusion_matrix.weighted_f1(matrix) == pytest.approx((4 * f1[0] + 2 * f1[1] + f1[2]) / 7)
