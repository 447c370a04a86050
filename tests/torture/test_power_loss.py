"""Test a sample of the losses of power; `make torture` tests all of them."""

import os
from pathlib import Path

import pytest

from dnn_cli import files
from tests.torture import power_loss
from tests.torture.operations import Event
from tests.torture.power_loss import Disk

SAMPLE = 4  # losses of power of each training


def test_a_training_resumes_after_a_loss_of_power(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # of the tests themselves
    outcome = power_loss.torture(lambda line: None, SAMPLE, int(pytestconfig.getoption("randomly_seed")))
    assert outcome.failures == []
    assert outcome.cases == 4 * SAMPLE


def test_a_file_that_is_not_flushed_before_it_is_renamed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(files, "flush", lambda path: None)
    assert power_loss.torture(lambda line: None, 2).failures


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "old").write_text("old")
    return Disk(tmp_path)


def test_what_was_not_flushed_may_be_lost_in_part(disk: Disk, tmp_path: Path) -> None:
    for kind, name in (("create", "new"), ("write", "new")):
        disk.apply(Event(kind, f"{tmp_path}/{name}", content=b"content"))
    assert disk.without_power(lambda kind: 0) == {"old": b"old"}
    assert disk.without_power(lambda kind: kind == "name") == {"old": b"old", "new": b""}
    assert disk.without_power(lambda kind: 1 if kind == "name" else 0.5) == {"old": b"old", "new": b"con"}
    disk.apply(Event("fsync", f"{tmp_path}/new"))
    assert disk.without_power(lambda kind: 0) == {"old": b"old"}
    disk.apply(Event("fsync", str(tmp_path)))
    assert disk.without_power(lambda kind: 0) == {"old": b"old", "new": b"content"}


def test_a_rename_is_done_or_not(disk: Disk, tmp_path: Path) -> None:
    disk.apply(Event("rename", f"{tmp_path}/new", source=f"{tmp_path}/old"))
    assert disk.without_power(lambda kind: 0) == {"old": b"old"}
    assert disk.without_power(lambda kind: 1) == {"new": b"old"}


def test_a_link_is_another_name_of_the_same_file(disk: Disk, tmp_path: Path) -> None:
    disk.apply(Event("link", f"{tmp_path}/new", source=f"{tmp_path}/old"))
    disk.apply(Event("rename", f"{tmp_path}/new", source=f"{tmp_path}/old"))  # does nothing
    disk.apply(Event("unlink", f"{tmp_path}/old"))
    assert disk.without_power(lambda kind: 1) == {"new": b"old"}
