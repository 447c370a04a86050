"""Test `dnn runs` and `dnn show`: states, damaged runs, runs being trained, and the time they take."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dnn_cli.runs import status
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import PATIENCE, ROOT, Answer, command
from tests.shared_runs import SharedRuns, forget_digests

Dnn = Callable[..., Answer]
Start = Callable[..., "subprocess.Popen[str]"]

CONFIG = """
engine: numpy
data: {dataset: mnist-sample, validation: 500}
model: {layers: [8]}
training: {epochs: 2, batch_size: 100}
"""
HEAVY = ("tensorflow", "keras", "h5py", "matplotlib", "numpy")


@pytest.fixture(scope="module")
def trained(shared_runs: SharedRuns) -> Path:
    """Return a run of two epochs that was evaluated; tests only read it."""
    return shared_runs.path(CONFIG, evaluated=True)


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that copies the run into ``runs/``; later copies have a later time."""
    made = 0

    def make(name: str) -> Path:
        nonlocal made
        made += 1
        path = Path("runs", name)
        shutil.copytree(trained, path)
        forget_digests(path)
        date(path, 3600 * 24 * 3 - made)
        return path

    return make


def date(run: Path, seconds: float, now: float | None = None) -> None:
    """Set the time of every file in a run to that long ago."""
    moment = (time.time() if now is None else now) - seconds
    for path in (*run.rglob("*"), run):
        os.utime(path, (moment, moment))


def edit(file: Path, **changes: Any) -> None:
    """Change values of a JSON file by their keys; ``a__b`` is the key b in the object a."""
    values = json.loads(file.read_text())
    for key, value in changes.items():
        *parts, last = key.split("__")
        inner = values
        for part in parts:
            inner = inner[part]
        inner[last] = value
    file.write_text(json.dumps(values))


def want(run: Path, epochs: int) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("epochs: 2", f"epochs: {epochs}"))


def states(dnn: Dnn, *arguments: object) -> dict[str, str]:
    answer = dnn("runs", *arguments, "--json")
    assert (answer.code, answer.stderr) == (0, "")
    return {Path(one["run"]).name: one["state"] for one in json.loads(answer.stdout)}


# The list


