import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from dnn_cli.config import schema as config_schema

ROOT = Path(__file__).parents[2]


def load_tool() -> Any:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tools" / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


readme = load_tool()


def test_the_readme_holds_exactly_the_reference() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.insert(text, readme.reference()) == text, "run: python tools/readme.py"


def test_every_setting_with_its_range_default_and_meaning_is_in_the_reference() -> None:
    lines = readme.reference().splitlines()
    for line in (
        "| `seed` | whole number ≥ 0 and < 4294967296 | `0` | seed of all random numbers |",
        "| `validation` | whole number ≥ 0 or number > 0 and < 1 | `0` | training images to hold out for"
        " validation: a count or a fraction; stratified by class |",
        "| `fallback` | `mnist-sample` or `null` | `null` | dataset to use, with a warning, when `mnist` can be neither"
        " found nor downloaded |",
        "| `units` | whole number ≥ 1 and ≤ 16384 | required | number of neurons |",
        "| `jit_compile` | `true` or `false` | `true` | compile the epoch with XLA |",
        "| `sgd` | Stochastic gradient descent, with or without momentum. | `learning_rate: 0.01`, `momentum: 0.0`,"
        " `nesterov: false` |",
        "| `learning_rate` | number > 0 and ≤ 1000 or a schedule | learning rate: a number or a schedule |",
        "| `exponential_decay` | Multiply the learning rate by `decay_rate` every `decay_steps`. |"
        " `initial_learning_rate`, `decay_steps: null`, `decay_epochs: null`, `decay_rate`, `staircase: false` |",
        "| `initial_learning_rate` | number > 0 and ≤ 1000 | learning rate at the start |",
        "| `initial_learning_rate` of `cosine_decay` | number ≥ 0 and ≤ 1000 | learning rate at the start |",
    ):
        assert line in lines


def test_no_setting_is_forgotten() -> None:
    words = set(re.findall(r"[a-z0-9_]+", readme.reference()))
    schema = config_schema.json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, field in section["properties"].items():
            assert key in words
            assert {field.get("const", key), *field.get("enum", ())} <= words


def test_every_table_has_as_many_cells_in_every_row_as_in_its_head() -> None:
    for paragraph in readme.reference().split("\n\n"):
        if paragraph.startswith("|"):
            assert len({line.count(" | ") for line in paragraph.splitlines()}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        readme.BEGIN,
        readme.END,
        f"{readme.END}\n{readme.BEGIN}",
        f"{readme.BEGIN}\n{readme.END}\n{readme.BEGIN}\n{readme.END}",
        f"{readme.BEGIN}\n{readme.BEGIN}\n{readme.END}",
    ],
)
def test_a_readme_without_its_two_markers_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "README.md"
    path.write_text(text, encoding="utf-8")
    for arguments in ([], ["--check"]):
        assert readme.main(arguments, path) == 1
        message = f"error: README.md needs one line {readme.BEGIN} and, below it, one line {readme.END}\n"
        assert capsys.readouterr() == ("", message)
    assert path.read_text(encoding="utf-8") == text


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"# dnn\n\n{readme.BEGIN}\nold\n{readme.END}\n\nmore\n"
    new = readme.insert(text, "new")
    assert new == f"# dnn\n\n{readme.BEGIN}\nnew\n{readme.END}\n\nmore\n"
    assert readme.insert(new, "new") == new


def test_an_outdated_readme_is_noticed_then_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "README.md"
    old = f"# dnn\n{readme.BEGIN}\n{readme.END}\n"
    path.write_text(old, encoding="utf-8")
    assert readme.main(["--check"], path) == 1
    message = "error: README.md's config reference is out of date; run: python tools/readme.py\n"
    assert capsys.readouterr() == ("", message)
    assert path.read_text(encoding="utf-8") == old
    assert readme.main([], path) == 0
    assert readme.reference() in path.read_text(encoding="utf-8")
    assert readme.main(["--check"], path) == 0
    assert capsys.readouterr() == ("", "")
