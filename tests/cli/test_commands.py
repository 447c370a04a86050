"""The command line: what each command answers, with which code, and what it does not import to do so."""

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dnn_cli
from dnn_cli.__main__ import run
from dnn_cli.cli import commands
from dnn_cli.config import loading, schema
from dnn_cli.data import datasets
from dnn_cli.training import loop
from tests.conftest import Answer, command
from tests.files import digits, idx, user, write_idx, write_npz

Dnn = Callable[..., Answer]
ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("train", "evaluate", "runs", "show", "predict", "explain", "compare", "report", "data", "gradcheck", "trace"),
    "schema",
)


@pytest.fixture(autouse=True)
def _only_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DNN_DATA_DIR", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch that tests only read."""
    path = tmp_path_factory.mktemp("trained") / "run"
    assert run(["train", "-c", "smoke", "--epochs", "1", "-q", "--run-dir", str(path)]) == 0
    return path


@pytest.fixture
def light() -> Callable[..., tuple[Answer, set[str]]]:
    """Run a command in a fresh interpreter; also which of the heavy modules it imported."""

    def call(*arguments: object) -> tuple[Answer, set[str]]:
        code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from dnn_cli.__main__ import run
code = run({[*map(str, arguments)]!r})
print(*(set({HEAVY!r}) & set(sys.modules)))
sys.exit(code)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        *lines, heavy = done.stdout.splitlines()
        return Answer(done.returncode, "".join(f"{line}\n" for line in lines), done.stderr), set(heavy.split())

    return call


SHIPPED = "shipped configs: mnist, smoke, small, fast, best, tiny, zero-to-four, five-to-nine"
Light = Callable[..., tuple[Answer, set[str]]]
HEAVIEST = {"tensorflow", "keras", "matplotlib"}
HEAVY = sorted(HEAVIEST | {"pydantic", "numpy", "rich", "yaml"})


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def usage(answer: Answer) -> str:
    """What a refusal of Click's says, without its hint at --help."""
    assert (answer.code, answer.stdout) == (2, "")
    return answer.stderr.splitlines()[-1]


# Help, quickly


def test_help_shows_the_way_in_and_imports_nothing_heavy(light: Light) -> None:
    answer, heavy = light("--help")
    assert (answer.code, answer.stderr, heavy) == (0, "", set())
    assert "  dnn train -c mnist " in answer.stdout
    listed = re.findall(r"^  (\w+)  +[A-Z].*\.$", answer.stdout.partition("Commands:")[2], re.MULTILINE)
    assert tuple(listed) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_examples_within_80_columns(name: str, light: Light) -> None:
    answer, heavy = light(name, "--help")
    assert (answer.code, answer.stderr, heavy) == (0, "", set())
    assert re.search(rf"Examples?:\n    dnn {name}", answer.stdout)
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_examples_name_options_that_exist() -> None:
    for name, one in commands.cli.commands.items():
        known = {option for parameter in one.params for option in parameter.opts} | {"--help"}
        assert one.help is not None
        for example in re.findall(r"dnn \w+.*", one.help):
            assert set(re.findall(r"(?<= )--?[a-z-]+", example)) <= known, (name, example)


def test_every_option_says_what_it_does() -> None:
    for one in commands.cli.commands.values():
        for parameter in one.params:
            record = parameter.to_info_dict()
            assert record["param_type_name"] == "argument" or record["help"]


def test_the_help_names_the_shipped_configs(dnn: Dnn) -> None:
    named = re.search(r"a shipped config: ([^.]*)\.", " ".join(dnn("train", "-h").stdout.split()))
    assert named
    assert set(named[1].split(", ")) == set(loading.SHIPPED)


def test_the_version(dnn: Dnn) -> None:
    assert dnn("--version") == Answer(0, f"dnn, version {dnn_cli.__version__}\n", "")


def test_without_a_command_the_help_is_shown(dnn: Dnn) -> None:
    answer = dnn()
    assert answer.code == 2
    assert answer.stderr == dnn("--help").stdout


