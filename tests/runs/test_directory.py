"""Test the run directory: complete files after a kill at any time, damage that is reported, and the lock."""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dnn_cli import files as _files
from dnn_cli.__main__ import _prepare_streams
from dnn_cli.config import loading
from dnn_cli.errors import RunError, UsageError
from dnn_cli.runs import environment as runs_environment
from dnn_cli.runs.directory import Resumable, RunDirectory
from dnn_cli.runs.records import DatasetRecord, Environment, Row
from dnn_cli.runs.state import State
from tests.conftest import PATIENCE, ROOT, Answer, assert_same_bits
from tests.shared_runs import SharedRuns, forget_digests

CONFIG = loading.parse("{}", "test")
DATASET = DatasetRecord(
    name="mnist",
    requested="mnist",
    note="",
    path="mnist.npz",
    fingerprint="sha256:0",
    training_images=54_000,
    validation_images=6000,
    classes=10,
    image_shape=(28, 28),
)
ENVIRONMENT = Environment(dataset=DATASET)
LOSSES = [0.9, 0.5, 0.7, 0.4]  # the second and fourth epoch are the best of their time


class Crash(BaseException):
    """Simulates a kill of the process."""


def new_run(path: Path) -> RunDirectory:
    return RunDirectory.create(path, "test", CONFIG, ENVIRONMENT)


def row(epoch: int) -> Row:
    return {"epoch": epoch, "loss": LOSSES[epoch - 1], "accuracy": 0.5, "learning_rate": 0.001, "seconds": 1.0}


def content(epoch: int) -> str:
    return f"the model after epoch {epoch}"


def saving(text: str) -> Callable[[Path], None]:
    """Return a function that writes `text` in place of a network."""

    def save(path: Path) -> None:
        path.write_text(text)

    return save


def commit(run: RunDirectory, epoch: int, state: State | None) -> State:
    history = [row(number) for number in range(1, epoch + 1)]
    return run.commit(saving(content(epoch)), history, state)


def train(run: RunDirectory, epochs: int) -> State:
    state = None
    for epoch in range(1, epochs + 1):
        state = commit(run, epoch, state)
    assert state
    return state


def held(run: RunDirectory, name: str) -> str:
    return run.checkpoint(name)[0].read_text()


def no_warning(text: str) -> None:
    raise AssertionError(text)


def test_runs_are_numbered_and_never_overwritten(tmp_path: Path) -> None:
    first = RunDirectory.create(None, "mine", CONFIG, ENVIRONMENT)
    second = RunDirectory.create(None, "mine", CONFIG, ENVIRONMENT)
    other = RunDirectory.create(None, "other", CONFIG, ENVIRONMENT)
    assert [str(run) for run in (first, second, other)] == ["runs/mine-1", "runs/mine-2", "runs/other-1"]
    assert str(RunDirectory.newest()) == "runs/other-1"
    shutil.rmtree("runs/mine-1")
    assert str(RunDirectory.create(None, "mine", CONFIG, ENVIRONMENT)) == "runs/mine-1"


def test_a_new_run_needs_an_empty_folder_or_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert new_run(tmp_path / "empty").config() == CONFIG
    for name in ("empty", "file"):
        (tmp_path / "file").write_text("precious")
        with pytest.raises(UsageError) as error:
            new_run(Path(name))
        assert str(error.value) == (
            f"{name} exists already; resume it with --resume {name}, or choose another --run-dir"
        )
    assert (tmp_path / "file").read_text() == "precious"


def test_a_run_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="^the run directory file/run cannot be created: Not a directory$"):
        new_run(Path("file/run"))
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="^the run directory runs/x-1 cannot be created: Not a directory$"):
        RunDirectory.create(None, "x", CONFIG, ENVIRONMENT)


