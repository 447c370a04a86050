"""Test where a run may be created."""

from pathlib import Path

import pytest

from dnn_cli.errors import RunError, UsageError
from dnn_cli.runs import location


def test_nothing_an_empty_folder_and_an_unfinished_run_are_free(tmp_path: Path) -> None:
    location.check_free(tmp_path / "nothing")
    location.check_free(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    for name in (".lock", "environment.json", ".config.yaml.0123456789abcdef.new"):
        (tmp_path / name).touch()
        location.check_free(tmp_path)


@pytest.mark.parametrize("name", ["config.yaml", "precious.txt", "environment.json", "checkpoints/last.keras"])
def test_anything_else_is_not_free(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="exists already; resume it with --resume"):
        location.check_free(tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        location.new(tmp_path)


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [location.following("mnist") for _ in range(2)] == [Path("runs/mnist-1"), Path("runs/mnist-2")]
    assert location.following("small") == Path("runs/small-1")


def test_a_folder_that_cannot_be_created_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be"):
        location.new(tmp_path / "file" / "run")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(RunError, match=r"the run directory .*run cannot be created: No space left on device$"):
        location.new(tmp_path / "run")
