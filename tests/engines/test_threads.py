"""Test the number of threads: a run records it, resuming uses it again, and no thread is bound to a processor."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dnn_cli import processor
from dnn_cli.config import loading
from dnn_cli.engines import threads
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import ConfigError, UsageError
from dnn_cli.runs.directory import RunDirectory
from tests.conftest import Answer, command
from tests.shared_runs import forget_digests
from tests.training.helpers import assert_same_training, history

Dnn = Callable[..., Answer]

linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="only Linux can limit the processors of a process"
)

SMALL = """
seed: 3
data: {dataset: mnist-sample, validation: 500}
model: {layers: [{units: 128, dropout: 0.2, batch_normalization: true}]}
training: {epochs: 4, batch_size: 48}
"""
NUMPY = SMALL + "engine: numpy\n"
# It starts faster and trains fewer images.
QUICK = SMALL.replace("batch_size: 48", "batch_size: 48, jit_compile: false").replace("500", "50, images_per_class: 20")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write a config whose results depend on the number of threads in their last bits."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """Write a config for what does not depend on the figures."""
    path = tmp_path / "small.yaml"
    path.write_text(QUICK)
    return path


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train `SMALL` with two threads, without interruption; tests must not change the run."""
    folder = tmp_path_factory.mktemp("straight")
    (folder / "small.yaml").write_text(SMALL)
    options = ("--set", "training.threads=2", "--run-dir", folder / "run", "--quiet")
    subprocess.run(
        command("train", "-c", folder / "small.yaml", *options), check=True, capture_output=True, timeout=300
    )
    return folder / "run"


