"""Test the records of a run: exact JSON, files of the first version, and damage that is reported by key."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.runs.json_record import JsonRecord
from dnn_cli.runs.records import (
    DatasetRecord,
    Environment,
    Evaluation,
    TrainingMetrics,
    TransferRecord,
    format_history,
    parse_history,
)
from dnn_cli.runs.state import State
from tests.conftest import ROOT
from tests.runs.helpers import without_later_keys

RUN = ROOT / "tests/fixtures/run-0.1.0-keras"
FILES: dict[str, type[JsonRecord]] = {
    "environment.json": Environment,
    "metrics.json": TrainingMetrics,
    "state.json": State,
    "evaluation/test.json": Evaluation,
}


def values(name: str) -> dict[str, Any]:
    """Return the JSON object in a file of the run."""
    found: dict[str, Any] = json.loads((RUN / name).read_text())
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_record_is_written_with_the_keys_and_the_order_that_it_was_read_with(name: str) -> None:
    record, read = FILES[name].from_json((RUN / name).read_text()), values(name)
    written = json.loads(record.to_json())
    assert json.dumps(without_later_keys(written, read)) == json.dumps(read)
    assert FILES[name].from_dict(written) == record


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "[" * 99_999, '{"epochs": NaN}', '{"epochs": ' + "9" * 5000 + "}"]
)
def test_damaged_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the messages are those of the parser)
        TrainingMetrics.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,loss\n1,2\n", "line 2: missing accuracy, learning_rate, seconds"),
        ("epoch,loss,accuracy,learning_rate,seconds\n1,inf,1,1,1\n", "line 2: loss is not a finite number"),
        ("epoch,loss,accuracy,learning_rate,seconds\n1,1,1,1,1\n2,1\n", "line 3: the number of cells is not that"),
        ("epoch,loss,accuracy,learning_rate,seconds\n1,1,1,1,1,1\n", "line 2: the number of cells is not that of"),
        ("epoch,loss,accuracy,learning_rate,seconds\n1.5,1,1,1,1\n", "line 2: invalid literal for int"),
        ("epoch,loss,accuracy,learning_rate,seconds\n1,1,2,1,1\n", "line 2: accuracy is 2, which is impossible"),
        ("epoch,loss,accuracy,learning_rate,seconds,f1\n1,1,1,1,1,1\n", "line 2: unknown figure 'f1'"),
        ("epoch,loss,accuracy,val_loss,learning_rate,seconds\n1,1,1,1,1,1\n", "line 2: missing val_accuracy"),
    ],
)
def test_a_damaged_history_is_reported_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        parse_history(text)


def test_a_transfer_is_recorded_in_the_environment() -> None:
    transfer = {"file": "a.keras", "sha256": "0", "layers": {"dense_1": "frozen", "output": "new"}, "reason": "why"}
    read = Environment.from_dict(values("environment.json") | {"transfer": transfer})
    assert read.transfer == TransferRecord(Path("a.keras"), "0", {"dense_1": "frozen", "output": "new"}, "why")
    assert read.to_dict()["transfer"] == transfer
    assert read.transfer.describe() == "started from a.keras: frozen dense_1; new output (why)"


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("environment.json", ["transfer"]),
        ("metrics.json", ["selected_classes"]),
        ("evaluation/test.json", ["selected_classes", "calibration"]),
    ],
)
def test_keys_that_the_first_version_did_not_write_may_be_missing(name: str, later: list[str]) -> None:
    found = values(name)
    for key in later:
        del found[key]
    assert FILES[name].from_dict(found)


def test_a_dataset_of_the_first_version_is_read() -> None:
    found = values("environment.json")["dataset"]
    for key in ("validation_images", "selected_classes", "image_shape"):
        del found[key]
    record = DatasetRecord.from_dict(found)
    assert (record.validation_images, record.selected_classes, record.image_shape) == (None, None, None)


def test_keys_of_a_later_version_are_ignored() -> None:
    found = values("metrics.json")
    assert TrainingMetrics.from_dict(found | {"carbon": 1}) == TrainingMetrics.from_dict(found)


@pytest.mark.parametrize(
    ("name", "path", "wrong", "message"),
    [
        ("environment.json", ["dataset"], None, "dataset: should be a JSON object"),
        ("environment.json", ["dataset", "classes"], "x", "dataset.classes: should be a valid integer"),
        (
            "environment.json",
            ["dataset", "image_shape"],
            [28, []],
            "dataset.image_shape.1: should be a valid int",
        ),
        ("environment.json", ["transfer"], {"file": "a.keras"}, "transfer.sha256: field required"),
        ("metrics.json", ["best", "value"], [], "best.value: should be a valid number"),
        ("state.json", ["last", "best", "epoch"], 3, "last: the best epoch is 3, but 2 epochs were trained"),
        ("state.json", ["last", "best", "epoch"], 0, "last.best.epoch: should be greater than or equal to 1"),
        ("state.json", ["last", "best", "value"], "0.5", "last.best.value: should be a valid number"),
        ("state.json", ["last", "best", "value"], float("inf"), "last.best.value: should be a finite number"),
        ("environment.json", ["dataset", "name"], ["mnist"], "dataset.name: should be a valid string"),
        ("environment.json", ["dataset", "classes"], 10**12, "dataset.classes: should be less than or equal to"),
        ("metrics.json", ["final", "loss"], "0.5", "final: loss is not a finite number"),
        ("metrics.json", ["final"], {"epoch": 2}, "final: missing accuracy, learning_rate, loss, seconds"),
        ("evaluation/test.json", ["confusion", 0], [1], "the confusion matrix is not square"),
        ("evaluation/test.json", ["accuracy_interval"], [0.5], "accuracy_interval.1: field required"),
        ("evaluation/test.json", ["confusion", 0], None, "confusion.0: should be a valid tuple"),
    ],
)
def test_a_wrong_value_is_reported_with_its_key(name: str, path: list[Any], wrong: Any, message: str) -> None:
    found = values(name)
    inner: Any = found
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = wrong
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        FILES[name].from_dict(found)


def test_a_history_is_read_as_it_was_written() -> None:
    others = {"learning_rate": 0.5, "seconds": 2.0}
    rows = [
        {"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, **others},
        {"epoch": 2, "loss": 1e-7, "accuracy": 1.0, **others},
    ]
    text = format_history(rows)
    assert text.splitlines()[0] == "epoch,loss,accuracy,learning_rate,seconds"
    assert parse_history(text) == rows