def test_the_list_shows_states_figures_and_the_commands_to_resume(
    copy: Callable[..., Path], dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("dnn_cli.cli.run_summary.time", SimpleNamespace(time=lambda: now))
    copy("done-1")
    interrupted, damaged, begun = copy("halted-1"), copy("broken-1"), copy("begun-1")
    want(interrupted, 7)
    edit(interrupted / "evaluation/test.json", epoch=1, accuracy=0.25)
    (damaged / "state.json").write_text("{}")
    for name in ("state.json", "history.csv", "metrics.json", "evaluation", "checkpoints"):
        path = begun / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, age in ((interrupted, 7300), (damaged, 130), (begun, 30)):
        date(path, age, now)
    answer = dnn("runs")
    assert (answer.code, answer.stderr) == (0, "")
    rows = [re.split(r"  +", line) for line in answer.stdout.split("\n\n")[0].splitlines()]
    best = dnn_best(Path("runs/done-1"))
    figures = [f"{best['val_loss']:.4f}", f"{best['val_accuracy']:.4f}"]
    seconds = f"{sum(row['seconds'] for row in RunDirectory.open(Path('runs/done-1')).history(2)):.1f} s"
    tested = f"{json.loads(Path('runs/done-1/evaluation/test.json').read_text())['accuracy']:.4f}"
    assert rows == [
        ["run", "state", "epoch", "val loss", "val accuracy", "time", "test accuracy", "data", "age"],
        ["runs/begun-1", "interrupted", "0 of 2", "–", "–", "0.0 s", "–", "mnist-sample", "30 s ago"],
        ["runs/broken-1", "damaged", "–", "–", "–", "–", "–", "–", "2 min ago"],
        ["runs/halted-1", "interrupted", "2 of 7", *figures, seconds, "0.2500 of epoch 1", "mnist-sample", "2 h ago"],
        ["runs/done-1", "done", "2", *figures, seconds, tested, "mnist-sample", "2 days ago"],
    ]
    assert answer.stdout.split("\n\n")[1].splitlines() == [
        "runs/begun-1 was interrupted; next: dnn train --resume runs/begun-1",
        "runs/broken-1/state.json is damaged: last: field required; next: dnn train -c runs/broken-1/config.yaml",
        "runs/halted-1 was interrupted; next: dnn train --resume runs/halted-1",
    ]


def dnn_best(run: Path) -> dict[str, Any]:
    return min(RunDirectory.open(run).history(2), key=lambda row: float(row["val_loss"]))


def test_json_output_of_the_list(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    os.utime(run, (1_700_000_000, 1_700_000_000))
    for path in run.glob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    (found,) = json.loads(dnn("runs", "--json").stdout)
    test = json.loads((run / "evaluation/test.json").read_text())
    kept = ("dataset", "fingerprint", "images", "epoch", "loss", "accuracy", "accuracy_interval")
    assert found == {
        "run": "runs/a-1",
        "state": "done",
        "problem": "",
        "written": "2023-11-14T22:13:20+00:00",
        "next": ["dnn train --resume runs/a-1 --epochs 4"],
        "wanted": 2,
        "dataset": "mnist-sample",
        "note": "",
        "epochs": 2,
        "finished": True,
        "seconds": sum(row["seconds"] for row in RunDirectory.open(run).history(2)),
        "parameters": 6370,
        "best": dnn_best(run),
        "test": {**{key: test[key] for key in kept}, "outdated": False},
    }


def test_a_run_with_all_epochs_but_no_summary_is_interrupted(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    (run / "metrics.json").unlink()
    assert " interrupted  2 of 2  " in dnn("runs").stdout
    assert dnn("train", "--resume", run, "-q").code == 0
    assert states(dnn) == {"a-1": "done"}


def test_a_run_that_was_stopped_early_is_done(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    want(run, 9)
    edit(run / "metrics.json", stopped_early=True)
    assert " done  2, stopped early  " in dnn("runs").stdout
    (found,) = json.loads(dnn("runs", "--json").stdout)
    assert (found["state"], found["wanted"], found["next"]) == ("done", 9, [])


def test_the_next_command_evaluates_a_run_without_an_up_to_date_evaluation(copy: Callable[..., Path], dnn: Dnn) -> None:
    never, before = copy("never-1"), copy("before-1")
    shutil.rmtree(never / "evaluation")
    edit(before / "evaluation/test.json", epoch=None)
    found = {one["run"]: one["next"] for one in json.loads(dnn("runs", "--json").stdout)}
    for run in (never, before):
        assert found[str(run)] == [f"dnn evaluate {run}", f"dnn train --resume {run} --epochs 4"]
    assert " of another file " in dnn("runs").stdout


def test_the_fallback_dataset_is_named_in_the_table_and_below_it(copy: Callable[..., Path], dnn: Dnn) -> None:
    edit(copy("a-1") / "environment.json", dataset__requested="mnist", dataset__note="not MNIST")
    copy("b-1")
    answer = dnn("runs")
    assert "  mnist-sample, not mnist  " in answer.stdout
    assert answer.stdout.splitlines()[-1] == "warning: runs/a-1: not MNIST"
    assert re.search("^warning +not MNIST$", dnn("show", "runs/a-1").stdout, re.MULTILINE)


def test_a_config_edited_by_hand_is_read(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    (run / "config.yaml").write_text(CONFIG.replace("epochs: 2", "epochs: 5"))
    assert "  2 of 5  " in dnn("runs").stdout


def test_runs_of_a_series_and_in_another_folder_are_listed(dnn: Dnn, tmp_path: Path) -> None:
    Path("a.yaml").write_text(CONFIG)
    assert dnn("train", "-c", "a.yaml", "--seed", 0, "--seed", 1, "-q").code == 0
    assert states(dnn) == {"a-1": "done", "a-2": "done"}
    Path("runs").rename("elsewhere")
    assert states(dnn, "elsewhere") == {"a-1": "done", "a-2": "done"}


def test_files_and_folders_that_are_not_runs_are_ignored(copy: Callable[..., Path], dnn: Dnn) -> None:
    copy("a-1")
    Path("runs/notes.txt").write_text("mine")
    Path("runs/folder").mkdir()
    Path("runs/gone").symlink_to("nowhere")
    Path("runs/odd/config.yaml").mkdir(parents=True)
    assert states(dnn) == {"a-1": "done"}


def test_without_runs_the_message_says_how_to_train_one(dnn: Dnn) -> None:
    Path("empty").mkdir()
    sentence = "there is no run in runs/ yet; `dnn train -c mnist` makes one\n"
    assert dnn("runs") == Answer(0, sentence, "")
    Path("runs").mkdir()
    assert dnn("runs") == Answer(0, sentence, "")
    made = "there is no run in empty/ yet; `dnn train -c mnist --run-dir empty/mnist-1` makes one\n"
    assert dnn("runs", "empty") == Answer(0, made, "")
    assert dnn("runs", "--json") == Answer(0, "[]\n", "")
    assert dnn("runs", "nowhere") == Answer(2, "", "error: there is no folder nowhere\n")
    assert dnn("show") == Answer(2, "", f"error: {sentence}")
    assert dnn("show", "empty") == Answer(2, "", "error: empty is not a run: it has no config.yaml\n")


def test_listing_a_run_is_an_error_that_names_the_right_command(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    assert dnn("runs", run) == Answer(2, "", "error: runs/a-1 is a run; `dnn show runs/a-1` prints it\n")


@pytest.mark.parametrize(
    ("columns", "left_out"), [(200, set()), (85, {"time", "val loss"}), (70, {"time", "val loss", "data"})]
)
def test_on_a_narrow_terminal_columns_are_left_out(columns: int, left_out: set[str], copy: Callable[..., Path]) -> None:
    pty = pytest.importorskip("pty")
    want(copy("a-1"), 5)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command("runs"), stdout=theirs, env=environment) as child:
        assert child.wait(PATIENCE) == 0
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    os.close(ours)
    head, row, empty, *_ = shown.decode().splitlines()
    assert (row.split()[0], empty) == ("runs/a-1", "")
    assert max(len(head), len(row)) <= columns
    titles = ["run", "state", "epoch", "val loss", "val accuracy", "time", "test accuracy", "data", "age"]
    assert re.split("  +", head) == [title for title in titles if title not in left_out]


# Damage


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.yaml", "sed: 1\n", "a/config.yaml has 1 problem runs/a/config.yaml:1:1 sed: unknown key"),
        ("config.yaml", b"\xff", "a/config.yaml cannot be read: it is not UTF-8 text"),
        ("environment.json", None, "a has no environment.json"),
        ("environment.json", "{}", "a/environment.json is damaged: dataset: field required"),
        ("state.json", "{", "a/state.json is damaged: Expecting property name"),
        ("metrics.json", "[]", "a/metrics.json is damaged: it is not a JSON object"),
        ("metrics.json", '{"parameters": []}', "a/metrics.json is damaged: epochs: field required"),
        (
            "history.csv",
            "epoch,loss\n1,2\n2,1\n",
            "a/history.csv is damaged: line 2: missing accuracy, learning_rate",
        ),
        ("history.csv", None, "a/history.csv cannot be read"),
        ("evaluation/test.json", "{}", "a/evaluation/test.json is damaged: images: field required"),
        ("checkpoints/best.keras", "PK", "a/checkpoints/best.keras is damaged: its checksum is not the one in"),
    ],
)
def test_the_problem_of_a_damaged_run_is_shown_beside_the_other_runs(
    file: str, content: str | bytes | None, problem: str, copy: Callable[..., Path], dnn: Dnn
) -> None:
    copy("b")
    path = copy("a") / file
    edit(Path("runs/a/state.json"), last__best__epoch=1, last__best__sha256="0")
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    answer = dnn("runs")
    assert (answer.code, answer.stderr) == (0, "")
    assert [line.split()[:2] for line in answer.stdout.splitlines()[1:3]] == [
        ["runs/a", "damaged"],
        ["runs/b", "done"],
    ]
    (line,) = answer.stdout.split("\n\n")[1].splitlines()
    assert line.startswith(f"runs/{problem}")
    shown = dnn("show", "runs/a")
    assert shown.code == 1
    assert shown.stderr.startswith(f"error: runs/{problem}")
    assert re.search(r"^state +damaged$", shown.stdout, re.MULTILINE)
    assert len(shown.stderr.splitlines()) == 1


def folder(run: Path) -> None:
    for name in ("last", "best", "previous"):
        (run / f"checkpoints/{name}.keras").unlink()
        (run / f"checkpoints/{name}.keras").mkdir()


def dangling(run: Path) -> None:
    (run / "state.json").unlink()
    (run / "state.json").symlink_to("nowhere")
    (run / "notes").symlink_to("nowhere")


def infinite(run: Path) -> None:
    edit(run / "metrics.json", seconds=float("inf"))


def pipe(run: Path) -> None:
    (run / "metrics.json").unlink()
    os.mkfifo(run / "metrics.json")


def loop(run: Path) -> None:
    (run / "history.csv").unlink()
    (run / "history.csv").symlink_to("history.csv")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (folder, "runs/odd/checkpoints/last.keras cannot be read: Is a directory"),
        (dangling, "runs/odd has no state.json"),
        (infinite, "runs/odd/metrics.json is damaged: Infinity is not a number in JSON"),
        (pipe, "runs/odd/metrics.json cannot be read: not a regular file"),
        (loop, "runs/odd/history.csv cannot be read: Too many levels of symbolic links"),
    ],
)
def test_one_odd_run_is_one_damaged_row(
    damage: Callable[[Path], None], problem: str, copy: Callable[..., Path], dnn: Dnn
) -> None:
    copy("whole")
    damage(copy("odd"))
    assert states(dnn) == {"whole": "done", "odd": "damaged"}
    answer = dnn("runs")
    assert (answer.code, answer.stderr) == (0, "")
    assert problem in answer.stdout
    for words in (["show", "runs/odd"], ["evaluate", "runs/odd"], ["train", "--resume", "runs/odd"]):
        answer = dnn(*words)
        assert answer.code in (0, 1)
        assert "Traceback" not in answer.stderr


def test_a_run_that_is_deleted_meanwhile_is_left_out(
    copy: Callable[..., Path], dnn: Dnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy("kept")
    gone = copy("gone")
    is_locked = RunDirectory.is_locked

    def delete_first(self: RunDirectory) -> bool:
        shutil.rmtree(gone, ignore_errors=True)
        return is_locked(self)

    monkeypatch.setattr(RunDirectory, "is_locked", delete_first)
    assert states(dnn) == {"kept": "done"}


def test_only_show_compares_checksums(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a")
    for name in ("last", "best"):  # both epochs' bests are their last
        path = run / f"checkpoints/{name}.keras"
        content = bytearray(path.read_bytes())
        content[1000] ^= 1
        path.write_bytes(content)
    assert states(dnn) == {"a": "done"}
    answer = dnn("show", run)
    damaged = "runs/a/checkpoints/last.keras is damaged: its checksum is not the one in state.json"
    assert (answer.code, answer.stderr) == (1, f"error: {damaged}\n")
    assert re.search(rf"^warning +{damaged}$", answer.stdout, re.MULTILINE)
    assert answer.stdout.splitlines()[-1] == "next: dnn train --resume runs/a"  # from the one before
    (run / "checkpoints/previous.keras").write_text("gone too")
    assert dnn("show", run).stdout.splitlines()[-1] == "next: dnn train -c runs/a/config.yaml"


@pytest.mark.parametrize("cut", [True, False])
def test_the_list_detects_a_checkpoint_cut_off_or_missing(cut: bool, copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a")
    for name in ("last", "best"):
        path = run / f"checkpoints/{name}.keras"
        path.write_bytes(path.read_bytes()[:1000]) if cut else path.unlink()
    assert states(dnn) == {"a": "damaged"}


def test_a_checkpoint_under_another_name_is_not_damage(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a")
    (run / "checkpoints/best.keras").unlink()  # as after a kill before `last` was copied to `best`
    assert states(dnn) == {"a": "done"}
    assert dnn("show", run).code == 0


def mutations(values: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in `values`; of long lists, only of the first entries."""
    items: Any = values.items() if isinstance(values, dict) else enumerate(values[:2])
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from mutations(value, (*path, key))


def test_a_wrong_value_in_any_file_never_makes_a_command_crash(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a")
    copy("b")
    for name in ("environment.json", "state.json", "metrics.json", "evaluation/test.json"):
        file = run / name
        whole = file.read_text()
        for path in mutations(json.loads(whole)):
            value: Any
            for value in (None, "x", -1, []):
                values = json.loads(whole)
                inner = values
                for part in path[:-1]:
                    inner = inner[part]
                inner[path[-1]] = value
                file.write_text(json.dumps(values))
                listed, shown = dnn("runs"), dnn("show", run, *(["--json"] if value in (None, []) else []))
                assert listed.code == 0, (path, value, listed)
                assert re.search(r"^runs/b +done ", listed.stdout, re.MULTILINE), (path, value)
                assert shown.code in (0, 1), (path, value, shown)
        file.write_text(whole)


# Runs being trained


def test_a_run_is_running_until_its_process_ends(start: Start, dnn: Dnn) -> None:
    Path("a.yaml").write_text(CONFIG)
    training = start("train", "-c", "a.yaml", "--epochs", 100_000, "-q")
    while not Path("runs/a-1/state.json").is_file():
        assert training.poll() is None, training.communicate()
        time.sleep(0.01)
    answer = dnn("runs")
    assert re.search(r"^runs/a-1  running  \d+ of 100000  .*  (now|\d+ (s|min) ago)$", answer.stdout.splitlines()[1])
    assert "next:" not in answer.stdout
    for _ in range(20):  # the training replaces files at the same time
        (found,) = status.list_runs()
        assert (found.state, found.problem) == ("running", "")
        assert dnn("show", "runs/a-1").code == 0
    training.kill()
    training.wait()
    assert states(dnn) == {"a-1": "interrupted"}
    assert dnn("runs").stdout.splitlines()[-1].endswith("; next: dnn train --resume runs/a-1")


def test_testing_the_lock_never_makes_a_training_fail(copy: Callable[..., Path], process: Dnn) -> None:
    """Two processes test the lock without a pause while others acquire it again and again."""
    run = RunDirectory(copy("a-1"))
    run.path.joinpath(".lock").touch()
    code = """
from pathlib import Path
from dnn_cli.runs.directory import RunDirectory
print("ready", flush=True)
while True:
    RunDirectory(Path("runs/a-1")).is_locked()
"""
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        for _ in range(2)
    ]
    try:
        for one in asking:
            assert one.stdout
            assert one.stdout.readline() == b"ready\n"
        seen = 0
        for _ in range(500):
            with run.locked():
                seen += run.is_locked()
        assert seen == 500
        for epochs in (3, 4):
            answer = process("train", "--resume", "runs/a-1", "--epochs", epochs, "-q")
            assert (answer.code, answer.stderr) == (0, "")
    finally:
        for one in asking:
            one.kill()
            one.wait()
            assert one.stdout
            one.stdout.close()


def test_two_processes_can_test_the_lock_at_the_same_time(copy: Callable[..., Path]) -> None:
    run = RunDirectory(copy("a-1"))
    with (run.path / ".lock").open("rb") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH)
        assert not run.is_locked()


# One run


def test_show_prints_every_part_of_a_run(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    answer = dnn("show", run)
    assert (answer.code, answer.stderr) == (0, "")
    parts = dict(part.split(":\n", 1) for part in answer.stdout.split("\n\n")[1:-1])
    assert list(parts) == ["settings that differ from the default", "environment", "history", "evaluations", "files"]
    facts = dict(re.split("  +", line) for line in answer.stdout.split("\n\n")[0].splitlines())
    assert (facts["run"], facts["state"], facts["epochs"], facts["parameters"]) == ("runs/a-1", "done", "2", "6,370")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \S+, 2 days ago", facts["last written"])
    settings = [re.split("  +", line) for line in parts["settings that differ from the default"].splitlines()]
    assert settings == [
        ["setting", "value", "default"],
        ["engine", "numpy", "keras"],
        ["data.dataset", "mnist-sample", "mnist"],
        ["data.validation", "500", "0"],
        ["model.layers", "[8]", "[]"],
        ["training.epochs", "2", "10"],
        ["training.batch_size", "100", "32"],
        ["training.threads", "1", "auto"],
    ]
    assert re.search(r"^versions numpy +\d", parts["environment"], re.MULTILINE)
    assert re.search(r"^dataset fingerprint +sha256:[0-9a-f]{64}$", parts["environment"], re.MULTILINE)
    assert [line.split()[0] for line in parts["history"].splitlines()] == ["epoch", "1", "2"]
    best = dnn_best(run)["epoch"]
    assert re.search(rf"^{best} best  ", parts["history"], re.MULTILINE)
    assert re.search(r"^test +mnist-sample +1,000 +\d  \d\.", parts["evaluations"], re.MULTILINE)
    assert re.search(r"^metrics.json +\d+$", parts["files"], re.MULTILINE)
    assert answer.stdout.splitlines()[-1] == "next: dnn train --resume runs/a-1 --epochs 4"
    assert dnn("show").stdout == answer.stdout  # the newest


def test_json_output_of_show(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    found = json.loads(dnn("show", run, "--json").stdout)
    opened = RunDirectory.open(run)
    assert found["config"] == opened.config().to_dict()
    assert found["environment"] == json.loads((run / "environment.json").read_text()) | {"config": None}
    assert found["history"] == opened.history(2)
    assert found["metrics"] == json.loads((run / "metrics.json").read_text())
    assert found["evaluations"] == {"test": json.loads((run / "evaluation/test.json").read_text())}
    assert found["files"] == {
        str(path.relative_to(run)): path.stat().st_size
        for path in run.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    (listed,) = json.loads(dnn("runs", "--json").stdout)
    assert listed.items() <= found.items()


def test_of_a_long_history_only_the_ends_and_the_best_epoch_are_shown(copy: Callable[..., Path], dnn: Dnn) -> None:
    run = copy("a-1")
    rows = [f"{epoch},1.0,0.5,{abs(epoch - 23) / 100},0.5,0.001,2.5" for epoch in range(1, 41)]
    header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"
    (run / "history.csv").write_text("\n".join([header, *rows, ""]))
    edit(run / "state.json", last__epoch=40, last__best__epoch=23)
    part = dnn("show", run).stdout.split("\n\n")[3].splitlines()[2:]
    shown = [line.split("  ")[0] for line in part]
    assert shown == ["1", "2", "3", "4", "5", "…", "23 best", "…", "36", "37", "38", "39", "40"]


def test_show_names_the_weights_that_a_run_started_from(copy: Callable[..., Path], dnn: Dnn) -> None:
    copy("a-1")
    Path("b.yaml").write_text(CONFIG + "seed: 4\n")
    assert dnn("train", "-c", "b.yaml", "--set", "engine=keras", "--set", "model.init_from=runs/a-1", "-q").code == 0
    assert re.search(r"^transfer +started from .*runs/a-1/.*: loaded ", dnn("show", "runs/b-1").stdout, re.MULTILINE)


# How much is read


READ = (".lock", "config.yaml", "environment.json", "state.json", "history.csv", "metrics.json", "evaluation/test.json")
CHECKPOINTS = ("checkpoints/best.keras", "checkpoints/last.keras")
MEASURED = """
import json, sys
opened, hashed = [], []
sys.addaudithook(lambda event, details: opened.append(str(details[0])) if event == "open" else None)
from dnn_cli.__main__ import run
from dnn_cli.runs import checkpoints
digest = checkpoints.sha256
checkpoints.sha256 = lambda path: hashed.append(str(path)) or digest(path)
code = run(sys.argv[1:])
opened = [path for path in opened if path.startswith("runs/")]
print(json.dumps([opened, hashed, sorted(sys.modules)]), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("arguments", [["runs"], ["show"], ["runs", "--json"], ["show", "--json"]])
def test_runs_and_show_import_no_heavy_library_and_read_little(arguments: list[str], copy: Callable[..., Path]) -> None:
    """Of fifty runs, count what takes the time: modules imported, files opened, digests computed."""
    for number in range(50):
        want(copy(f"a-{number}"), 5)
    newest = max(Path("runs").iterdir(), key=lambda run: (run / "config.yaml").stat().st_mtime_ns).name
    asked = [newest] if arguments[0] == "show" else [run.name for run in Path("runs").iterdir()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", MEASURED, *arguments]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    opened, hashed, modules = json.loads(done.stderr)
    allowed = {f"runs/{run}/{name}" for run in asked for name in (*READ, *CHECKPOINTS)}
    assert set(opened) <= allowed
    assert max(Counter(opened).values()) <= (2 if arguments[0] == "runs" else 7)
    assert hashed == ([] if arguments[0] == "runs" else [f"runs/{newest}/{name}" for name in reversed(CHECKPOINTS)])
    assert not set(HEAVY) & set(modules)
    assert len(modules) < 450