def test_a_path_that_is_not_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^there is no run nowhere$"):
        RunDirectory.open(Path("nowhere"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"^folder is not a run: it has no config\.yaml$"):
        RunDirectory.open(Path("folder"))
    with pytest.raises(UsageError, match=r"^there is no run in runs/ yet; `dnn train -c mnist` makes one$"):
        RunDirectory.newest()


def test_a_commit_saves_the_last_previous_and_best_checkpoints(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    assert run.state() is None
    assert run.resumable(no_warning) == Resumable()
    state = train(run, 3)
    assert run.state() == state
    assert (state.last.epoch, state.last.best.epoch, state.last.best.value) == (3, 2, 0.5)
    assert state.previous
    assert state.previous.epoch == 2
    files = {path.name: path.read_text() for path in (run.path / "checkpoints").iterdir()}
    assert files == {"last.keras": content(3), "previous.keras": content(2), "best.keras": content(2)}
    assert run.checkpoint("best") == (run.path / "checkpoints/best.keras", 2)
    assert run.checkpoint("last") == (run.path / "checkpoints/last.keras", 3)
    assert run.history(3) == [row(1), row(2), row(3)]
    assert run.history(2) == [row(1), row(2)]


def test_the_best_checkpoint_has_the_lowest_validation_loss_if_there_is_one(tmp_path: Path) -> None:
    run, state, history = new_run(tmp_path / "run"), None, []
    for epoch, (loss, val_loss) in enumerate([(0.9, 0.3), (0.1, 0.4)], start=1):
        history.append(row(epoch) | {"loss": loss, "val_loss": val_loss})
        state = run.commit(saving(content(epoch)), history, state)
    assert state
    assert (state.last.best.epoch, state.last.best.monitor, state.last.best.value) == (1, "val_loss", 0.3)


def crash_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the `number`-th call that changes the disk, and every later one, raise `Crash` instead."""
    calls = 0

    def fragile(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= number:
                raise Crash
            return function(*arguments, **options)

        return call

    for owner, name in (
        (os, "fsync"),
        (os, "link"),
        (shutil, "copyfile"),
        (Path, "replace"),
        (Path, "write_text"),
        (Path, "unlink"),
    ):
        monkeypatch.setattr(owner, name, fragile(getattr(owner, name)))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_kill_at_any_time_during_a_commit_loses_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    undisturbed = new_run(tmp_path / "undisturbed")
    expected = train(undisturbed, 4)
    number, crashed = 0, True
    while crashed:
        number += 1
        run = new_run(tmp_path / f"run-{number}")
        before = train(run, epoch - 1) if epoch > 1 else None
        with monkeypatch.context() as patch:
            crash_at(number, patch)
            try:
                commit(run, epoch, before)
                crashed = False
            except Crash:
                pass
        # Both recorded checkpoints exist, for readers and for a resume.
        recorded = run.state()
        config = run.environment().config
        assert recorded in (before, recorded and State(recorded.last, before.last if before else None, config))
        if recorded:
            assert recorded.last.epoch in (epoch - 1, epoch)
            assert held(run, "last") == content(recorded.last.epoch)
            assert held(run, "best") == content(recorded.last.best.epoch)
        saved = run.resumable(lambda _: None)
        assert saved.state == recorded
        state, done = saved.state, saved.epoch
        if saved.checkpoint:
            assert saved.checkpoint.read_text() == content(done)
        assert run.history(done) == [row(one) for one in range(1, done + 1)] if done else True
        for again in range(done + 1, 5):
            state = commit(run, again, state)
        assert state
        assert state.last == expected.last
        assert {path.name for path in run.path.rglob("*") if path.is_file()} == {
            path.name for path in undisturbed.path.rglob("*") if path.is_file()
        }
        for name in ("last", "best"):
            assert held(run, name) == held(undisturbed, name)
    assert number > 8


def test_a_resume_uses_the_previous_checkpoint_if_the_last_is_damaged(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    before = train(run, 3).previous
    last = run.path / "checkpoints/last.keras"
    last.write_text(content(3)[:-1])
    with pytest.raises(RunError, match="last.keras is damaged: its checksum is not the one in state.json$"):
        run.checkpoint("last")
    warnings: list[str] = []
    saved = run.resumable(warnings.append)
    assert warnings == [f"{last} is unfinished or damaged; resuming from previous.keras, epoch 2"]
    assert before
    assert saved == Resumable(State(before, config=run.environment().config), last)
    assert last.read_text() == content(2)
    assert held(run, "best") == content(2)


def test_a_resume_without_an_undamaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    train(run, 1)
    for path in (run.path / "checkpoints").iterdir():
        path.write_text("rubbish")
    with pytest.raises(
        RunError, match="cannot be resumed: all checkpoints in .*checkpoints are damaged; `dnn train -c "
    ):
        run.resumable(no_warning)


BEST_AFTER_LAST = json.dumps(
    {
        "last": {"epoch": 1, "sha256": "0", "best": {"epoch": 2, "monitor": "loss", "value": 0.5, "sha256": "0"}},
        "previous": None,
    }
)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"last": 3}', '{"last": {"epoch": 1}, "previous": null}', "[" * 99999, BEST_AFTER_LAST]
)
def test_a_damaged_state_is_an_error(tmp_path: Path, text: str) -> None:
    run = new_run(tmp_path / "run")
    train(run, 1)
    (run.path / "state.json").write_text(text)
    with pytest.raises(RunError, match="state.json is damaged"):
        run.state()


@pytest.mark.parametrize(
    "text", ["", "epoch,loss\n", "epoch,loss\n2,0.5\n", "epoch,loss\n1,x\n", "epoch,loss\n1,0.5\n", "\0"]
)
def test_a_damaged_history_is_an_error(tmp_path: Path, text: str) -> None:
    run = new_run(tmp_path / "run")
    train(run, 1)
    (run.path / "history.csv").write_text(text)
    with pytest.raises(RunError, match=r"history\.csv (is damaged|cannot be read)"):
        run.history(1)


def test_the_history_keeps_all_digits_of_its_numbers(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    history = [{"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "learning_rate": 1e-07, "seconds": 12345678.9}]
    run.commit(saving("x"), history, None)
    assert run.history(1) == history


def test_a_run_without_a_checkpoint_has_no_results(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"run has no checkpoint yet; `dnn train --resume .*run` trains it$"):
        run.checkpoint("best")
    assert run.metrics() is None
    assert run.evaluation("test") is None


def test_the_lock_excludes_other_processes_and_is_released_when_its_process_dies(tmp_path: Path) -> None:
    run = new_run(Path("run"))
    code = (
        "import sys, pathlib; from dnn_cli.runs.directory import RunDirectory\n"
        "with RunDirectory.open(pathlib.Path(sys.argv[1])).locked():\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", code, "run"], stdin=pipe, stdout=pipe, text=True, env=environment
    ) as it:
        assert it.stdout
        assert it.stdout.readline() == "locked\n"
        with pytest.raises(RunError, match="^run is being trained by another process; wait"), run.locked():
            pass
        it.kill()
    with run.locked():
        pass


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    _files.write_atomically(path, "old\n")
    crash_at(1, monkeypatch)
    with pytest.raises(Crash):
        _files.write_atomically(path, "new\n")
    assert path.read_text() == "old\n"


def test_the_environment_names_versions_git_revision_and_data(tmp_path: Path) -> None:
    described = runs_environment.describe_environment(DATASET)
    assert Environment.from_dict(json.loads(json.dumps(described.to_dict()))) == described
    assert described.versions.keys() == {"dnn", "python", "tensorflow", "keras", "numpy", "h5py"}
    assert described.git is None
    assert described.dataset == DATASET


def test_the_newest_run_is_the_one_started_or_resumed_last(tmp_path: Path) -> None:
    first, second = (
        RunDirectory.create(None, "a", CONFIG, ENVIRONMENT),
        RunDirectory.create(None, "b", CONFIG, ENVIRONMENT),
    )
    os.utime(second.config_file, ns=(1, 1))
    assert str(RunDirectory.newest()) == str(first)
    (first.path / "environment.json").unlink()  # the process was killed while it created the run
    assert str(RunDirectory.newest()) == str(first)


def test_an_environment_without_a_dataset_is_damaged(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    (run.path / "environment.json").write_text('{"dataset": {}}')
    with pytest.raises(RunError, match=r"environment\.json is damaged: dataset\.name: field required$"):
        run.environment()


# What state.json vouches for

NUMPY = """
engine: numpy
data: {dataset: mnist-sample, validation: 50, images_per_class: 20}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""


@pytest.fixture
def trained(shared_runs: SharedRuns) -> Path:
    """Return a copy of a run of two epochs."""
    return shared_runs.copy("run", NUMPY)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("validation: 50", "validation: 100"),
        lambda text: text.replace("epochs: 2", "epochs: 3") + "# mine\n",
    ],
    ids=["empty", "truncated", "edited", "comment"],
)
def test_a_config_that_is_not_the_recorded_one_is_rejected(
    change: Callable[[str], str], trained: Path, dnn: Callable[..., Answer]
) -> None:
    config = trained / "config.yaml"
    config.write_text(change(config.read_text()))
    message = (
        "error: run/config.yaml is not the config that the run was started with; restore it, or train a new run "
        "with it: `dnn train -c run/config.yaml`\n"
    )
    for words in (["train", "--resume"], ["evaluate"]):
        assert dnn(*words, trained) == Answer(1, "", message)
    (trained / "state.json").unlink()
    shutil.rmtree(trained / "checkpoints")  # as before the first epoch
    assert dnn("train", "--resume", trained) == Answer(1, "", message)


