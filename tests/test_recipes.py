"""The recipes' page: every command of it is one, and what it says of a training is what that training prints."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import ROOT, Answer

Dnn = Callable[..., Answer]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
STEPS = re.findall(r"```console\n\$ dnn (train [^\n]*)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
CHEAP = "runs/2-stop"  # the one training of these that takes a second


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """The page's config, where a reader saves it."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = Path("recipe.yaml")
    path.write_text(text)
    return path


def figures(text: str) -> dict[str, float]:
    """The numbers of a summary by their names."""
    lines = re.findall(r"^((?:val )?(?:loss|accuracy)|best epoch) +([\d.]+)", text, re.MULTILINE)
    return {name: float(value) for name, value in lines}


@pytest.mark.parametrize("line", [line for line, _ in STEPS])
def test_each_step_is_one_that_can_be_trained(recipe: Path, line: str, dnn: Dnn) -> None:
    answer = dnn(*shlex.split(line), "--dry-run")
    assert (answer.code, answer.stderr) == (0, "")
    assert "669,706" in answer.stdout


def test_a_step_prints_what_the_page_says(recipe: Path, dnn: Dnn) -> None:
    ((line, text),) = [step for step in STEPS if CHEAP in step[0]]
    answer = dnn(*shlex.split(line))
    assert answer.code == 0
    told, found = figures(text), figures(answer.stdout)
    assert told.keys() == {"val loss", "val accuracy", "best epoch"}
    for name, value in told.items():  # another machine's rounding may move the best epoch by a few
        assert found[name] == pytest.approx(value, abs={"val loss": 0.05, "val accuracy": 0.012}.get(name, 3))


def test_every_other_command_is_about_its_runs() -> None:
    made = {re.findall(r"--run-dir (\S+)", line)[0] for line, _ in STEPS}
    others = re.findall(r"^\$ dnn (?:evaluate|compare) (.*)$", PAGE, re.MULTILINE)
    assert len(made) == 6
    assert others
    assert set(" ".join(others).split()) <= made
