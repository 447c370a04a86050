"""Test the notebook of the documentation: its cells run in order, and its prose says what really happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dnn_cli import api
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, ROOT

PAGE = (ROOT / "docs/tutorial/notebook.md").read_text(encoding="utf-8")
CELLS = re.findall(r"^```\{code-cell\} ipython3\n(?::tags: [^\n]*\n\n)?(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_cells_run_in_order() -> None:
    assert len(CELLS) == PAGE.count("{code-cell}")
    code = "\n".join([*CELLS, "print(len(wrong), run, os.listdir('runs'))"])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"\d+ <Run runs/smoke-1: done; .* epochs 8; .*> \['(smoke-1|wider)', '(smoke-1|wider)'\]", last)


def test_the_message_of_an_interruption_is_the_real_one() -> None:
    assert f"resume with: {api._how_to_resume(RunDirectory(Path('runs/smoke-1')))}\n" in PAGE