def test_the_number_of_epochs_in_the_config_may_change(trained: Path, dnn: Callable[..., Answer]) -> None:
    config = trained / "config.yaml"
    before = config.read_text()
    assert dnn("train", "--resume", trained, "--epochs", 3, "-q").code == 0
    assert config.read_text() == before.replace("epochs: 2", "epochs: 3")
    config.write_text(before.replace("epochs: 2", "epochs: 4"))
    assert dnn("train", "--resume", trained, "-q").code == 0
    assert len(RunDirectory.open(trained).saved_history()) == 4


def test_a_config_of_another_version_keeps_its_text(trained: Path, dnn: Callable[..., Answer]) -> None:
    """A version with other settings would spell out other defaults; the digest must stay that of the run's start."""
    config = trained / "config.yaml"
    text = config.read_text().replace("  tensorboard: false\n", "")
    config.write_text(text)
    forget_digests(trained)
    assert dnn("train", "--resume", trained, "--epochs", 3, "-q").code == 0  # records the digest of what it writes
    assert "tensorboard: false" in config.read_text()


def test_a_history_that_is_not_the_recorded_one_is_rejected(trained: Path, dnn: Callable[..., Answer]) -> None:
    history = trained / "history.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join([lines[0], lines[1].replace("0.001", "0.002"), lines[2]]))
    damage = "run/history.csv is damaged: its checksum is not the one in state.json"
    again = "`dnn train -c run/config.yaml`"
    answer = dnn("train", "--resume", trained, "--epochs", 3, "-q")
    assert answer == Answer(1, "", f"error: run cannot be resumed: {damage}; {again} trains it again, into a new run\n")
    assert dnn("show", trained).stderr == f"error: {damage}; restore it, or train a new run: {again}\n"


