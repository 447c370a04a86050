"""Test a few hundred damaged inputs, and that the harness reports what goes wrong."""

import sys
from collections.abc import Callable

import pytest

from tests.torture import fuzz


@pytest.mark.slow
def test_damaged_inputs_raise_expected_errors_only() -> None:
    outcome = fuzz.torture(print, 300, kinds=fuzz.QUICK)
    assert outcome.failures == []
    assert outcome.cases == 300


Script = Callable[[str], "list[tuple[int, str]]"]


@pytest.fixture
def results() -> Script:
    def run(code: str) -> list[tuple[int, str]]:
        with fuzz.start([sys.executable, "-c", code]) as child:
            return list(fuzz._results(child, 7))

    return run


BEGIN, END = "print('{\"case\": 7}', flush=True);", 'print(\'{"case": 7, "problem": ""}\', flush=True);'


def test_a_case_that_ends_the_process_is_reported(results: Script) -> None:
    assert results(BEGIN + END) == [(7, "")]
    assert results(BEGIN + "import os; os.abort()") == [(7, "the process ends with the code -6 ")]
    assert results(BEGIN + "import sys; sys.exit('why')") == [(7, "the process ends with the code 1 why")]
    assert results("raise ValueError") == [(7, "the process ends with the code 1 ValueError")]


def test_a_case_that_hangs_is_reported(results: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SECONDS", 0.5)
    monkeypatch.setattr(fuzz, "START_SECONDS", 60)
    assert results(BEGIN + END + BEGIN.replace("7", "8") + "import time; time.sleep(60)") == [
        (7, ""), (8, "it takes more than 0.5 s")
    ]  # fmt: skip
    assert results(BEGIN + "import time; time.sleep(60)") == [(7, "it takes more than 0.5 s")]


def test_a_problem_names_exception_and_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setitem(fuzz.KINDS, "config", broken)
    monkeypatch.setattr(fuzz, "Materials", lambda _: None)
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    monkeypatch.setattr(fuzz, "run_case", lambda *_: broken())
    fuzz.worker(7, 8, ["config"])
    assert '{"case": 7, "problem": "KeyError: \'x\' (test_fuzz.py:' in capsys.readouterr().out
