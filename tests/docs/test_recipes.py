"""The recipes' page: every command of it is one, and what it says of a training is what that training prints."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Answer

Dnn = Callable[..., Answer]
PAGE = (ROOT / "docs" / "how-to" / "overfitting.md").read_text(encoding="utf-8")
STEPS = re.findall(r"```console\n\$ dnn (train [^\n]*)\n```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
CHEAP = "runs/2-stop"  # the one training of these that takes a second


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Write the config of the page to the file in which a reader saves it."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = Path("recipe.yaml")
    path.write_text(text)
    return path


@pytest.mark.parametrize("line", [line for line, _ in STEPS])
def test_each_step_is_one_that_can_be_trained(recipe: Path, line: str, dnn: Dnn) -> None:
    answer = dnn(*shlex.split(line), "--dry-run")
    assert (answer.code, answer.stderr) == (0, "")
    assert "669,706" in answer.stdout


def summary(text: str) -> dict[str, list[float]]:
    """Return the numbers on each line of a training's summary, by the line's name."""
    lines = re.findall(r"^(epochs|val loss|val accuracy|best epoch)  +(.*)$", text, re.MULTILINE)
    return {name: [float(number) for number in re.findall(r"\d+\.?\d*", rest)] for name, rest in lines}


def test_a_step_prints_what_the_page_says(recipe: Path, dnn: Dnn) -> None:
    """Its best loss; another machine's rounding moves when that is reached, and what the last epoch makes of it."""
    ((line, text),) = [step for step in STEPS if CHEAP in step[0]]
    answer = dnn(*shlex.split(line))
    assert answer.code == 0
    told, found = summary(text), summary(answer.stdout)
    (epochs,), (best, loss) = found["epochs"], found["best epoch"]
    assert told.keys() == found.keys() - {"epochs"}
    assert loss == pytest.approx(told["best epoch"][1], abs=0.03)
    assert epochs == best + 5


def test_every_other_command_is_about_its_runs() -> None:
    made = {re.findall(r"--run-dir (\S+)", line)[0] for line, _ in STEPS}
    others = re.findall(r"^\$ dnn (?:evaluate|compare) (.*)$", PAGE, re.MULTILINE)
    assert len(made) == 6
    assert others
    assert set(" ".join(others).split()) <= made