def test_a_row_that_the_state_does_not_vouch_for_is_trained_again(
    trained: Path, shared_runs: SharedRuns, dnn: Callable[..., Answer]
) -> None:
    history = trained / "history.csv"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join(lines[:2]))
    answer = dnn("train", "--resume", trained)
    assert answer.code == 0
    assert "run/history.csv does not hold epoch 2; resuming from previous.keras, epoch 1" in answer.stderr
    assert_same_bits(trained / "checkpoints/last.keras", shared_runs.path(NUMPY) / "checkpoints/last.keras")


def test_a_run_that_lost_its_state_is_not_trained_from_the_start(trained: Path, dnn: Callable[..., Answer]) -> None:
    (trained / "state.json").unlink()
    message = (
        "error: run has no state.json, although it has checkpoints; `dnn train -c run/config.yaml` trains it again, "
        "into a new run\n"
    )
    for words in (["train", "--resume"], ["evaluate"]):
        assert dnn(*words, trained) == Answer(1, "", message)


def test_a_damaged_best_checkpoint_is_reported_before_a_resume(trained: Path, dnn: Callable[..., Answer]) -> None:
    state = trained / "state.json"
    values = json.loads(state.read_text())
    values["last"]["best"] |= {"epoch": 1, "sha256": "0" * 64}
    state.write_text(json.dumps(values))
    best = trained / "checkpoints/best.keras"
    best.write_bytes(best.read_bytes()[:1000])
    answer = dnn("train", "--resume", trained, "-q", "--epochs", 3)
    assert answer.code == 0
    assert (
        "run/checkpoints/best.keras is damaged: its checksum is not the one in state.json; it is replaced if a later "
        "epoch is better" in answer.stderr
    )


# A new run is complete or not there


def test_two_starts_in_one_directory_at_once_make_one_run(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom tests.runs.test_directory import new_run\nfrom dnn_cli.errors import DnnError\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: new_run(pathlib.Path('run')); print('made')\nexcept DnnError as error: print(error)"
    )
    pipe, environment = subprocess.PIPE, os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in range(2)
    ]
    for one in both:
        assert one.stdout
        assert one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin
        one.stdin.write("go\n")
        one.stdin.flush()
    said = sorted(one.communicate(timeout=PATIENCE)[0] for one in both)
    assert said[0] == "made\n"
    assert said[1] in (
        "run exists already; resume it with --resume run, or choose another --run-dir\n",
        "run is being trained by another process; wait until that ends, or stop it\n",
    )


