"""Tables as they are printed, to the letter."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.cli import display
from dnn_cli.data.datasets import Dataset, Found, Part
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Evaluation, TrainingMetrics
from dnn_cli.training.loop import Result

METRICS: dict[str, Any] = {
    "epochs": 12,
    "stopped_early": True,
    "final": {
        "epoch": 12,
        "loss": 0.0512,
        "accuracy": 0.98765,
        "val_loss": 0.07,
        "val_accuracy": 0.98,
        "learning_rate": 0.001,
        "seconds": 0.5,
    },
    "best": {"epoch": 7, "monitor": "val_loss", "value": 0.0654, "sha256": "0"},
    "parameters": 101770,
    "dataset": "mnist-sample",
    "note": "MNIST was neither found nor downloaded",
    "selected_classes": None,
    "training_images": 3600,
    "seconds": 12.34,
    "seconds_per_epoch": 1.0,
    "images_per_second": 123456.7,
}
RUN = Path("runs", "[bold]a:smile:-1")


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
        "classes": classes,
        "confusion": confusion,
    }
    return Evaluation.from_dict(figures | changes)


def test_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    display.training(Result(RunDirectory(RUN), TrainingMetrics.from_dict(METRICS)), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"run           {RUN}",
        "data          mnist-sample, 3,600 training images",
        "parameters    101,770",
        "epochs        12, stopped early",
        "loss          0.0512",
        "accuracy      0.9877",
        "val loss      0.0700",
        "val accuracy  0.9800",
        "best epoch    7, val loss 0.0654",
        "time          12.3 s, 123,457 images/s",
        "warning       MNIST was neither found nor downloaded",
        f"next: dnn evaluate {RUN}",
    ]
    display.training(Result(RunDirectory(RUN), TrainingMetrics.from_dict(METRICS)), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"run": str(RUN), **METRICS}


def test_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    display.evaluation(evaluation([[100, 2], [0, 99]], note="not MNIST"), as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "class  precision  recall      F1  images",
        "0         0.5000       –  1.0000   1,234",
        "1         0.5000       –  1.0000   1,234",
        "",
        "true ╲ guess    0   1",
        "0             100   2",
        "1               ·  99",
        "",
        "checkpoint         runs/a-1/checkpoints/x.keras (epoch 3)",
        "data               mnist, test split, 12,345 images",
        "loss               0.1235",
        "test accuracy      0.9700, 95 % interval 0.9600 to 0.9800",
        "errors             1,234",
        "calibration error  0.0100",
        "warning            not MNIST",
    ]


def test_a_large_matrix_gives_way_to_the_worst_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = [[0] * 13 for _ in range(13)]
    confusion[4][4], confusion[4][9], confusion[7][1] = 5000, 17, 1234
    display.evaluation(evaluation(confusion, epoch=None), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("most mistaken  for  images")
    assert lines[start + 1 : start + 3] == ["7                1   1,234", "4                9      17"]
    assert "checkpoint         runs/a-1/checkpoints/x.keras" in lines


def test_a_network_without_mistakes_has_none_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = [[10 * (true == guess) for guess in range(13)] for true in range(13)]
    display.evaluation(evaluation(confusion), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("most mistaken  for  images") + 1] == ""


def test_a_part_that_is_bad_says_why_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [
        Part("x_train", "ok", (60000, 28, 28), "uint8", "md5:" + "0" * 32),
        Part("y_train", "unknown", (60000,), "int32", "sha256:" + "1" * 64),
        Part("x_test", "bad", problem="/here/x: it is empty"),
    ]
    found = Dataset("mnist", Path("/here"), "mnist")
    display.datasets([(Found("mnist", "digits", found), parts), (Found("other", "more", None), [])], as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "mnist: digits",
        "  /here",
        "  part           shape   type                                digest     state",
        "  x_train  60000×28×28  uint8  md5:00000000000000000000000000000000  verified",
        "  y_train        60000  int32  sha256:1111111111111111111111111111…     sound",
        "  x_test                                                                  bad",
        "  /here/x: it is empty",
        "",
        "other: more",
        "  not here; `dnn data other` fetches it",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_what_is_to_be_copied_stays_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    long = Path("runs", "x" * 60)
    shown = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        display.training(Result(RunDirectory(long), TrainingMetrics.from_dict(METRICS)), as_json=False)
    lines = shown.getvalue().splitlines()
    assert lines[-1] == f"next: dnn evaluate {long}"
    assert max(map(len, lines[:-1])) <= 40
    assert "\x1b" not in shown.getvalue()