# What is refused before TensorFlow is imported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["-c", "bad.yaml", "--epochs", "0"],
            "error: bad.yaml has 3 problems\n"
            "  --epochs 0    training.epochs: must be at least 1, got 0\n"
            "  bad.yaml:1:9  model.layer: unknown key (did you mean 'layers'?)\n"
            "  bad.yaml:2:7  seed: must be at least 0, got -1\n",
        ),
        (["-c", "smok"], f"error: there is no config file smok (did you mean 'smoke'?); {SHIPPED}\n"),
        (["-c", "nothing/there.yaml"], f"error: there is no config file nothing/there.yaml; {SHIPPED}\n"),
        (
            ["-c", "smoke", "--set", "data.dataset=none.npz"],
            "error: there is no dataset 'none.npz'; known: mnist, fashion_mnist, mnist-sample, "
            "or the path of an .npz file or of a folder of IDX files\n",
        ),
        (
            ["-c", "smoke", "--run-dir", "taken"],
            "error: taken exists already; go on with it by --resume taken, or choose another --run-dir\n",
        ),
        (["--resume", "taken"], "error: taken is not a run: it has no config.yaml\n"),
        (["--resume", "nowhere"], "error: there is no run nowhere\n"),
        (
            ["-c", "smoke", "--set", "seed"],
            "error: --set seed: expected key.path=value, for example --set training.epochs=5\n",
        ),
        (
            ["-c", "smoke", "--set", "model.layers=[16384, 16384]"],
            "error: model.layers makes a network of 281,477,130 parameters; at most 200,000,000 are allowed\n",
        ),
    ],
)  # fmt: skip
def test_a_refusal_comes_before_tensorflow(arguments: list[str], message: str, light: Light, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("model: {layer: [3]}\nseed: -1\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("my only copy")
    before = listing(tmp_path)
    answer, heavy = light("train", *arguments)
    assert answer.stdout == ""
    assert answer.stderr == message
    assert answer.code == (1 if "dataset" in message else 2)
    assert not heavy & HEAVIEST
    assert listing(tmp_path) == before


def test_evaluate_refuses_before_tensorflow_too(light: Light, tmp_path: Path) -> None:
    (tmp_path / "text.keras").write_text("not a network")
    answer, heavy = light("evaluate", "text.keras", "--data", "mnist-sample")
    assert answer == Answer(1, "", "error: text.keras is damaged or not a Keras model: File is not a zip file\n")
    assert not heavy & HEAVIEST


def test_options_that_make_no_sense(dnn: Dnn, tmp_path: Path) -> None:
    assert usage(dnn("train")) == "Error: say what to train: --config CONFIG, or --resume RUN"
    assert usage(dnn("train", "--resume", "runs/a-1", "--run-dir", "b")) == (
        "Error: --resume goes on in the run's own directory; --run-dir is for a new run"
    )
    for several in (["-c", "smoke"], ["--seed", "1", "--seed", "2"]):
        assert usage(dnn("train", "-c", "small", *several, "--resume", "runs/a-1")) == (
            "Error: --resume goes on with one run; give it one --config and one --seed at most"
        )
        assert usage(dnn("train", "-c", "small", *several, "--run-dir", "b")) == (
            "Error: --run-dir is for one training; without it, each of several gets a folder in runs/"
        )
    assert usage(dnn("train", "-c", "smoke", "--epochs", "x")) == (
        "Error: Invalid value for '--epochs': 'x' is not a valid integer."
    )
    assert (
        usage(dnn("train", "-c", "smoke", "--epoch", "1"))
        == "Error: No such option '--epoch'. Did you mean '--epochs'?"
    )
    assert usage(dnn("train", "smoke")) == "Error: Got unexpected extra argument (smoke)"
    assert usage(dnn("evaluate", "--split", "all")) == (
        "Error: Invalid value for '--split': 'all' is not one of 'test', 'validation', 'train'."
    )
    assert usage(dnn("evaluate", "--min-accuracy", "97")) == (
        "Error: Invalid value for '--min-accuracy': 97.0 is not in the range 0<=x<=1."
    )
    assert listing(tmp_path) == []


def test_settings_are_replaced_one_after_the_other(dnn: Dnn) -> None:
    answer = dnn(
        "train", "-c", "smoke", "--dry-run", "--json", "--set", "seed=3", "--set", "optimizer.learning_rate=1e-4",
        "--set", "model.layers=[7]", "--set", "model.layers[0].dropout=0.5", "--batch-size", "9", "--seed", "4",
    )  # fmt: skip
    chosen = json.loads(answer.stdout)["config"]
    assert (chosen["seed"], chosen["training"]["batch_size"], chosen["optimizer"]["learning_rate"]) == (4, 9, 1e-4)
    assert [(block["units"], block["dropout"]) for block in chosen["model"]["layers"]] == [(7, 0.5)]


def test_settings_that_cannot_be(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--set", "optimizer.rat=1", "--set", "seed=none", "--dry-run")
    assert (answer.code, answer.stdout) == (2, "")
    first, *rest = answer.stderr.splitlines()
    assert first.endswith("smoke.yaml has 2 problems")
    assert sorted(rest) == [
        "  --set optimizer.rat=1  optimizer.rat: unknown key "
        "(allowed: name, learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, "
        "ema_overwrite_frequency, gradient_accumulation_steps, beta_1, beta_2, epsilon, amsgrad)",
        "  --set seed=none        seed: must be a whole number, got 'none'",
    ]


# A dry run


LAYERS = """\
layer       kind  activation  output  parameters
flatten  Flatten                 784           0
dense_1    Dense        relu      64      50,240
output     Dense     softmax      10         650
total                                     50,890
"""


def test_a_dry_run_shows_what_would_be_trained_and_does_nothing(light: Light, tmp_path: Path) -> None:
    answer, heavy = light("train", "-c", "smoke", "--epochs", 3, "--dry-run", "--run-dir", "new")
    assert (answer.code, answer.stderr) == (0, "")
    text, layers, where = answer.stdout.split("\n\n")
    assert loading.parse(text, "printed") == loading.load("smoke").with_epochs(3)
    assert layers + "\n" == LAYERS
    assert where == "data: mnist-sample (on this machine)\n"
    assert not heavy & HEAVIEST
    assert listing(tmp_path) == []


def test_a_dry_run_for_machines(dnn: Dnn, tmp_path: Path) -> None:
    answer = dnn("train", "-c", "smoke", "--dry-run", "--json")
    assert (answer.code, answer.stderr) == (0, "")
    plan = json.loads(answer.stdout)
    assert plan["config"] == loading.load("smoke").to_dict()
    assert plan["layers"][1] == {"name": "dense_1", "kind": "Dense", "units": 64, "parameters": 50240}
    assert plan["parameters"] == 50890
    assert listing(tmp_path) == []


def test_a_dry_run_of_what_would_be_downloaded(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "mnist", "--dry-run")
    assert answer.stdout.endswith("data: mnist (not on this machine; training downloads it)\n")
    assert answer.code == 0


def test_a_dry_run_of_a_resumption(trained: Path, dnn: Dnn) -> None:
    before = {name: (trained / name).stat().st_mtime_ns for name in listing(trained)}
    answer = dnn("train", "--resume", trained, "--epochs", 5, "--dry-run", "--json")
    assert json.loads(answer.stdout)["config"] == loading.load("smoke").with_epochs(5).to_dict()
    assert {name: (trained / name).stat().st_mtime_ns for name in listing(trained)} == before


def test_a_dry_run_of_ones_own_data(tmp_path: Path, dnn: Dnn) -> None:
    path = user(tmp_path)
    answer = dnn("train", "-c", "smoke", "--set", f"data.dataset={path}", "--set", "data.validation=2", "--dry-run")
    assert answer.stdout.split("\n\n")[1].splitlines()[1:] == [
        "flatten  Flatten                  12           0",
        "dense_1    Dense        relu      64         832",
        "output     Dense     softmax       3         195",
        "total                                      1,027",
    ]
    assert answer.stdout.endswith(f"\n\ndata: {path}, 6 training images\n")
    broken = write_npz(tmp_path / "broken.npz", **{**digits(), "x_train": np.full((8, 3, 4), 300)})
    answer = dnn("train", "-c", "smoke", "--set", f"data.dataset={broken}", "--dry-run")
    assert answer == Answer(
        1, "", f"error: {broken}: x_train: whole-number pixels must lie in 0 to 255, got 300 to 300\n"
    )


# Training, as it is told


def test_training_tells_an_epoch_a_line_and_the_result_in_a_table(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--epochs", 2)
    assert answer.code == 0
    number = r"[\d,.]+"
    lines = answer.stderr.splitlines()
    assert len(lines) == 2
    for index, line in enumerate(lines, start=1):
        assert re.fullmatch(rf"epoch {index}/2  loss {number}  accuracy {number}  {number} s  {number} images/s", line)
    metrics = json.loads(Path("runs/smoke-1/metrics.json").read_text())
    assert answer.stdout.splitlines() == [
        "run         runs/smoke-1",
        "data        mnist-sample, 4,000 training images",
        "parameters  50,890",
        "epochs      2",
        f"loss        {metrics['final']['loss']:.4f}",
        f"accuracy    {metrics['final']['accuracy']:.4f}",
        f"best epoch  2, loss {metrics['best']['value']:.4f}",
        f"time        {metrics['seconds']:.1f} s, {metrics['images_per_second']:,.0f} images/s",
        "next: dnn evaluate runs/smoke-1",
    ]


def test_quiet_training_for_machines_is_one_json_document(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "smoke", "--epochs", 1, "-q", "--json", "--run-dir", "mine")
    assert (answer.code, answer.stderr) == (0, "")
    printed = json.loads(answer.stdout)
    assert printed == {"run": "mine", **json.loads(Path("mine/metrics.json").read_text())}
    assert printed["epochs"] == 1


def test_json_stays_alone_on_stdout_however_much_is_told(dnn: Dnn) -> None:
    answer = dnn("train", "-c", "mnist", "--epochs", 1, "--json")
    assert json.loads(answer.stdout)["dataset"] == "mnist-sample"
    assert answer.stderr.startswith("warning: MNIST was neither found nor downloaded (")
    assert len(answer.stderr.splitlines()) == 2


# Datasets


def test_the_datasets_are_listed_with_what_is_in_them(dnn: Dnn, tmp_path: Path) -> None:
    cache = tmp_path / "keras" / "datasets"
    write_idx(cache / "fashion-mnist", digits())
    answer = dnn("data")
    assert (answer.code, answer.stderr) == (0, "")
    mnist, fashion, sample = answer.stdout.split("\n\n")
    assert mnist.splitlines() == [
        "mnist: 60,000 training and 10,000 test digits",
        "  not here; `dnn data mnist` fetches it",
    ]
    assert fashion.splitlines()[1] == f"  {cache}/fashion-mnist"
    assert fashion.splitlines()[3].split() == ["x_train", "bad"]
    assert f"  {cache}/fashion-mnist/train-images-idx3-ubyte: not what Fashion-MNIST has there (MD5 " in fashion
    assert sample.splitlines()[2].split() == ["part", "shape", "type", "digest", "state"]
    digest = datasets.SETS["mnist-sample"].digests["x_train"]
    assert sample.splitlines()[3] == f"  x_train  4000×28×28  uint8  md5:{digest}  verified"
    assert max(len(line) for line in sample.splitlines()[2:]) <= 80


def test_the_datasets_for_machines(dnn: Dnn) -> None:
    listed = json.loads(dnn("data", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(datasets.KNOWN)
    assert listed[0] == {"name": "mnist", "path": None, "parts": []}
    assert listed[2]["parts"][1] == {
        "name": "y_train",
        "state": "ok",
        "shape": [4000],
        "dtype": "int32",
        "digest": "md5:" + datasets.SETS["mnist-sample"].digests["y_train"],
        "problem": "",
    }


def test_one_dataset_is_verified(dnn: Dnn, tmp_path: Path) -> None:
    assert dnn("data", "mnist-sample").stdout.splitlines()[0].startswith("mnist-sample: /")
    path = user(tmp_path)
    answer = dnn("data", path)
    lines = answer.stdout.splitlines()
    assert lines[0] == str(path)
    assert re.fullmatch(r"  x_train  8×3×4  uint8  sha256:[0-9a-f]{28}…  sound", lines[2])
    assert max(map(len, lines[1:])) <= 80
    whole = json.loads(dnn("data", path, "--json").stdout)
    assert whole["path"] == str(path)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", whole["parts"][0]["digest"])


def test_datasets_that_are_missing_or_damaged(dnn: Dnn, tmp_path: Path) -> None:
    answer = dnn("data", "mnist")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: MNIST was not found\n")
    assert "\n  downloads are switched off by DNN_OFFLINE\n" in answer.stderr
    assert dnn("data", "mnits").stderr.startswith("error: there is no dataset 'mnits' (did you mean 'mnist'?); known: ")
    folder = write_idx(tmp_path / "own", digits())
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(idx(digits()["x_train"])[:-1])
    assert dnn("data", folder).stderr == (
        f"error: {file}: damaged or unreadable: its header claims 96 bytes, but only 95 are there\n"
    )


def test_the_schema_is_that_of_the_configs(light: Light) -> None:
    answer, heavy = light("schema")
    assert (answer.code, answer.stderr) == (0, "")
    assert json.loads(answer.stdout) == schema.json_schema()
    assert not heavy & HEAVIEST


# Terminals and pipes


@pytest.mark.parametrize("colour", [True, False])
def test_colours_are_for_terminals_that_want_them(colour: bool, trained: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    if not colour:
        environment["NO_COLOR"] = "1"
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command("data"), stdout=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert child.wait(60) == 0
    assert (b"\x1b[" in shown) == colour
    plain = re.sub(rb"\x1b\[[0-9;]*m", b"", shown).decode()
    assert "  x_train  4000×28×28  uint8  md5:" in plain
    assert max(map(len, plain.replace("\r", "").splitlines())) <= 100


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:  # Linux's way of saying that the other end is closed
        if error.errno != errno.EIO:
            raise
        return b""


def test_no_colours_where_there_is_no_terminal(
    dnn: Dnn, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for arguments in (["evaluate", trained], ["data"], ["train", "-c", "mnist", "--epochs", 1]):
        answer = dnn(*arguments)
        assert answer.code == 0
        assert "\x1b" not in answer.stdout + answer.stderr
        assert not re.search(r" +$", answer.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [["schema"], ["evaluate", "RUN"], ["evaluate", "RUN", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str], trained: Path) -> None:
    ends = os.pipe()
    os.close(ends[0])
    words = [str(trained) if word == "RUN" else word for word in arguments]
    child = subprocess.Popen(command(*words), stdout=ends[1], stderr=subprocess.PIPE, text=True)
    os.close(ends[1])
    assert child.communicate(timeout=120)[1] == ""
    assert child.returncode == 1


def test_a_terminal_that_knows_only_ascii_gets_question_marks(process: Dnn, tmp_path: Path) -> None:
    answer = process("data", "mnist-sample", PYTHONIOENCODING="ascii")
    assert (answer.code, answer.stderr) == (0, "")
    assert "4000?28?28" in answer.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("train", "-c", "smoke", "--dry-run"),
            stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: the result cannot be written: No space left on device\n")


@pytest.mark.skipif(os.name == "nt", reason="closes streams as a shell does")
def test_a_stream_that_is_closed_is_no_error() -> None:
    line = f"{' '.join(map(shlex.quote, command('train', '-c', 'smoke', '--epochs', 1)))} >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", line], check=False, timeout=120).returncode == 0
    assert Path("runs/smoke-1/metrics.json").exists()


# The boundary


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, dnn: Dnn) -> None:
    def bug(*_: Any, **__: Any) -> None:
        raise RuntimeError("this should not be")

    monkeypatch.setattr(loop, "start", bug)
    with pytest.raises(RuntimeError, match="this should not be"):
        dnn("train", "-c", "smoke")


def test_a_bug_is_shown_with_its_traceback() -> None:
    code = """
import sys
from dnn_cli import __main__, config
def bug(): raise RuntimeError("this should not be")
config.json_schema = bug
sys.argv = ["dnn", "schema"]
__main__.main()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert done.stderr.endswith("RuntimeError: this should not be\n")


def test_ctrl_c_where_nothing_is_at_stake(monkeypatch: pytest.MonkeyPatch, dnn: Dnn) -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(schema, "json_schema", interrupted)
    assert dnn("schema") == Answer(130, "", "\ninterrupted\n")


def test_the_module_and_the_command_are_the_same(process: Dnn) -> None:
    assert process("--version").stdout == f"dnn, version {dnn_cli.__version__}\n"
    installed = shutil.which("dnn", path=str(Path(sys.executable).parent))
    if installed is None:
        pytest.skip("dnn is not installed beside this Python")
    done = subprocess.run([installed, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"dnn, version {dnn_cli.__version__}\n"
