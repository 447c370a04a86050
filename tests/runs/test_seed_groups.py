"""Test the comparison of configs over their seeds: figures, names, the paired tests, and what is left out."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dnn_cli.runs import comparison
from tests.conftest import ROOT, Answer
from tests.shared_runs import SharedRuns

Dnn = Callable[..., Answer]
SCHEMA = ROOT / "docs/reference/schemas/report-several.json"

CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""
LARGE = CONFIG.replace("[8]", "[32]")


@pytest.fixture
def seeds(shared_runs: SharedRuns, tmp_path: Path) -> list[str]:
    """Copy three seeds of two configs here, as a series of trainings would name them."""
    for name, config in (("small", CONFIG), ("large", LARGE)):
        for seed in (1, 2, 3):
            shared_runs.copy(tmp_path / f"{name}-{seed}", config, "--seed", seed)
    return [f"{name}-{seed}" for name in ("small", "large") for seed in (1, 2, 3)]


def best_accuracies(*runs: str) -> list[float]:
    """Return the validation accuracies of the best epochs."""
    found = comparison.compare_runs([Path(run) for run in runs])
    by_name = {str(status.run): status.best["val_accuracy"] for status in found.candidates if status.best}
    return [by_name[run] for run in runs]


def configs(dnn: Dnn, *arguments: object) -> Any:
    answer = dnn("compare", *arguments, "--json")
    assert answer.code == 0, answer
    return json.loads(answer.stdout)["configs"]


def test_seeds_are_one_config_and_configs_are_compared_by_them(seeds: list[str], dnn: Dnn) -> None:
    found = configs(dnn, *seeds)
    assert found["ranked_by"] == "val_accuracy"
    assert [(one["config"], one["seeds"]) for one in found["configs"]] == [("large", [1, 2, 3]), ("small", [1, 2, 3])]
    large, small = best_accuracies(*seeds[3:]), best_accuracies(*seeds[:3])
    for one, figures in zip(found["configs"], (large, small), strict=True):
        spread = one["figures"]["val_accuracy"]
        assert (spread["mean"], spread["deviation"]) == pytest.approx((mean(figures), stdev(figures)))
        half = 4.30265 * stdev(figures) / 3**0.5
        assert spread["interval"] == pytest.approx([mean(figures) - half, mean(figures) + half], abs=1e-5)
        assert one["figures"]["test_accuracy"] is None
    (test,) = found["tests"]
    differences = [a - b for a, b in zip(large, small, strict=True)]
    assert (test["best"], test["other"], test["seeds"]) == ("large", "small", [1, 2, 3])
    assert test["difference"]["mean"] == pytest.approx(mean(differences))
    assert test["p"] == test["corrected"] < 0.05
    assert test["more_than_chance"] is True


def test_the_table_and_the_verdict_over_seeds(seeds: list[str], dnn: Dnn) -> None:
    answer = dnn("compare", *seeds)
    _, table, remarks = answer.stdout.split("\n\n")
    large = best_accuracies(*seeds[3:])
    assert [line.split()[:4] for line in table.splitlines()[1:]] == [
        ["large", "1", "2", "3"],
        ["small", "1", "2", "3"],
    ]
    assert f"{mean(large):.4f} ± {stdev(large):.4f} (" in table
    ranked, verdict = remarks.splitlines()
    assert ranked == "configs are ranked by their mean val accuracy over seeds"
    assert verdict.startswith("large is significantly better than small: val accuracy +0.")
    assert " on average over 3 seeds (95 % interval +0." in verdict
    # Runs of several seeds hold out other images, but the configs can be ranked by what they hold out.
    assert dnn("compare", *seeds, "--sort", "val_accuracy").code == 0


def test_p_values_of_three_configs_are_corrected(seeds: list[str], shared_runs: SharedRuns, dnn: Dnn) -> None:
    for seed in (1, 2):
        shared_runs.copy(f"third-{seed}", CONFIG.replace("[8]", "[9]"), "--seed", seed)
    tests = configs(dnn, *seeds, "third-1", "third-2")["tests"]
    assert {test["other"]: len(test["seeds"]) for test in tests} == {"small": 3, "third": 2}
    first, second = sorted(tests, key=lambda test: test["p"])
    assert first["corrected"] == pytest.approx(2 * first["p"])
    assert second["corrected"] == pytest.approx(max(second["p"], 2 * first["p"]))


def test_configs_of_one_name_are_told_apart_by_their_settings(seeds: list[str], dnn: Dnn) -> None:
    for number, run in enumerate(seeds, start=1):
        Path(run).rename(f"c-{number}")
    found = configs(dnn, *[f"c-{number}" for number in range(1, 7)])
    names = [one["config"] for one in found["configs"]]
    assert names == ["c (model.layers[0].units=32)", "c (model.layers[0].units=8)"]


def test_a_repeated_seed_is_left_out_and_too_few_shared_seeds_are_no_test(
    seeds: list[str], shared_runs: SharedRuns, dnn: Dnn
) -> None:
    shared_runs.copy("again-1", CONFIG, "--seed", 1)
    answer = dnn("train", "--resume", "small-3", "--epochs", 3)  # another number of epochs is another config
    assert answer.code == 0
    answer = dnn("compare", *seeds, "again-1")
    assert "left out of the figures over seeds: again-1 (the same config and seed as another run)" in answer.stdout
    found = configs(dnn, *seeds, "again-1")
    assert sorted(one["seeds"] for one in found["configs"]) == [[1, 2], [1, 2, 3], [3]]
    assert [len(test["seeds"]) for test in found["tests"]] == [2]
    name = next(one["config"] for one in found["configs"] if one["seeds"] == [3])
    assert f"shares fewer than two seeds with them: {name}" in answer.stdout


def test_one_seed_of_each_config_is_compared_as_before(seeds: list[str], dnn: Dnn) -> None:
    assert configs(dnn, "small-1", "large-1") is None
    assert dnn("compare", "small-1", "large-1").stdout.splitlines()[-1] == (
        "ranked by val accuracy on 500 images of mnist-sample held out by seed 1"
    )


def test_a_training_with_several_seeds_prints_their_mean(dnn: Dnn, tmp_path: Path) -> None:
    Path("net.yaml").write_text(CONFIG)
    answer = dnn("train", "-c", "net.yaml", "--seed", 1, "--seed", 2)
    assert answer.code == 0
    figures = best_accuracies("runs/net-1", "runs/net-2")
    *_, title, line, empty, following = answer.stdout.splitlines()
    assert title.split() == ["config", "seeds", "val", "accuracy"]
    assert line.startswith(f"net       1 2  {mean(figures):.4f} ± {stdev(figures):.4f} (")
    assert (empty, following.endswith("compare runs/net-1 runs/net-2")) == ("", True)


def test_the_report_compares_configs_instead_of_single_runs(seeds: list[str], dnn: Dnn) -> None:
    answer = dnn("report", *seeds, "--json")
    assert answer.code == 0, answer
    found = json.loads(answer.stdout)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    assert found["configs"] == configs(dnn, *seeds)
    assert found["duels"] == []
    (verdict,) = found["verdicts"]
    assert verdict.startswith("large is significantly better than small: val accuracy +0.")
    page = Path("comparison.html").read_text()
    assert "<h2>Which config is better</h2>" in page
    large = best_accuracies(*seeds[3:])
    assert f'<th scope="row">large</th><td>1 2 3</td><td>{mean(large):.4f} ± {stdev(large):.4f} (' in page
    assert page.count(verdict) == 1
    assert "McNemar" not in page
    (alone, *_) = json.loads(dnn("report", *seeds[:3], "--json").stdout)["verdicts"]
    assert alone.startswith("val accuracy of small over 3 seeds: 0.")
