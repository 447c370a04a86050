"""Test `dnn train`: usage errors, dry runs, and the output of a training."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.cli import train
from dnn_cli.config import loading
from dnn_cli.engines import threads
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import TrainingMetrics
from dnn_cli.training.loop import Result
from tests.cli.conftest import FRAMEWORKS, Dnn, Fresh, listing, usage
from tests.conftest import Answer
from tests.files import digits, user, write_npz

SHIPPED = "shipped configs: mnist, smoke, small, fast, best, tiny, zero-to-four, five-to-nine"
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
LAYERS = """\
layer       kind  activation  output  parameters
flatten  Flatten                 784           0
dense_1    Dense        relu      64      50,240
output     Dense     softmax      10         650
total                                     50,890
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-c", "bad.yaml", "--epochs", "0"],
            "error: the command line and bad.yaml have 3 problems\n"
            "  --epochs 0    training.epochs: must be at least 1, got 0\n"
            "  bad.yaml:1:9  model.layer: unknown key (did you mean 'layers'?)\n"
            "  bad.yaml:2:7  seed: must be at least 0, got -1\n",
        ),
        (["-c", "smok"], f"error: there is no config file smok (did you mean 'smoke'?); {SHIPPED}\n"),
        (["-c", "nothing/there.yaml"], f"error: there is no config file nothing/there.yaml; {SHIPPED}\n"),
        (
            ["-c", "smoke", "--set", "data.dataset=none.npz"],
            "error: there is no dataset 'none.npz'; known: mnist, fashion_mnist, mnist-sample, "
            "kmnist, emnist-balanced, emnist-letters, emnist-digits, usps, or the path of a file or folder\n",
        ),
        (
            ["-c", "smoke", "--run-dir", "taken"],
            "error: taken exists already; resume it with --resume taken, or choose another --run-dir\n",
        ),
        (["--resume", "taken"], "error: taken is not a run: it has no config.yaml\n"),
        (["--resume", "nowhere"], "error: there is no run nowhere\n"),
        (
            ["-c", "smoke", "--set", "seed"],
            "error: --set seed: expected key.path=value, for example --set training.epochs=5\n",
        ),
        (
            ["-c", "smoke", "--set", "model.layers=[16384, 16384]"],
            "error: model.layers makes a network of 281,477,130 parameters; at most 200,000,000 are allowed\n",
        ),
    ],
)  # fmt: skip
def test_usage_errors_are_reported_before_tensorflow_is_imported(
    arguments: list[str], message: str, fresh: Fresh, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("model: {layer: [3]}\nseed: -1\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("my only copy")
    before = listing(tmp_path)
    answer, modules = fresh("train", *arguments)
    assert answer.stdout == ""
    assert answer.stderr == message
    assert answer.code == (1 if "dataset" in message else 2)
    assert not modules & FRAMEWORKS
    assert listing(tmp_path) == before


def test_options_that_exclude_each_other_are_usage_errors(dnn: Dnn, tmp_path: Path) -> None:
    assert usage(dnn("train")) == "Error: nothing to train: give --config CONFIG or --resume RUN"
    assert usage(dnn("train", "--resume", "runs/a-1", "--run-dir", "b")) == (
        "Error: --resume continues in the run's own directory: leave out --run-dir"
    )
    for several in (["-c", "smoke"], ["--seed", "1", "--seed", "2"]):
        assert usage(dnn("train", "-c", "small", *several, "--resume", "runs/a-1")) == (
            "Error: --resume continues one run: give at most one --config and one --seed"
        )
        assert usage(dnn("train", "-c", "small", *several, "--run-dir", "b")) == (
            "Error: --run-dir is for a single training: without it, each run gets a directory in runs/"
        )
    assert usage(dnn("train", "-c", "smoke", "--epochs", "x")) == (
        "Error: Invalid value for '--epochs': 'x' is not a valid integer."
    )
    assert (
        usage(dnn("train", "-c", "smoke", "--epoch", "1"))
        == "Error: No such option '--epoch'. Did you mean '--epochs'?"
    )
    assert usage(dnn("train", "smoke")) == "Error: Got unexpected extra argument (smoke)"
    assert listing(tmp_path) == []


def test_dry_run_prints_config_and_layers_and_writes_nothing(fresh: Fresh, tmp_path: Path) -> None:
    answer, modules = fresh("train", "-c", "smoke", "--epochs", 3, "--dry-run", "--run-dir", "new")
    assert (answer.code, answer.stderr) == (0, "")
    text, layers, where = answer.stdout.split("\n\n")
    printed = loading.parse(text, "printed")
    assert printed.with_threads("auto") == loading.load("smoke").with_epochs(3)
    assert printed.training.threads == threads.default()
    assert layers + "\n" == LAYERS
    assert where == "data: mnist-sample (on this machine)\n"
    assert not modules & FRAMEWORKS
    assert listing(tmp_path) == []


def test_dry_run_as_json(dnn: Dnn, tmp_path: Path) -> None:
    answer = dnn("train", "-c", "smoke", "--dry-run", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    plan = json.loads(answer.stdout)
    assert plan["config"] == loading.load("smoke").with_threads(threads.default()).to_dict()
    assert plan["layers"][1] == {"name": "dense_1", "kind": "Dense", "units": 64, "parameters": 50240}
    assert plan["parameters"] == 50890
    assert listing(tmp_path) == []


def test_dry_run_reports_a_dataset_to_be_downloaded(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "mnist", "--dry-run")
    assert answer.stdout.endswith("data: mnist (not on this machine; training will download it)\n")
    assert answer.code == 0


def test_dry_run_of_resuming_leaves_the_run_alone(trained: Path, dnn: Dnn) -> None:
    before = {name: (trained / name).stat().st_mtime_ns for name in listing(trained)}
    answer = dnn("train", "--resume", trained, "--epochs", 5, "--dry-run", "--json")
    assert json.loads(answer.stdout)["config"] == RunDirectory.open(trained).config().with_epochs(5).to_dict()
    assert {name: (trained / name).stat().st_mtime_ns for name in listing(trained)} == before


def test_dry_run_with_a_dataset_from_a_file(tmp_path: Path, dnn: Dnn) -> None:
    path = user(tmp_path)
    answer = dnn("train", "-c", "smoke", "--set", f"data.dataset={path}", "--set", "data.validation=2", "--dry-run")
    assert answer.stdout.split("\n\n")[1].splitlines()[1:] == [
        "flatten  Flatten                  12           0",
        "dense_1    Dense        relu      64         832",
        "output     Dense     softmax       3         195",
        "total                                      1,027",
    ]
    assert answer.stdout.endswith(f"\n\ndata: {path}, 6 training images\n")
    broken = write_npz(tmp_path / "broken.npz", **{**digits(), "x_train": np.full((8, 3, 4), -1)})
    answer = dnn("train", "-c", "smoke", "--set", f"data.dataset={broken}", "--dry-run")
    assert answer == Answer(
        1, "", f"error: {broken}: x_train: whole-number pixels must lie in 0 to 255, got -1 to -1\n"
    )


def test_training_prints_a_line_for_each_epoch_and_a_summary(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--epochs", 2)
    assert answer.code == 0
    number = r"[\d,.]+"
    lines = answer.stderr.splitlines()
    assert len(lines) == 2
    for index, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"epoch {index}/2  loss {number}  accuracy {number}  {number} s  {number} images/s", line)
    metrics = json.loads(Path("runs/smoke-1/metrics.json").read_text())
    assert answer.stdout.splitlines() == [
        "run         runs/smoke-1",
        "data        mnist-sample, 4,000 training images",
        "parameters  50,890",
        "epochs      2",
        f"loss        {metrics['final']['loss']:.4f}",
        f"accuracy    {metrics['final']['accuracy']:.4f}",
        f"best epoch  2, loss {metrics['best']['value']:.4f}",
        f"time        {metrics['seconds']:.1f} s, {metrics['images_per_second']:,.0f} images/s",
        "next: dnn evaluate runs/smoke-1",
    ]


def test_quiet_training_prints_json_alone(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--epochs", 1, "-q", "--json", "--run-dir", "mine")
    assert (answer.code, answer.stderr) == (0, "")
    printed = json.loads(answer.stdout)
    assert printed == {"run": "mine", **json.loads(Path("mine/metrics.json").read_text())}
    assert printed["epochs"] == 1


def test_warnings_and_progress_go_to_stderr(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "mnist", "--epochs", 1, "--json")
    assert json.loads(answer.stdout)["dataset"] == "mnist-sample"
    assert answer.stderr.startswith("warning: MNIST was neither found nor downloaded (")
    assert len(answer.stderr.splitlines()) == 2


def test_summary_of_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    train.print_training(Result(RunDirectory(RUN), TrainingMetrics.from_dict(METRICS)), as_json=False)
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
        f"next: dnn evaluate '{RUN}'",
    ]
    train.print_training(Result(RunDirectory(RUN), TrainingMetrics.from_dict(METRICS)), as_json=True)
    assert json.loads(capsys.readouterr().out) == {"run": str(RUN), **METRICS}
