"""Test a sample of the file operations that fail; `make torture` tests all of them."""

import errno
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.torture import faults
from tests.torture.faults import Fault, Scenario, Workshop
from tests.torture.operations import Intercepted

SAMPLES = {"report": 1, "explain": 1}  # number of faults of commands that draw, which takes seconds
SAMPLE = 6  # of the others
SCENARIOS = {scenario.name: scenario for scenario in faults.scenarios() if scenario.engine != "keras"}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # the disk is not what is tested
        return Workshop(tmp_path_factory.mktemp("faults"), engines=("numpy",))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failed_operation_is_a_message_and_loses_nothing(
    name: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    seed = int(pytestconfig.getoption("randomly_seed"))
    scenario = replace(SCENARIOS[name], errors=(random.Random(seed).choice(list(faults.ERRORS)),))
    chosen = faults.sample(faults.cases(workshop, scenario), SAMPLES.get(name, SAMPLE), seed)
    assert [problem for fault in chosen for problem in workshop.case(scenario, fault, fault.error)[1]] == []


def test_a_loss_is_found(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write outputs in place, as a careless program does."""

    def in_place(path: Path, content: str | bytes) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    monkeypatch.setattr("dnn_cli.files.write_atomically", in_place)
    scenario = SCENARIOS["predict"]
    found = [
        problem
        for number in range(3)
        for problem in workshop.case(scenario, Fault(errno.ENOSPC, number, False), errno.ENOSPC)[1]
    ]
    assert any(problem.endswith("write out.csv: loss: out.csv is not complete") for problem in found)


def test_a_traceback_is_found(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnn_cli.files.sha256", lambda path: 1 / 0)
    monkeypatch.setattr("dnn_cli.runs.checkpoints.sha256", lambda path: 1 / 0)
    scenario = Scenario("show", ("show", "whole-numpy"))
    problem = workshop.case(scenario, None, errno.EIO)[1][0]
    assert problem == "show, None, nothing .: traceback: ZeroDivisionError: division by zero"


def test_each_kind_of_operation_is_intercepted(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    inside = tmp_path / "inside"
    inside.mkdir()
    with Intercepted(inside, lambda kind, path: seen.append((kind, Path(path).name))).installed():
        (tmp_path / "outside").write_text("not seen")
        (inside / "a").write_text("text")
        (inside / "a").read_text()
        with (inside / "a").open("rb+") as file:
            file.write(b"T")
            file.flush()
            os.fsync(file.fileno())
        os.link(inside / "a", inside / "b")
        (inside / "b").replace(inside / "c")
        (inside / "d").mkdir()
        (inside / "d").rmdir()
        (inside / "c").unlink()
    kinds = ["create a", "write a", "open a", "open a", "write a", "fsync a", "link b", "rename c", "mkdir d"]
    assert [" ".join(each) for each in seen] == [*kinds, "rmdir d", "unlink c"]
    assert (inside / "a").read_text() == "Text"
