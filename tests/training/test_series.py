"""Test several trainings in one command: same results as alone, checks before the first, and what stops a series."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli import progress
from dnn_cli.config import loading
from dnn_cli.data import datasets
from dnn_cli.data.sources.four_arrays import FourArrays
from dnn_cli.errors import RunError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import TrainingMetrics
from tests.conftest import Answer, assert_same_bits
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]

FIRST = """
seed: 3
data: {dataset: mnist-sample, validation: 500}
model: {layers: [{units: 16, dropout: 0.2, batch_normalization: true}]}
training: {epochs: 2, batch_size: 50}
"""
SECOND = FIRST.replace("units: 16", "units: 12").replace("500", "0.2")
NUMPY = ("--engine", "numpy")  # where it does not matter which, the one that starts at once
WILD = FIRST.replace("training:", "optimizer: {name: sgd, learning_rate: 1000}\ntraining:").replace(
    "{units: 16, dropout: 0.2, batch_normalization: true}", ", ".join(["{units: 16, activation: linear}"] * 3)
)


@pytest.fixture(autouse=True)
def _configs(tmp_path: Path) -> None:
    for name, text in (("first", FIRST), ("second", SECOND), ("wild", WILD)):
        (tmp_path / f"{name}.yaml").write_text(text)


def runs() -> list[str]:
    return sorted(str(path) for path in Path("runs").glob("*"))


def counting(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return a list that receives the arguments of each further call of a function."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(module, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, counted)
    return calls


def test_each_training_gives_the_same_bits_as_alone(
    dnn: Dnn, shared_runs: SharedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = shared_runs.path(SECOND)
    read = counting(FourArrays, "read", monkeypatch)
    answer = dnn("train", "-c", "first.yaml", "-c", "second.yaml")
    assert answer.code == 0
    assert len(read) == 1
    lines = answer.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "training 1 of 2: first.yaml",
        "epoch 1/2",
        "epoch 2/2",
        "training 2 of 2: second.yaml",
        "epoch 1/2",
        "epoch 2/2",
    ]
    printed = answer.stdout.splitlines()
    assert [line for line in printed if line.startswith(("run ", "next"))] == [
        "run           runs/first-1",
        "next: dnn evaluate runs/first-1",
        "run           runs/second-1",
        "next: dnn evaluate runs/second-1",
        "next: dnn compare runs/first-1 runs/second-1",
    ]
    for name in ("last", "best"):
        assert_same_bits(alone / f"checkpoints/{name}.keras", Path(f"runs/second-1/checkpoints/{name}.keras"))
    assert (alone / "config.yaml").read_text() == Path("runs/second-1/config.yaml").read_text()


def test_seeds_and_settings_apply_to_each_config(dnn: Dnn) -> None:
    options = (*NUMPY, "--epochs", 1, "--seed", 5, "--seed", 6, "--set", "data.validation=0")
    answer = dnn("train", "-c", "first.yaml", "-c", "second.yaml", *options, "-q", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    printed = json.loads(answer.stdout)
    assert [one["run"] for one in printed] == ["runs/first-1", "runs/first-2", "runs/second-1", "runs/second-2"]
    for one in printed:
        assert one == {"run": one["run"], **json.loads(Path(one["run"], "metrics.json").read_text())}
    chosen = [loading.load(f"{one['run']}/config.yaml") for one in printed]
    assert [config.seed for config in chosen] == [5, 6, 5, 6]
    assert {(config.training.epochs, config.data.validation) for config in chosen} == {(1, 0)}


def test_one_config_with_one_seed_is_a_single_training(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "first.yaml", *NUMPY, "--seed", 5, "--epochs", 1, "--json", "-q")
    assert json.loads(answer.stdout)["run"] == "runs/first-1"
    assert loading.load("runs/first-1/config.yaml").seed == 5


def test_a_dry_run_shows_each_training(dnn: Dnn) -> None:
    arguments = ("train", "-c", "first.yaml", "--seed", 1, "--seed", 2, "--dry-run")
    first, second = re.split(r"^# .*\n", dnn(*arguments).stdout, flags=re.MULTILINE)[1:]
    assert re.findall(r"^# .*$", dnn(*arguments).stdout, re.MULTILINE) == [
        "# first.yaml with seed 1",
        "# first.yaml with seed 2",
    ]
    assert loading.parse(first.split("\n\n")[0], "printed").seed == 1
    assert second.endswith("\ndata: mnist-sample (on this machine)\n")
    plans = json.loads(dnn(*arguments, "--json").stdout)
    assert [plan["config"]["seed"] for plan in plans] == [1, 2]
    assert plans[0]["parameters"] == 784 * 16 + 16 + 4 * 16 + 16 * 10 + 10
    assert runs() == []


# Problems that prevent the start


def test_all_problems_of_all_configs_are_reported_before_training_starts(dnn: Dnn, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sed: 1\ntraining: {epochs: 0}\n")
    for options in ((), ("--dry-run",)):
        answer = dnn("train", "-c", "first.yaml", "-c", "bad.yaml", "-c", "smok", "--batch-size", 0, *options)
        assert answer == Answer(
            2,
            "",
            "error: the command line has 1 problem\n"
            "  --batch-size 0  training.batch_size: must be at least 1, got 0\n"
            "the command line and bad.yaml have 3 problems\n"
            "  --batch-size 0  training.batch_size: must be at least 1, got 0\n"
            "  bad.yaml:1:1    sed: unknown key (did you mean 'seed'?)\n"
            "  bad.yaml:2:20   training.epochs: must be at least 1, got 0\n"
            "there is no config file smok (did you mean 'smoke'?); "
            "shipped configs: mnist, smoke, small, fast, best, tiny, zero-to-four, five-to-nine\n",
        )
    assert runs() == []


def test_data_and_networks_of_all_trainings_are_checked_first(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = counting(datasets, "find", monkeypatch)
    answer = dnn("train", "-c", "first.yaml", "-c", "second.yaml", "--set", "data.dataset=none.npz")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: first.yaml, second.yaml: there is no dataset 'none.npz'; known: mnist, ")
    assert len(answer.stderr.splitlines()) == 1
    assert looked == [("none.npz", None)]

    Path("second.yaml").write_text(SECOND.replace("validation: 0.2", "validation: 4000"))
    Path("wild.yaml").write_text(WILD.replace("units: 16", "units: 16384"))
    answer = dnn("train", "-c", "first.yaml", "-c", "second.yaml", "-c", "wild.yaml")
    assert answer == Answer(
        2,
        "",
        "error: second.yaml: data.validation: cannot hold out 4,000 of 4,000 training images; at most 3,999 can be\n"
        "wild.yaml: model.layers makes a network of 549,928,970 parameters; at most 200,000,000 are allowed\n",
    )
    assert runs() == []


# Events that stop a training


def test_a_loss_that_is_not_finite_does_not_stop_the_other_trainings(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "wild.yaml", "-c", "second.yaml", "--json", "-q")
    assert answer.code == 1
    assert [one["run"] for one in json.loads(answer.stdout)] == ["runs/second-1"]
    first, hint, last = answer.stderr.splitlines()
    assert re.fullmatch(
        r"error: wild\.yaml: loss became (nan|inf) in epoch 1, .* no epoch is saved in runs/wild-1", first
    )
    assert hint == "a lower optimizer.learning_rate usually helps"
    assert last == "error: not finished: wild.yaml"


def test_a_full_disk_stops_the_series_and_the_error_lists_what_was_not_started(
    dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(run: RunDirectory, *_: Any) -> None:
        if run.path.name == "first-1":
            raise RunError(f"{run} cannot be written: No space left on device")

    monkeypatch.setattr(RunDirectory, "commit", full)
    answer = dnn("train", "-c", "wild.yaml", "-c", "first.yaml", "-c", "second.yaml", "-q")
    assert answer.code == 1
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[2:] == [
        "error: runs/first-1 cannot be written: No space left on device",
        "not finished: wild.yaml",
        "not started: second.yaml",
    ]
    assert runs() == ["runs/first-1", "runs/wild-1"]


@pytest.mark.parametrize(("number", "code", "engine"), [(signal.SIGINT, 130, "keras"), (signal.SIGTERM, 143, "numpy")])
def test_a_signal_stops_the_series_after_the_current_epoch(
    number: signal.Signals, code: int, engine: str, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress.QuietProgress, "epoch", lambda *_: signal.raise_signal(number))
    before = signal.getsignal(number)
    both = ("-c", "first.yaml", "-c", "second.yaml", "--seed", 1, "--seed", 2)
    answer = dnn("train", *both, "--engine", engine, "-q")
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr == (
        f"{number.name}: saving; a second {number.name} stops at once and loses the steps since the last checkpoint\n"
        "error: interrupted; epoch 1 is saved in runs/first-1\n"
        "resume with: dnn train --resume runs/first-1\n"
        "not started: first.yaml with seed 2, second.yaml with seed 1, second.yaml with seed 2\n"
    )
    assert signal.getsignal(number) is before
    assert runs() == ["runs/first-1"]


def test_a_signal_between_two_trainings_stops_the_series(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    write = RunDirectory.write_metrics

    def interrupted(run: RunDirectory, metrics: TrainingMetrics) -> None:
        write(run, metrics)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(RunDirectory, "write_metrics", interrupted)
    answer = dnn("train", "-c", "first.yaml", "-c", "second.yaml", *NUMPY, "-q")
    assert (answer.code, answer.stderr) == (143, "error: interrupted at first.yaml\nnot started: second.yaml\n")
    assert runs() == ["runs/first-1"]
