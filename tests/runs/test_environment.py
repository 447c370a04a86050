"""Test the recorded git revision: that of the working directory, without running what its configuration names."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import dnn_cli
from dnn_cli.runs import environment
from tests.conftest import PATIENCE

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make the working directory a repository with one commit, and return its name."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git("init", "-q")
    Path("tracked.txt").write_text("first\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return git("rev-parse", "HEAD")


def test_the_revision_is_dirty_if_a_tracked_file_differs(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.git_revision() == revision
    Path("untracked.txt").write_text("new\n")
    os.utime("tracked.txt", (1, 1))  # another time, but the same content
    Path("folder").mkdir()
    monkeypatch.chdir("folder")
    assert environment.git_revision() == revision
    Path("../tracked.txt").write_text("second\n")
    assert environment.git_revision() == f"{revision}-dirty"


def test_a_worktree_has_its_own_revision(revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git("worktree", "add", "-q", "other")
    monkeypatch.chdir("other")
    Path("tracked.txt").write_text("second\n")
    assert environment.git_revision() == f"{revision}-dirty"
    git("commit", "-q", "-a", "-m", "second")
    assert environment.git_revision() == git("rev-parse", "HEAD") != revision


@pytest.mark.skipif(os.name == "nt", reason="the planted program is a shell script")
def test_nothing_that_the_configuration_names_is_run(revision: str, tmp_path: Path) -> None:
    program, proof = tmp_path / "program.sh", tmp_path / "proof"
    program.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    program.chmod(0o700)
    for key in ("core.fsmonitor", "filter.planted.clean", "filter.planted.process", "diff.external", "core.pager"):
        git("config", key, str(program))
    Path(".gitattributes").write_text("* filter=planted diff=planted\n")
    hook = Path(".git/hooks/post-index-change")
    hook.parent.mkdir(exist_ok=True)
    shutil.copy(program, hook)
    os.utime("tracked.txt", (1, 1))
    assert environment.git_revision() == revision
    assert not proof.exists()
    git("describe", "--always", "--dirty")
    assert proof.exists()  # the trap works


@pytest.mark.skipif(os.name == "nt", reason="the planted program is a shell script")
def test_the_version_names_the_revision_of_its_checkout_and_runs_nothing(
    revision: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnn_cli, "__file__", str(tmp_path / "dnn_cli/__init__.py"))
    program, proof = tmp_path / "program.sh", tmp_path / "proof"
    program.write_text(f"#!/bin/sh\ntouch {proof}\n")
    program.chmod(0o700)
    git("config", "core.fsmonitor", str(program))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    version = f"{dnn_cli.__version__} (git {revision[:12]}"
    assert environment.program_version() == f"{version})"
    (tmp_path / "tracked.txt").write_text("changed\n")
    assert environment.program_version() == f"{version}-dirty)"
    assert not proof.exists()


def test_an_installation_inside_of_another_repository_has_no_revision(
    revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnn_cli, "__file__", str(Path("site-packages/dnn_cli/__init__.py").absolute()))
    Path("site-packages").mkdir()
    assert environment.git_revision(Path("site-packages")) == revision
    assert environment.program_version() == dnn_cli.__version__


def test_outside_a_repository_there_is_no_revision() -> None:
    assert environment.git_revision() is None


@pytest.mark.skipif(os.name == "nt", reason="the program is a shell script")
@pytest.mark.parametrize("script", [f"sleep {PATIENCE}", "exit 3", "printf '\\377'", "not a script"])
def test_a_slow_or_broken_git_gives_no_revision(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(script if script == "not a script" else f"#!/bin/sh\nexec {script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(environment, "GIT_SECONDS", 0.2)
    assert environment.git_revision() is None
