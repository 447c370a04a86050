"""Test a sample of the kills; `make torture` kills a thousand times, with both engines."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.torture import kills

# A process of its own: a child that is forked beside TensorFlow's threads could hang.
CODE = "import sys; from tests.torture import kills; print(kills.torture(print, int(sys.argv[1]), int(sys.argv[2])))"


def test_a_training_that_is_killed_again_and_again_loses_nothing(pytestconfig: pytest.Config) -> None:
    seed = pytestconfig.getoption("randomly_seed")
    done = subprocess.run(
        [sys.executable, "-c", CODE, "6", str(seed)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cases=12, failures=[]" in done.stdout, done.stdout


def test_the_complete_torture_kills_a_thousand_times_with_both_engines() -> None:
    chains = list(kills.chains())
    assert sum(chain.kills for chain in chains) >= 1000
    assert {chain.name.split(",")[0] for chain in chains} == {"numpy", "keras"}
