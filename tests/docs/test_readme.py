"""The README is true: its commands run as they stand, and it names every command, config, module and exit code."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from dnn_cli.cli import COMMANDS
from dnn_cli.config import loading, schema
from dnn_cli.data.datasets import Split
from tests.conftest import ROOT, Answer
from tests.pictures import coverage, encoded, painted, written

README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in FENCES if name == language]


def commands() -> list[list[str]]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]


def test_every_command_runs_as_it_stands(
    dnn: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, sample: Split
) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)
    ours = [words[1:] for words in commands() if words[0] == "dnn"]
    assert len(ours) >= 8
    digit = encoded(painted(coverage(sample.images[0])), "JPEG")
    for name in ("scans/seven.jpg", "more/1.png"):
        written(Path(name), digit)
    for words in ours:
        answer = dnn(*words)
        assert answer.code == 0, (words, answer)


def test_every_make_target_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = {words[1] for words in commands() if words[0] == "make"} | set(re.findall(r"`make ([a-z]+)`", README))
    assert {"train", "test"} <= named <= set(targets)


def test_every_command_and_config_is_described() -> None:
    assert set(re.findall(r"^\| `dnn (\w+)` \|", README, re.MULTILINE)) == set(COMMANDS)
    described = re.findall(r"^\| \[`([\w-]+)`\]\(configs/\1\.yaml\) \|", README, re.MULTILINE)
    assert set(described) == set(loading.SHIPPED) == {path.stem for path in (ROOT / "configs").glob("*.yaml")}


def test_every_activation_is_in_the_table_best_first() -> None:
    table = README[README.index("<!-- activations: begin -->") : README.index("<!-- activations: end -->")]
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", table, re.MULTILINE)
    assert {name for name, _ in rows} == set(get_args(schema.Activation))
    accuracies = [float(accuracy) for _, accuracy in rows]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_example_config_is_one() -> None:
    (example,) = blocks("yaml")
    assert loading.parse(example, "README.md").model.layers[1].units == 128


def test_the_stock_keras_example_runs(dnn: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)
    assert dnn("train", "-c", "mnist", "--epochs", 1).code == 0
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(example, names)
    assert type(names["model"]).__module__.startswith("keras.")


def test_every_module_is_in_the_tree() -> None:
    tree = blocks("text")[-1]
    listed = {name for name in re.findall(r"^  (\S+)", tree, re.MULTILINE) if name.endswith(".py")}
    modules = {path.name for path in (ROOT / "dnn_cli").glob("*.py")} - {"__init__.py"}
    assert listed == modules
    folders = set(re.findall(r"^(\w+)/", tree, re.MULTILINE))
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_every_exit_code_is_explained() -> None:
    table = README[README.index("| exit code |") :].split("\n\n")[0]
    assert [
        int(code) for code in re.findall(r"\b\d+\b", "".join(re.findall(r"^\|([\d, ]+)\|", table, re.MULTILINE)))
    ] == [
        0,
        1,
        2,
        3,
        130,
        143,
    ]


def test_every_file_of_a_run_is_explained(dnn: Callable[..., Answer]) -> None:
    dnn("train", "-c", "smoke", "--epochs", 2, "--run-dir", "run")
    dnn("evaluate", "run")
    for path in Path("run").rglob("[!.]*.*"):
        assert (
            f"`{path.relative_to('run')}`" in README or f"`{path.name}`" in README or path.parent.name == "evaluation"
        )
    section = README[README.index("## A run directory") :].split("\n## ")[0]
    header = Path("run/history.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert all(f"`{column}`" in section for column in header)