def on_one_processor(*arguments: object, **environment: str) -> Answer:
    """Run a command in a process that may use a single processor only."""
    first = min(os.sched_getaffinity(0))
    code = f"import os, sys; os.sched_setaffinity(0, {{{first}}}); os.execv(sys.argv[1], sys.argv[1:])"
    python, *rest = command(*arguments)
    done = subprocess.run(
        [python, "-c", code, python, *rest],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def recorded(run: str | Path) -> Any:
    """Return the number of threads in a run's config."""
    return loading.load(str(Path(run, "config.yaml"))).training.threads


def remove_number(run: str | Path) -> None:
    """Remove the threads and the processor from the records of a run; version 0.1.0 did not record them."""
    forget_digests(run)
    config, environment = Path(run, "config.yaml"), Path(run, "environment.json")
    text, count = re.subn(r"^  threads: \d+\n", "", config.read_text(), flags=re.MULTILINE)
    assert count == 1
    config.write_text(text)
    values = json.loads(environment.read_text())
    environment.write_text(json.dumps({key: values[key] for key in values if key not in ("threads", "processor")}))


# Processors


@linux
@pytest.mark.parametrize(("ending", "code"), [("done", 0), ("error", 1), ("interrupt", 130)])
def test_a_training_binds_no_thread(
    dnn: Dnn, quick: Path, ending: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = frozenset(os.sched_getaffinity(0))
    layers = "[{units: 16, activation: linear}, {units: 16, activation: linear}, {units: 16, activation: linear}]"
    wild = ("--set", "optimizer={name: sgd, learning_rate: 1000}", "--set", f"model.layers={layers}")
    if ending == "interrupt":
        commit = RunDirectory.commit

        def interrupted(run: RunDirectory, *arguments: Any, **named: Any) -> Any:
            result = commit(run, *arguments, **named)
            signal.raise_signal(signal.SIGINT)
            return result

        monkeypatch.setattr(RunDirectory, "commit", interrupted)
    answer = dnn("train", "-c", quick, "--epochs", 2, *(wild if ending == "error" else ()))
    assert answer.code == code
    assert os.sched_getaffinity(0) == before
    assert {frozenset(os.sched_getaffinity(int(task.name))) for task in Path("/proc/self/task").iterdir()} == {before}


def test_a_training_is_the_same_in_this_process_and_in_a_new_one(dnn: Dnn, process: Dnn, small: Path) -> None:
    assert dnn("train", "-c", small, "--run-dir", "here").code == 0
    same = ("--set", f"training.threads={recorded('here')}")
    assert process("train", "-c", small, "--run-dir", "child", *same).code == 0
    assert_same_training("here", "child")


# The recorded number


@linux
def test_resuming_uses_the_recorded_number_on_any_number_of_processors(
    process: Dnn, small: Path, straight: Path
) -> None:
    two = ("--set", "training.threads=2")
    assert process("train", "-c", small, *two, "--run-dir", "resumed", "--epochs", 2).code == 0
    again = on_one_processor("train", "--resume", "resumed", "--epochs", 4, TF_NUM_INTRAOP_THREADS="3")
    assert (again.code, "warning" in again.stderr) == (0, False)
    assert_same_training(straight, "resumed")


@linux
def test_the_recorded_config_trains_the_same_on_any_number_of_processors(small: Path, straight: Path) -> None:
    assert on_one_processor("train", "-c", straight / "config.yaml", "--run-dir", "again").code == 0
    assert_same_training(straight, "again")
    # With another number of threads the result differs, so the tests above could fail.
    assert on_one_processor("train", "-c", small, "--run-dir", "one", TF_NUM_INTRAOP_THREADS="").code == 0
    assert recorded("one") == 1
    assert history("one") != history(straight)


@linux
def test_an_evaluation_uses_the_recorded_number(process: Dnn, straight: Path) -> None:
    shutil.copytree(straight, "run")
    anywhere, on_one = process("evaluate", "run", "--json"), on_one_processor("evaluate", "run", "--json")
    assert (anywhere.code, anywhere.stderr) == (0, "")
    assert on_one == anywhere


@linux
def test_trainings_at_the_same_time_do_not_affect_each_other(
    start: Callable[..., "subprocess.Popen[str]"], small: Path, straight: Path
) -> None:
    arguments = ("train", "-c", small, "--set", "training.threads=2", "--quiet")
    started = [start(*arguments, "--run-dir", f"beside-{number}") for number in range(2)]
    assert on_one_processor(*arguments, "--run-dir", "crowded").code == 0
    for one in started:
        assert one.wait(timeout=300) == 0
    for other in ("beside-0", "beside-1", "crowded"):
        assert_same_training(straight, other)


@pytest.mark.parametrize("asked", ["auto", 1])
def test_the_number_is_recorded(dnn: Dnn, process: Dnn, quick: Path, asked: object) -> None:
    options = ("train", "-c", quick, "--epochs", 1, "--run-dir", "run", "--set", f"training.threads={asked}")
    assert (dnn if asked == "auto" else process)(*options).code == 0
    number = tensorflow_import.running() if asked == "auto" else asked
    environment = json.loads(Path("run/environment.json").read_text())
    assert (recorded("run"), environment["threads"]) == (number, number)
    assert environment["processor"] == processor.kind()


def test_a_dry_run_shows_the_number_of_threads(process: Dnn, quick: Path) -> None:
    def shown(*arguments: object, **environment: str) -> Any:
        answer = process("train", "-c", quick, "--dry-run", "--json", *arguments, **environment)
        assert answer.code == 0
        return json.loads(answer.stdout)["config"]["training"]["threads"]

    assert shown(TF_NUM_INTRAOP_THREADS="") == threads.allowed_processors()
    assert shown(TF_NUM_INTRAOP_THREADS="7") == 7
    assert shown("--set", "training.threads=5", TF_NUM_INTRAOP_THREADS="7") == 5
    assert shown("--engine", "numpy", TF_NUM_INTRAOP_THREADS="7") == 1


@linux
def test_auto_counts_the_processors_that_are_allowed(quick: Path) -> None:
    answer = on_one_processor("train", "-c", quick, "--dry-run", "--json", TF_NUM_INTRAOP_THREADS="")
    assert json.loads(answer.stdout)["config"]["training"]["threads"] == 1


@pytest.mark.parametrize(("text", "number"), [("3", 3), (" 16 ", 16), ("1024", 1024)])
def test_the_environment_variable_sets_the_default(text: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, text)
    assert threads.default() == threads.resolve("auto", "keras", None) == number
    assert threads.resolve("auto", "keras", 6) == 6
    assert threads.resolve(5, "keras", 6) == 5
    assert threads.resolve("auto", "numpy", 6) == 1


@pytest.mark.parametrize("text", ["", "0"])
def test_without_the_variable_the_default_is_the_number_of_processors(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(threads.VARIABLE, text)
    assert threads.default() == threads.allowed_processors()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert threads.default() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: 5000)
    assert threads.default() == 1024


@pytest.mark.parametrize("text", ["two", "-1", "1025", "1.5", "²"])
def test_a_variable_that_is_not_a_number_is_rejected(
    text: str, dnn: Dnn, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorflow_import, "running", lambda: None)
    monkeypatch.setenv(threads.VARIABLE, text)
    expected = f"error: TF_NUM_INTRAOP_THREADS must be a whole number from 1 to 1024, got {text!r}\n"
    for more in ((), ("--dry-run",)):
        assert dnn("train", "-c", small, *more) == Answer(2, "", expected)


@pytest.mark.parametrize("value", ["0", "1025", "true", "1.5", "two", "null"])
def test_an_invalid_number_of_threads_is_rejected(value: str) -> None:
    shown = {"null": "nothing", "two": "'two'"}.get(value, value)
    with pytest.raises(ConfigError) as error:
        loading.parse(f"training: {{threads: {value}}}", "x.yaml")
    assert str(error.value) == (
        "x.yaml has 1 problem\n"
        f"  x.yaml:1:21  training.threads: must be auto or a whole number from 1 to 1024, got {shown}"
    )


# A different number


def test_a_run_cannot_resume_with_a_different_number(dnn: Dnn, quick: Path) -> None:
    assert dnn("train", "-c", quick, "--epochs", 1, "--run-dir", "run").code == 0
    number = recorded("run")
    expected = (
        "error: run cannot be resumed with different settings; only training.epochs may change\n"
        f"  training.threads: {number} → {number + 1}\n"
        "start a new run to train with them\n"
    )
    for more in ((), ("-c", quick), ("--dry-run",)):
        answer = dnn("train", "--resume", "run", *more, "--epochs", 1, "--set", f"training.threads={number + 1}")
        assert answer == Answer(2, "", expected)
    assert dnn("train", "--resume", "run", "-c", quick, "--epochs", 2).code == 0
    assert recorded("run") == number


def conflict(given: int, wanted: int) -> str:
    return (
        f"error: training.threads is {wanted}, but TensorFlow runs with {given} in this process and cannot change "
        "that; use a separate process for it\n"
    )


def test_a_number_that_tensorflow_cannot_change_to_is_rejected_before_a_run_is_created(dnn: Dnn, quick: Path) -> None:
    tensorflow_import.import_tensorflow()
    given = tensorflow_import.running()
    assert given is not None
    other = ("--set", f"training.threads={given + 1}")
    for more in ((), ("--dry-run",)):
        assert dnn("train", "-c", quick, *other, *more) == Answer(2, "", conflict(given, given + 1))
    assert not Path("runs").exists()
    with pytest.raises(UsageError, match=f"^training.threads is {given + 1}, but TensorFlow runs with {given} in this"):
        tensorflow_import.import_tensorflow(given + 1)


def test_an_evaluation_with_a_different_number_warns(dnn: Dnn, process: Dnn, quick: Path) -> None:
    tensorflow_import.import_tensorflow()
    given = tensorflow_import.running()
    assert given is not None
    options = ("--epochs", 1, "--run-dir", "run", "--set", f"training.threads={given + 1}")
    assert process("train", "-c", quick, *options).code == 0
    answer = dnn("evaluate", "run", "--json")
    note = conflict(given, given + 1).removeprefix("error: ")
    assert (answer.code, answer.stderr) == (0, f"warning: the last digits may differ: {note}")


def test_trainings_of_one_command_need_the_same_number(dnn: Dnn, process: Dnn, quick: Path, tmp_path: Path) -> None:
    (tmp_path / "three.yaml").write_text(QUICK.replace("epochs: 4", "epochs: 4, threads: 3"))
    (tmp_path / "numpy.yaml").write_text(NUMPY)
    several = ("train", "-c", "small.yaml", "-c", "three.yaml", "-c", "numpy.yaml", "--seed", 1, "--seed", 2)
    for more in ((), ("--dry-run",)):
        answer = process(*several, *more, TF_NUM_INTRAOP_THREADS="2")
        assert answer == Answer(
            2,
            "",
            "error: all trainings of one command share training.threads, got 2 for small.yaml with seed 1, "
            "small.yaml with seed 2; 3 for three.yaml with seed 1, three.yaml with seed 2\n"
            "train them with separate commands, or set one number for all: --set training.threads=N\n",
        )
    assert not Path("runs").exists()
    one = ("train", "-c", "three.yaml", "-c", "numpy.yaml", "--epochs", 1, "--quiet")
    assert process(*one, TF_NUM_INTRAOP_THREADS="2").code == 0
    assert (recorded("runs/three-1"), recorded("runs/numpy-1")) == (3, 1)


# NumPy


@linux
def test_the_numpy_engine_uses_one_thread_everywhere(process: Dnn, tmp_path: Path) -> None:
    (tmp_path / "numpy.yaml").write_text(NUMPY)
    assert process("train", "-c", "numpy.yaml", "--run-dir", "straight", OPENBLAS_NUM_THREADS="2").code == 0
    assert process("train", "-c", "numpy.yaml", "--run-dir", "resumed", "--epochs", 2).code == 0
    assert on_one_processor("train", "--resume", "resumed", "--epochs", 4, TF_NUM_INTRAOP_THREADS="3").code == 0
    assert recorded("straight") == 1
    assert_same_training("straight", "resumed")


def test_the_numpy_engine_rejects_a_larger_number(dnn: Dnn, small: Path) -> None:
    answer = dnn("train", "-c", "small.yaml", "--engine", "numpy", "--set", "training.threads=2")
    assert answer == Answer(
        2,
        "",
        "error: the command line has 1 problem\n"
        "  --set training.threads=2  training.threads: the NumPy engine uses 1 thread\n",
    )
    assert dnn("train", "-c", small, "--engine", "numpy", "--set", "training.threads=1", "--dry-run").code == 0


# Runs of older versions, and other processors


def test_a_run_without_a_number_resumes_with_the_default_and_a_warning(dnn: Dnn, quick: Path) -> None:
    assert dnn("train", "-c", quick, "--epochs", 1, "--run-dir", "run").code == 0
    number = recorded("run")
    remove_number("run")
    shutil.copytree("run", "chosen")
    answer = dnn("train", "--resume", "run", "--epochs", 2)
    assert answer.code == 0
    assert answer.stderr.splitlines()[0] == (
        f"warning: run does not record its number of threads and resumes with {number}; "
        "with another number, the weights differ in the last bits; --set training.threads=N sets it"
    )
    assert recorded("run") == number
    assert "warning" not in dnn("train", "--resume", "run", "--epochs", 3).stderr
    assert dnn("train", "--resume", "chosen", "--epochs", 2, "--set", f"training.threads={number}").code == 0
    assert recorded("chosen") == number


def test_a_numpy_run_without_a_number_resumes_without_a_warning(dnn: Dnn, tmp_path: Path) -> None:
    (tmp_path / "numpy.yaml").write_text(NUMPY)
    assert dnn("train", "-c", "numpy.yaml", "--epochs", 1, "--run-dir", "run").code == 0
    remove_number("run")
    answer = dnn("train", "--resume", "run", "--epochs", 2)
    assert (answer.code, "warning" in answer.stderr) == (0, False)
    assert recorded("run") == 1


def test_resuming_on_another_kind_of_processor_warns(dnn: Dnn, quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(processor, "kind", lambda: "Other (avx)")
        assert dnn("train", "-c", quick, "--epochs", 1, "--run-dir", "run").code == 0
    answer = dnn("train", "--resume", "run", "--epochs", 2)
    assert answer.stderr.splitlines()[0] == (
        f"warning: run was started on Other (avx), this is {processor.kind()}; weights may differ in the last bits"
    )
    assert answer.code == 0