def test_the_beginning_of_a_run_that_was_killed_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = 0
    while not (tmp_path / "run/config.yaml").exists():
        number += 1
        with monkeypatch.context() as patch:
            crash_at(number, patch)
            with suppress(Crash):
                new_run(tmp_path / "run")
    assert number > 4
    run = RunDirectory.open(tmp_path / "run")
    assert run.config() == CONFIG
    run.resumable(no_warning)
    assert {path.name for path in run.path.iterdir()} == {".lock", "checkpoints", "config.yaml", "environment.json"}


@pytest.mark.parametrize("name", ["notes.txt", "environment.json", "checkpoints/last.keras"])
def test_a_folder_with_other_files_is_not_the_beginning_of_a_run(name: str, tmp_path: Path) -> None:
    file = tmp_path / "run" / name
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        new_run(tmp_path / "run")
    assert file.read_text() == "precious"
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == [file]


def test_links_in_the_place_of_temporary_files_are_not_followed(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    state = train(run, 1)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in (".state.json.new", ".history.csv.new", "checkpoints/.new.keras", "checkpoints/.last.keras.new"):
        (run.path / name).symlink_to(precious)
    commit(run, 2, state)
    assert precious.read_text() == "precious"
    assert run.resumable(no_warning).state


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
@pytest.mark.parametrize("name", ["config.yaml", "state.json", "environment.json", "checkpoints/last.keras"])
def test_other_things_than_files_are_reported(name: str, kind: str, trained: Path, dnn: Callable[..., Answer]) -> None:
    path = trained / name
    path.unlink()
    (trained / "checkpoints/best.keras").unlink()  # which holds the same epoch
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    for words in (["evaluate", "--checkpoint", "last"], ["show"]):
        answer = dnn(*words, trained)
        assert answer.code in (1, 2)
        assert "Traceback" not in answer.stderr
        assert str(trained) in answer.stderr
    assert dnn("runs", ".").code == 0


def test_a_name_that_is_no_utf8_is_used_everywhere(trained: Path, dnn: Callable[..., Answer]) -> None:
    name = os.fsdecode(b"b\xe9d")
    try:
        trained.rename(name)
    except OSError:
        pytest.skip("the file system needs names in UTF-8")
    _prepare_streams()  # as `main` does
    digit = Image.new("L", (28, 28))
    digit.paste(255, (12, 4, 16, 24))
    digit.save(f"{name}.png")
    for words in (
        ["train", "-c", f"{name}/config.yaml", "--run-dir", f"{name}-2", "-q"],
        ["evaluate", f"{name}-2"],
        ["train", "--resume", name, "--epochs", 3, "-q"],
        ["evaluate", name],
        ["show", name],
        ["runs", "."],
        ["report", name, f"{name}-2", "--out", f"{name}.html"],
        ["explain", name, f"{name}.png"],
        ["predict", name, f"{name}.png", "--out", f"{name}.csv"],
    ):
        assert dnn(*words).code == 0, words
    assert "b\\udce9d.png" in Path(f"{name}.csv").read_text()
    os.mkdir("cwd\udce9")  # noqa: PTH102
    with contextlib.chdir("cwd\udce9"):
        assert dnn("train", "-c", f"../{name}/config.yaml", "--run-dir", "run", "-q").code == 0
        assert RunDirectory.open(Path("run")).environment().folder.endswith("cwd\udce9")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["train", "-c", "LONG"], 2),
        (["train", "-c", "run/config.yaml", "--run-dir", "LONG"], 2),
        (["train", "--resume", "LONG"], 2),
        (["evaluate", "LONG"], 1),
        (["show", "LONG"], 2),
        (["report", "LONG"], 2),
        (["report", "run", "--out", "LONG.html"], 2),
        (["predict", "run", "digit.png", "--out", "LONG.csv"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_name_that_is_too_long_is_one_line(
    words: list[str], code: int, trained: Path, dnn: Callable[..., Answer]
) -> None:
    answer = dnn(*(word.replace("LONG", "x" * 300) for word in words))
    assert (answer.code, answer.stdout) == (code, "")
    assert re.fullmatch("error: .*x{300}.*: File name too long\n", answer.stderr)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that can be taken away")
def test_a_read_only_run_directory_is_one_line(trained: Path, dnn: Callable[..., Answer]) -> None:
    Path("empty").mkdir(mode=0o500)
    answer = dnn("train", "-c", trained / "config.yaml", "--run-dir", "empty", "-q")
    assert answer == Answer(1, "", "error: empty cannot be written: Permission denied\n")
