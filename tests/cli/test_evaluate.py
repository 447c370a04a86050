"""Test `dnn evaluate`: usage errors, and the tables of an evaluation."""

from pathlib import Path
from typing import Any

import pytest

from dnn_cli.cli import evaluate
from dnn_cli.runs.records import Evaluation
from tests.cli.conftest import FRAMEWORKS, Dnn, Fresh, listing, usage
from tests.conftest import Answer


def evaluation(confusion: list[list[int]], **changes: Any) -> Evaluation:
    classes = [
        {"label": label, "precision": 0.5, "recall": None, "f1": 1.0, "support": 1234}
        for label in range(len(confusion))
    ]
    figures = {
        "run": "runs/a-1",
        "checkpoint": "runs/a-1/checkpoints/x.keras",
        "epoch": 3,
        "split": "test",
        "dataset": "mnist",
        "note": "",
        "selected_classes": None,
        "fingerprint": "sha256:0",
        "images": 12345,
        "loss": 0.12345,
        "accuracy": 0.97,
        "accuracy_interval": (0.96, 0.98),
        "errors": 1234,
        "calibration_error": 0.01,
        "calibration": [],
        "classes": classes,
        "confusion": confusion,
    }
    return Evaluation.from_dict(figures | changes)


def test_a_damaged_model_is_reported_before_tensorflow_is_imported(fresh: Fresh, tmp_path: Path) -> None:
    (tmp_path / "text.keras").write_text("not a network")
    answer, modules = fresh("evaluate", "text.keras", "--data", "mnist-sample")
    assert answer == Answer(1, "", "error: text.keras is damaged or not a Keras model: File is not a zip file\n")
    assert not modules & FRAMEWORKS


def test_values_out_of_range_are_usage_errors(dnn: Dnn, tmp_path: Path) -> None:
    assert usage(dnn("evaluate", "--split", "all")) == (
        "Error: Invalid value for '--split': 'all' is not one of 'test', 'validation', 'train'."
    )
    assert usage(dnn("evaluate", "--min-accuracy", "97")) == (
        "Error: Invalid value for '--min-accuracy': 97.0 is not in the range 0<=x<=1."
    )
    assert listing(tmp_path) == []


def test_tables_of_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.print_evaluation(evaluation([[100, 2], [0, 99]], note="not MNIST"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "class  precision  recall      F1  images",
        "0         0.5000       –  1.0000   1,234",
        "1         0.5000       –  1.0000   1,234",
        "",
        "actual ╲ predicted    0   1",
        "0                   100   2",
        "1                     ·  99",
        "",
        "checkpoint         runs/a-1/checkpoints/x.keras (epoch 3)",
        "data               mnist, test split, 12,345 images",
        "loss               0.1235",
        "test accuracy      0.9700, 95 % interval 0.9600 to 0.9800",
        "errors             1,234",
        "calibration error  0.0100",
        "warning            not MNIST",
    ]


def test_only_the_selected_classes_have_rows(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = [[0, 0, 0, 0], [0, 9, 1, 0], [2, 0, 8, 0], [0, 0, 0, 0]]
    evaluate.print_evaluation(evaluation(confusion, selected_classes=[1, 2]), as_json=False)
    assert capsys.readouterr().out.splitlines()[:7] == [
        "class  precision  recall      F1  images",
        "1         0.5000       –  1.0000   1,234",
        "2         0.5000       –  1.0000   1,234",
        "",
        "actual ╲ predicted  0  1  2",
        "1                   ·  9  1",
        "2                   2  ·  8",
    ]


def test_many_classes_are_shown_by_their_most_frequent_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = [[0] * 13 for _ in range(13)]
    confusion[4][4], confusion[4][9], confusion[7][1] = 5000, 17, 1234
    evaluate.print_evaluation(evaluation(confusion, epoch=None), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("most frequent errors:")
    assert lines[start + 1 : start + 4] == [
        "actual  predicted  images",
        "7               1   1,234",
        "4               9      17",
    ]
    assert "checkpoint         runs/a-1/checkpoints/x.keras" in lines


def test_no_mistakes_leave_the_table_empty(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = [[10 * (true == guess) for guess in range(13)] for true in range(13)]
    evaluate.print_evaluation(evaluation(confusion), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("most frequent errors:") + 2] == ""
