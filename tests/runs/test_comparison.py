"""Test `dnn compare`: figures, ranking, figures that are not comparable, and unfinished or damaged runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.cli.compare import compare
from dnn_cli.config import loading
from dnn_cli.runs import criteria
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, ROOT, Answer, command
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
Edit = Callable[..., None]

CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""


@pytest.fixture(scope="module")
def trained(shared_runs: SharedRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs a and b, of two networks on the same images, both evaluated; tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    shared_runs.copy(folder / "a", CONFIG, evaluated=True)
    shared_runs.copy(folder / "b", CONFIG.replace("[8]", "[32, {units: 16, dropout: 0.1}]"), evaluated=True)
    return folder


@pytest.fixture
def both(trained: Path, tmp_path: Path) -> None:
    """Copy the runs a and b here, for tests that change them."""
    for name in ("a", "b"):
        shutil.copytree(trained / name, tmp_path / name)
        forget_digests(tmp_path / name)


def edit(file: str, **changes: Any) -> None:
    """Change values of a JSON file by their keys; ``a__b`` is the key b in the object a."""
    values = json.loads(Path(file).read_text())
    for key, value in changes.items():
        *parts, last = key.split("__")
        inner = values
        for part in parts:
            inner = inner[part]
        inner[last] = value
    Path(file).write_text(json.dumps(values))


def figures(answer: Answer) -> Any:
    assert answer.code == 0, answer
    return json.loads(answer.stdout)


def remarks(answer: Answer) -> list[str]:
    """Return the lines below the table."""
    assert answer.code == 0, answer
    return answer.stdout.split("\n\n")[1].splitlines() if "\n\n" in answer.stdout else []


def history(name: str, *accuracies: float) -> None:
    """Write a history with these validation accuracies."""
    rows = [f"{epoch},1.0,0.5,1.0,{value},0.001,2.5" for epoch, value in enumerate(accuracies, start=1)]
    header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"
    Path(name, "history.csv").write_text("\n".join([header, *rows, ""]))


RANKED = "ranked by val accuracy on 500 images of mnist-sample held out by seed 0"
CHANCE = "{} and {} may differ by chance alone: their 95 % intervals overlap"


# The figures


def test_the_table_shows_differing_settings_and_figures(both: None, dnn: Dnn) -> None:
    history("a", 0.7, 0.8)
    history("b", 0.6, 0.9)
    for name, best in (("a", 2), ("b", 2)):
        edit(f"{name}/state.json", last__best__epoch=best)
        edit(f"{name}/evaluation/test.json", epoch=best, accuracy=0.75, accuracy_interval=[0.7224, 0.7761])
    assert dnn("compare", "a", "b").stdout.splitlines() == [
        "run          data                         model.layers  best epoch  val loss  val accuracy  test accuracy"
        "     95 % interval  epochs  parameters   time",
        'b    mnist-sample  [32, {"units": 16, "dropout": 0.1}]           2    1.0000        0.9000         0.7500'
        "  0.7224 to 0.7761       2      25,818  5.0 s",
        "a    mnist-sample                                  [8]           2    1.0000        0.8000         0.7500"
        "  0.7224 to 0.7761       2       6,370  5.0 s",
        "",
        RANKED,
    ]


def test_json_output_holds_the_settings_and_figures(trained: Path, dnn: Dnn) -> None:
    found = figures(dnn("compare", trained / "a", trained / "b", "--json"))
    assert list(found) == ["ranked_by", "remarks", "runs", "configs"]
    assert found["configs"] is None
    assert found["ranked_by"] == "val_accuracy"
    assert [Path(one["run"]).name for one in found["runs"]] == ["b", "a"]
    second = found["runs"][1]
    assert second["settings"] == {"model.layers": [8]}
    assert (second["dataset"], second["note"]) == ("mnist-sample", "")
    assert (second["epochs"], second["finished"], second["parameters"]) == (2, True, 6370)
    rows = RunDirectory.open(trained / "a").history(2)
    assert second["best"] == min(rows, key=lambda row: row["val_loss"])
    assert second["seconds"] == sum(row["seconds"] for row in rows)
    evaluated = json.loads((trained / "a/evaluation/test.json").read_text())
    kept = ("dataset", "fingerprint", "images", "epoch", "loss", "accuracy", "accuracy_interval")
    assert second["test"] == {**{key: evaluated[key] for key in kept}, "outdated": False}


def test_a_run_without_validation_shows_its_training_figures(both: None, dnn: Dnn) -> None:
    Path("b/config.yaml").write_text(CONFIG.replace("500", "0"))
    Path("b/history.csv").write_text(
        "epoch,loss,accuracy,learning_rate,seconds\n1,0.5,0.75,0.1,1\n2,0.25,0.875,0.1,1\n"
    )
    edit("b/state.json", last__best={"epoch": 2, "monitor": "loss", "value": 0.25, "sha256": "0" * 64})
    lines = [re.split(r"  +", line) for line in dnn("compare", "a", "b").stdout.splitlines()[:3]]
    table = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}
    assert (table["a"]["accuracy"], table["b"]["val accuracy"]) == ("–", "–")
    assert (table["b"]["loss"], table["b"]["accuracy"], table["b"]["data.validation"]) == ("0.2500", "0.8750", "0")


def test_the_fallback_dataset_is_named_in_the_table_and_below_it(both: None, dnn: Dnn) -> None:
    for name in ("a", "b"):
        edit(f"{name}/environment.json", dataset__requested="mnist", dataset__note="not MNIST")
    answer = dnn("compare", "a", "b")
    assert re.search(r"^a +mnist-sample, not mnist ", answer.stdout, re.MULTILINE)
    assert answer.stdout.splitlines()[-1] == "warning: b, a: not MNIST"
    assert [one["note"] for one in figures(dnn("compare", "a", "b", "--json"))["runs"]] == ["not MNIST"] * 2


# The ranking


def test_a_lead_that_may_be_due_to_chance_is_reported(both: None, dnn: Dnn) -> None:
    for leader, order in ((0.9, ["b", "a"]), (0.82, ["b", "a"]), (0.7, ["a", "b"])):
        history("a", 0.1, 0.8)
        history("b", 0.1, leader)
        for name in ("a", "b"):
            edit(f"{name}/state.json", last__best__epoch=2)
            edit(f"{name}/evaluation/test.json", epoch=2)
        answer = dnn("compare", "a", "b")
        assert [line[0] for line in answer.stdout.splitlines()[1:3]] == order
        assert remarks(answer) == [RANKED, *([CHANCE.format("b", "a")] if leader == 0.82 else [])]


def test_of_runs_with_equal_figures_the_smaller_network_is_first(both: None, dnn: Dnn) -> None:
    for name in ("a", "b"):
        history(name, 0.5, 0.8)
        edit(f"{name}/state.json", last__best__epoch=2)
    assert [one["run"] for one in figures(dnn("compare", "b", "a", "--json"))["runs"]] == ["a", "b"]


def test_runs_with_different_validation_images_are_ranked_by_test_accuracy(both: None, dnn: Dnn) -> None:
    Path("b/config.yaml").write_text(CONFIG.replace("[8]", "[32]") + "seed: 7\n")
    edit("a/evaluation/test.json", accuracy=0.9, accuracy_interval=[0.88, 0.92])
    edit("b/evaluation/test.json", accuracy=0.8, accuracy_interval=[0.77, 0.83])
    conflict = (
        "a was validated on 500 images of mnist-sample held out by seed 0, "
        "b on 500 images of mnist-sample held out by seed 7"
    )
    assert remarks(dnn("compare", "b", "a")) == [
        "ranked by test accuracy on mnist-sample",
        f"the val accuracy figures are not comparable: {conflict}",
    ]
    Path("b/evaluation/test.json").unlink()
    assert remarks(dnn("compare", "a", "b")) == [f"not ranked: {conflict}; `dnn evaluate` was not run on b"]
    assert [one["run"] for one in figures(dnn("compare", "b", "a", "--json"))["runs"]] == ["b", "a"]


def test_runs_on_different_data_are_not_ranked_and_the_reason_is_printed(both: None, dnn: Dnn) -> None:
    edit("b/environment.json", dataset__name="mnist", dataset__fingerprint="sha256:0")
    edit("b/evaluation/test.json", dataset="mnist", fingerprint="sha256:1")
    answer = dnn("compare", "a", "b")
    assert remarks(answer) == [
        "not ranked: a was validated on 500 images of mnist-sample held out by seed 0, "
        "b on 500 images of mnist held out by seed 0; a was evaluated on mnist-sample, b on mnist"
    ]
    assert figures(dnn("compare", "a", "b", "--json"))["ranked_by"] is None
    for sort, words in (
        ("val_accuracy", "a was validated"),
        ("test_accuracy", "a was evaluated on mnist-sample, b on m"),
    ):
        rejected = dnn("compare", "a", "b", "--sort", sort)
        assert (rejected.code, rejected.stdout) == (2, "")
        assert rejected.stderr.startswith(f"error: --sort {sort}: {words}")
    edit("b/evaluation/test.json", dataset="mnist-sample")
    reason = remarks(dnn("compare", "a", "b"))[0]
    assert reason.endswith("; a was evaluated on mnist-sample, b on other images of that name")


def test_figures_that_are_not_comparable_are_reported_beside_a_ranking_by_another(both: None, dnn: Dnn) -> None:
    history("b", 0.9, 0.9)
    edit("b/evaluation/test.json", dataset="mnist", fingerprint="sha256:1")
    answer = remarks(dnn("compare", "a", "b"))
    assert answer[0] == RANKED
    assert "the test accuracy figures are not comparable: b was evaluated on mnist, a on mnist-sample" in answer


@pytest.mark.parametrize(
    ("sort", "order", "first"),
    [
        ("val_accuracy", "ba", RANKED),
        ("test_accuracy", "ba", "ranked by test accuracy on mnist-sample"),
        ("parameters", "ab", "ranked by parameters"),
        ("seconds", "ab", "ranked by seconds on here with 2 processors"),
    ],
)
def test_sort_selects_the_figure_to_rank_by(sort: str, order: str, first: str, both: None, dnn: Dnn) -> None:
    for name, level in (("a", 0.5), ("b", 0.75)):
        history(name, 0.1, level)
        edit(f"{name}/evaluation/test.json", accuracy=level)
        edit(f"{name}/environment.json", platform="here", cpus=2)
    answer = dnn("compare", "b", "a", "--sort", sort)
    assert "".join(line[0] for line in answer.stdout.splitlines()[1:3]) == order
    assert remarks(answer)[0] == first


def test_times_on_different_machines_are_not_ranked(both: None, dnn: Dnn) -> None:
    edit("a/environment.json", platform="here", cpus=2)
    edit("b/environment.json", platform="there", cpus=64)
    assert dnn("compare", "a", "b", "--sort", "seconds") == Answer(
        2, "", "error: --sort seconds: a was trained on here with 2 processors, b on there with 64 processors\n"
    )


def test_the_sort_option_offers_every_criterion() -> None:
    (option,) = [parameter for parameter in compare.params if parameter.name == "sort"]
    assert option.to_info_dict()["type"]["choices"] == tuple(criteria.CRITERIA)


# Unfinished, old and damaged runs


def test_an_evaluation_of_another_epoch_than_the_best_is_reported(both: None, dnn: Dnn) -> None:
    best = RunDirectory.open(Path("a")).state()
    assert best
    for epoch, words in ((1 + best.last.best.epoch % 2, "epoch {}"), (None, "another file")):
        edit("a/evaluation/test.json", epoch=epoch)
        assert remarks(dnn("compare", "a", "b"))[-1] == (
            f"a: the test figures are those of {words.format(epoch)}, but the best is epoch {best.last.best.epoch}; "
            "`dnn evaluate a` updates them"
        )
    assert [one["test"]["outdated"] for one in figures(dnn("compare", "a", "b", "--json"))["runs"]] == [False, True]


def test_unfinished_runs_are_shown_with_what_they_reached(both: None, dnn: Dnn) -> None:
    Path("a/metrics.json").unlink()
    Path("a/config.yaml").write_text(CONFIG.replace("epochs: 2", "epochs: 5"))
    shutil.copytree("a", "c")
    for name in ("c/state.json", "c/history.csv"):
        Path(name).unlink()
    for name in ("c/evaluation", "c/checkpoints"):
        shutil.rmtree(name)
    answer = dnn("compare", "c", "a", "b")
    assert re.search(r"  2 of 5, unfinished       6,370  ", answer.stdout)
    assert re.search(r"^c .*  – +–  0 of 5, unfinished       6,370 +0\.0 s$", answer.stdout.split("\n\n")[0], re.M)
    found = figures(dnn("compare", "c", "a", "b", "--json"))
    assert [(one["run"], one["finished"]) for one in found["runs"]] == [("b", True), ("a", False), ("c", False)]
    assert (found["ranked_by"], found["runs"][2]["best"]) == ("val_accuracy", None)
    assert remarks(dnn("compare", "c")) == []
    assert dnn("compare", "c", "--sort", "parameters").code == 0


def test_early_stopping_counts_as_finished_and_an_old_summary_does_not(both: None, dnn: Dnn) -> None:
    Path("a/config.yaml").write_text(CONFIG.replace("epochs: 2", "epochs: 5"))
    edit("a/metrics.json", stopped_early=True)
    assert "  2, stopped early  " in dnn("compare", "a", "b").stdout
    edit("a/metrics.json", epochs=1, stopped_early=False)
    assert "  2 of 5, unfinished  " in dnn("compare", "a", "b").stdout


def test_runs_of_an_old_version_without_some_records_are_compared(both: None, dnn: Dnn) -> None:
    for name in ("a", "b"):
        values = json.loads(Path(name, "environment.json").read_text())
        for key in ("image_shape", "validation_images"):
            del values["dataset"][key]
        Path(name, "environment.json").write_text(json.dumps(values))
    Path("a/metrics.json").unlink()
    found = figures(dnn("compare", "a", "b", "--json"))
    assert (found["ranked_by"], found["runs"][1]["parameters"]) == ("val_accuracy", None)
    assert dnn("compare", "a", "b", "--sort", "parameters") == Answer(
        2, "", "error: --sort parameters: the number of parameters is not recorded by a\n"
    )


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.yaml", "sed: 1\n", "a/config.yaml has 1 problem\n  a/config.yaml:1:1  sed: unknown key"),
        ("environment.json", "{}", "a/environment.json is damaged: dataset: field required"),
        ("state.json", "{}", "a/state.json is damaged"),
        ("metrics.json", "[]", "a/metrics.json is damaged: it is not a JSON object"),
        (
            "history.csv",
            "epoch,loss\n1,2\n2,1\n",
            "a/history.csv is damaged: line 2: missing accuracy, learning_rate",
        ),
        ("evaluation/test.json", "{}", "a/evaluation/test.json is damaged: images: field required"),
        ("evaluation/test.json", '{"accuracy": ', "a/evaluation/test.json is damaged: Expecting value"),
    ],
)
def test_a_damaged_run_is_reported_and_the_others_are_compared(
    file: str, content: str, words: str, both: None, dnn: Dnn
) -> None:
    Path("a", file).write_text(content)
    answer = dnn("compare", "a", "b")
    assert answer.code == 1
    assert answer.stderr.startswith(f"error: {words}")
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["run", "b"]
    assert dnn("compare", "a") == Answer(1, "", answer.stderr)


def test_all_paths_that_are_not_runs_are_reported_at_once(both: None, dnn: Dnn) -> None:
    Path("empty").mkdir()
    assert dnn("compare", "a", "empty", "nowhere") == Answer(
        2, "", "error: empty is not a run: it has no config.yaml\nthere is no run nowhere\n"
    )
    assert dnn("compare").stderr.splitlines()[-1] == "Error: Missing argument 'RUN...'."


def test_a_run_named_twice_is_shown_once(both: None, dnn: Dnn) -> None:
    assert len(figures(dnn("compare", "a", "./a/", "b", Path("a").absolute(), "--json"))["runs"]) == 2
    alone = dnn("compare", "a", "a")
    assert len(alone.stdout.splitlines()) == 2
    assert "model.layers" not in alone.stdout


# The output


@pytest.mark.parametrize(("columns", "tables"), [(200, 0), (80, 1), (36, 2)])
def test_on_a_narrow_terminal_each_run_is_a_column(columns: int, tables: int, both: None) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command("compare", "a", "b"), stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux raises it when the other end is closed
        pass
    os.close(ours)
    assert child.wait(PATIENCE) == 0
    text = shown.decode().replace("\r", "")
    lines = text.partition("ranked")[0].splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.startswith("val accuracy ") for line in lines) == tables
    assert text.count("mnist-sample") >= 2
    assert "…" not in text


def test_compare_imports_no_heavy_library(both: None) -> None:
    code = """
import sys
from dnn_cli.__main__ import run
code = run(["compare", "a", "b", "--json"])
assert not {"tensorflow", "keras", "matplotlib", "numpy"} & set(sys.modules)
sys.exit(code)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_validation_as_a_count_and_as_a_fraction_select_the_same_images(both: None, dnn: Dnn) -> None:
    assert loading.load("b/config.yaml").data.validation == 500
    text = Path("b/config.yaml").read_text()
    Path("b/config.yaml").write_text(text.replace("validation: 500", "validation: 0.125"))
    answer = dnn("compare", "a", "b")
    assert remarks(answer)[0] == RANKED
    assert "data.validation" in answer.stdout
