"""Test `dnn report`: the page of a run, the comparison of several runs, and its messages."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.runs import comparison
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import Answer
from tests.files import digits, write_npz
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
Trained = Callable[..., Path]
PICTURES = ["loss", "accuracy", "learning-rate", "seconds", "confusion", "reliability", "weights", "activations-1"]
LIMIT = 2_000_000


@pytest.fixture
def trained(shared_runs: SharedRuns) -> Trained:
    """Return a function that copies a run on the sample, trained with some options, to a folder."""

    def call(to: str, *options: object) -> Path:
        return shared_runs.copy(to, "smoke", "--engine", "numpy", "--epochs", 3, *options)

    return call


@pytest.fixture
def runs(trained: Trained) -> tuple[str, str]:
    """Copy two runs to the working folder, the second with validation images; return their paths."""
    trained("runs/one")
    trained("runs/other", "--set", "data.validation=0.1", "--set", "model.layers=[32, 16]", "--seed", 1)
    return "runs/one", "runs/other"


def report(dnn: Dnn, *arguments: object) -> dict[str, Any]:
    answer = dnn("report", *arguments, "--json")
    assert answer.code == 0, answer.stderr
    return dict(json.loads(answer.stdout))


def text_of(path: str) -> str:
    """Return the text of a page without its markup."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", Path(path).read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_the_page_shows_the_figures_of_the_evaluation(runs: tuple[str, str], dnn: Dnn) -> None:
    answer = dnn("report", runs[1])
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == "runs/other/report.html"
    page = Path("runs/other/report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < LIMIT
    assert page.count("<svg ") == len(PICTURES) + 1  # it has two hidden layers
    assert page.count("<img ") >= 25
    assert "<script" not in page
    assert "default-src 'none'" in page
    found = json.loads(dnn("evaluate", runs[1], "--json").stdout)
    said = text_of("runs/other/report.html")
    low, high = found["accuracy_interval"]
    assert f"test accuracy {found['accuracy']:.4f} 95 % interval {low:.4f} to {high:.4f}" in said
    assert "validation 400" in said
    assert "layers: - units: 32 - units: 16" in said
    assert "numpy" in said


def test_the_page_says_when_where_and_how_to_look_further(runs: tuple[str, str], dnn: Dnn) -> None:
    found = report(dnn, runs[0])
    page = Path(found["report"]).read_text()
    environment = json.loads(Path(runs[0], "environment.json").read_text())
    for name in ("started", "processor"):
        assert f"<dt>{name}</dt><dd>{escape(environment[name])}</dd>" in page
    assert datetime.fromisoformat(environment["started"]).tzinfo == UTC
    index = found["mistakes"][0]["index"]
    assert f"<code>dnn explain {runs[0]} --index {index}</code>" in page
    assert f'<li title="dnn explain {runs[0]} --index {index}">' in page
    # The training accuracy is a running mean, of which no interval can be given.
    training = re.search(r'<th scope="row">training</th>.*', page)
    assert training is not None
    assert training[0].count("<td>–</td>") == 1
    assert " to " not in training[0]


def test_a_page_is_reproducible_and_is_replaced(runs: tuple[str, str], dnn: Dnn) -> None:
    dnn("report", runs[0])
    page = Path(runs[0], "report.html").read_bytes()
    Path(runs[0], "report.html").write_text("old")
    dnn("report", runs[0])
    assert Path(runs[0], "report.html").read_bytes() == page
    assert list(Path(runs[0]).glob(".report*")) == []


def test_the_numbers_of_the_newest_run(runs: tuple[str, str], dnn: Dnn) -> None:
    Path(runs[1], "config.yaml").touch()
    found = report(dnn)
    assert (found["run"], found["state"], found["epochs"]) == ("runs/other", "done", 3)
    scored = json.loads(dnn("evaluate", runs[1], "--json").stdout)
    assert {key: found["test"][key] for key in ("accuracy", "confusion", "loss")} == {
        key: scored[key] for key in ("accuracy", "confusion", "loss")
    }
    low, high = found["test"]["loss_interval"]
    assert low < found["test"]["loss"] < high
    assert [layer["units"] for layer in found["layers"]] == [32, 16]
    highest = [mistake["probability"] for mistake in found["mistakes"]]
    assert highest == sorted(highest, reverse=True)
    assert all(mistake["label"] != mistake["guess"] for mistake in found["mistakes"])
    lowest = [hit["probability"] for hit in found["least_certain_hits"]]
    assert lowest == sorted(lowest)
    assert all(hit["label"] == hit["guess"] for hit in found["least_certain_hits"])
    assert all(finding["title"] in text_of(found["report"]) for finding in found["findings"])


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_pictures_are_saved_on_request(kind: str, runs: tuple[str, str], dnn: Dnn) -> None:
    found = report(dnn, runs[0], "--plots", kind)
    names = [*PICTURES, "mistakes", "least-certain-hits"]
    assert found["plots"] == [f"runs/one/plots/{name}.{kind}" for name in names]
    for path in map(Path, found["plots"]):
        assert path.read_bytes().startswith(b"<?xml" if kind == "svg" else b"\x89PNG")


def test_names_and_settings_are_escaped(runs: tuple[str, str], dnn: Dnn) -> None:
    name = "<img src=x onerror=alert(1)>&\"'"
    shutil.copytree(runs[0], name)
    forget_digests(name)
    config, environment = Path(name, "config.yaml"), Path(name, "environment.json")
    config.write_text(config.read_text().replace("fallback: null", "fallback: mnist-sample"))
    values = json.loads(environment.read_text())
    values["command"] = ["dnn", "</pre><script>alert(2)</script>"]
    values["platform"] = "<b>bold</b>"
    environment.write_text(json.dumps(values))
    assert dnn("report", name).code == 0
    page = Path(name, "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<script" not in page
    assert "<b>bold" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&#34;&#39;" in page
    other = "_$\\frac$ $x"
    shutil.copytree(runs[1], other)
    assert dnn("report", name, other).code == 0
    page = Path("comparison.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert f"./{other}</text>" in page


def test_a_fallback_dataset_is_a_warning(trained: Trained, dnn: Dnn) -> None:
    trained("one", "--set", "data.dataset=mnist", "--set", "data.fallback=mnist-sample", "--epochs", 1)
    answer = dnn("report", "one")
    assert answer.code == 0
    assert "using mnist-sample instead" in answer.stderr
    assert '<p class="warning" role="note">' in Path("one/report.html").read_text(encoding="utf-8")
    assert "using mnist-sample instead" in text_of("one/report.html")


def test_without_its_data_the_rest_is_shown(trained: Trained, dnn: Dnn) -> None:
    own = write_npz(Path("own.npz"), **digits())
    trained("one", "--set", f"data.dataset={own}", "--epochs", 1)
    Path("own.npz").unlink()
    answer = dnn("report", "one")
    assert answer.code == 0
    assert "warning: The test images of one cannot be read, so there is no evaluation: " in answer.stderr
    page = Path("one/report.html").read_text(encoding="utf-8")
    assert page.count("<svg ") == 5  # curves and weights
    assert "Mistakes" not in page
    trained("two", "--epochs", 1)
    verdicts = report(dnn, "one", "two")["verdicts"]
    assert verdicts == ["Not compared, because their test images cannot be read: one."]


def test_a_run_with_selected_classes(trained: Trained, dnn: Dnn) -> None:
    trained("one", "--set", "data.classes=[0, 1, 7]", "--epochs", 1)
    found = report(dnn, "one")
    assert found["test"]["images"] < 400
    said = text_of("one/report.html")
    assert "classes 0 1 7" in said
    assert {mistake["label"] for mistake in found["mistakes"]} <= {0, 1, 7}


def test_an_unfinished_run_is_a_warning(runs: tuple[str, str], dnn: Dnn) -> None:
    config = Path(runs[0], "config.yaml")
    config.write_text(config.read_text().replace("epochs: 3", "epochs: 30"))
    answer = dnn("report", runs[0])
    assert answer.stderr == (
        "warning: runs/one is unfinished: it has 3 of 30 epochs; to resume: `dnn train --resume runs/one`\n"
    )
    with RunDirectory(Path(runs[0])).locked():
        found = report(dnn, runs[0])
    assert found["state"] == "running"
    assert found["warnings"] == ["runs/one is still being trained; these are its results after 3 of 30 epochs."]


def test_a_run_without_a_checkpoint_is_rejected(runs: tuple[str, str], dnn: Dnn) -> None:
    Path(runs[0], "state.json").unlink()
    shutil.rmtree(Path(runs[0], "checkpoints"))
    assert dnn("report", runs[0]) == Answer(
        1, "", "error: runs/one has no checkpoint yet; `dnn train --resume runs/one` trains it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no"], "error: there is no run no\n"),
        (["runs/one", "--out", "no/a.html"], "error: --out no/a.html: there is no folder no\n"),
        (["runs/one", "--out", "runs"], "error: --out runs: is a folder\n"),
    ],
)
def test_invalid_arguments_are_rejected(arguments: list[str], message: str, runs: tuple[str, str], dnn: Dnn) -> None:
    assert dnn("report", *arguments) == Answer(2, "", message)
    assert not Path("runs/one/report.html").exists()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["matplotlib"], "matplotlib, which is not installed"),
        (["jinja2"], "jinja2, which is not installed"),
        (["matplotlib", "jinja2"], "matplotlib and jinja2, which are not installed"),
    ],
)
def test_a_missing_extra_is_reported_before_any_work(
    missing: list[str], message: str, dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(comparison, "compare_runs", lambda *_: pytest.fail("the runs were read"))
    assert dnn("report", "one") == Answer(2, "", f"error: dnn report needs {message}: pip install 'dnn-cli[report]'\n")


def test_a_plots_folder_that_cannot_be_made(runs: tuple[str, str], dnn: Dnn) -> None:
    Path(runs[0], "plots").write_text("in the way")
    answer = dnn("report", runs[0], "--plots", "svg")
    assert answer == Answer(1, "", "error: runs/one/plots cannot be written: File exists\n")


def test_the_comparison_of_two_runs(runs: tuple[str, str], dnn: Dnn) -> None:
    found = report(dnn, *runs, "--plots", "svg", "--out", "both.html")
    assert found["report"] == "both.html"
    assert found["plots"] == [f"both-plots/{name}.svg" for name in PICTURES[:4]]
    (test,) = found["duels"]
    right = {one["run"]: one["test"]["images"] - one["test"]["errors"] for one in found["runs"]}
    assert test["both"] + test["only_best"] == max(right.values()) == right[test["best"]]
    assert test["both"] + test["only_other"] == right[test["other"]]
    assert test["both"] + test["only_best"] + test["only_other"] + test["neither"] == 1000
    said = text_of("both.html")
    assert found["verdicts"][0] in said.replace("&#39;", "'")
    assert "model.layers" in said
    assert Path("both.html").read_text(encoding="utf-8").count("<svg ") == 4
    assert dnn("report", *runs).stdout.startswith("comparison.html\n- ")


def test_a_significance_test_replaces_the_doubt_of_overlapping_intervals(trained: Trained, dnn: Dnn) -> None:
    for epochs in (2, 3):
        trained(f"run-{epochs}", "--set", "data.validation=0.1", "--epochs", epochs)
    doubt = "may differ by chance alone: their 95 % intervals overlap"
    assert doubt in dnn("compare", "run-2", "run-3").stdout
    found = report(dnn, "run-2", "run-3")
    assert found["duels"]
    assert found["remarks"][0].startswith("ranked by val accuracy ")
    assert doubt not in str(found["remarks"])
    assert doubt not in text_of("comparison.html")


def test_p_values_of_three_runs_are_corrected(runs: tuple[str, str], trained: Trained, dnn: Dnn) -> None:
    trained("third", "--epochs", 1, "--seed", 2, "--set", "optimizer.learning_rate=0.00001")
    found = report(dnn, *runs, "third")
    last = found["duels"][-1]
    assert (last["other"], last["more_than_chance"]) == ("third", True)
    assert last["corrected"] == 2 * last["p"]
    assert f"{last['best']} is significantly better than third." in text_of("comparison.html")


def test_runs_with_different_test_images_are_not_compared(runs: tuple[str, str], trained: Trained, dnn: Dnn) -> None:
    trained("few", "--set", "data.classes=[0, 1]", "--epochs", 1)
    found = report(dnn, *runs, "few")
    assert len(found["duels"]) == 1
    assert found["verdicts"][1].startswith("Runs that were evaluated on different test images are not compared: ")
    assert "few on" in found["verdicts"][1]
    assert "images of the classes 0 1 of mnist-sample" in found["verdicts"][1]


def test_large_images_in_colour(trained: Trained, dnn: Dnn) -> None:
    arrays = digits()
    images = {name: np.repeat(arrays[name], 5, axis=1)[..., None].repeat(3, -1) for name in ("x_train", "x_test")}
    own = write_npz(Path("own.npz"), **arrays | images)
    trained("one", "--set", f"data.dataset={own}", "--epochs", 1, "--set", "model.layers=[200]")
    assert dnn("report", "one").code == 0
    assert Path("one/report.html").stat().st_size < LIMIT


def test_a_report_imports_no_tensorflow(runs: tuple[str, str]) -> None:
    code = (
        "import sys; from dnn_cli.__main__ import run; code = run(['report', 'runs/one']); "
        "assert not {'tensorflow', 'keras', 'matplotlib.pyplot'} & sys.modules.keys(), 'too much'; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
