"""Test the quality gates of `dnn evaluate`."""

import numpy as np
import pytest

from dnn_cli.errors import GateError, UsageError
from dnn_cli.evaluation import gates, metrics

SCORE = metrics.score(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]), np.array([0, 0, 1, 1]))


def test_gates_that_are_met_pass() -> None:
    gates.check(SCORE, gates.parse(["accuracy=0.75", "macro_f1=0.7", "errors=1", "loss=0.6"]))


def test_every_gate_that_is_not_met_is_named() -> None:
    with pytest.raises(GateError) as caught:
        gates.check(SCORE, gates.parse(["accuracy=0.76", "errors=0", "top_5_accuracy=0.1"]))
    assert str(caught.value).splitlines() == [
        "accuracy 0.75 is below --gate accuracy=0.76",
        "errors 1 is above --gate errors=0",
        "top_5_accuracy is not defined for 2 classes, so --gate top_5_accuracy=0.1 is not met",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("macrof1=0.9", "there is no figure 'macrof1' (did you mean 'macro_f1'?); the figures are accuracy, balanced"),
        ("loss", "needs a number, such as loss=0.9"),
        ("loss=nan", "needs a number, such as loss=0.9"),
        ("loss=low", "needs a number, such as loss=0.9"),
    ],
)
def test_other_texts_are_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        gates.parse([text])
    assert str(caught.value).startswith(f"--gate {text}: {words}")
