"""Give every command damaged inputs: configs, networks, pictures, datasets and runs, each within limits.

A case is made from its number alone, so that it can be repeated: ``python -m tests.torture.fuzz --only 1234``. Cases
run in a process with a limit of memory. A case fails if a command raises an exception that is no expected error, takes
too long, or ends the process.
"""

import argparse
import gzip
import io
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

import numpy as np
import yaml
from PIL import Image

from dnn_cli.__main__ import run
from dnn_cli.config import loading
from tests.files import IDX, digits, idx, stored
from tests.torture.mutations import altered, altered_hdf5, altered_json, altered_npy, altered_png, damaged, repacked
from tests.torture.outcome import Outcome

MEMORY_BYTES = 3 * 2**30
SECONDS = 20.0
START_SECONDS = 120.0  # until a process has made its materials, on a busy machine
CASES = 20_000
PICTURE_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
CONFIG = """
engine: numpy
data: {dataset: mnist-sample, images_per_class: 20, validation: 0.1}
model: {input_dropout: 0.1, layers: [{units: 8, batch_normalization: true, dropout: 0.2}, {units: 6, activation: tanh}]}
training: {epochs: 1}
"""
ODD_YAML = (
    "&a [*a]",
    "!!python/object:os.system {}",
    "<<: x",
    "{a: &b {c: *b}}",
    "? [x]",
    "%YAML 9.9",
    "---",
    "\t",
    "'",
    "- - - - -",
    "0x",
    "1e999",
    "0o777777777777777777777777",
    "~",
    "2001-01-01",
    "!!binary x",
)


class Materials:
    """Valid inputs, made once in a process.

    Args:
        folder: an empty folder to work in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "c.yaml").write_text(CONFIG)
        self.run = folder / "run"
        _check(call("train", "-c", folder / "c.yaml", "--run-dir", self.run, "-q"))
        self.transfer = folder / "transfer.yaml"
        self.transfer.write_text(CONFIG.replace("engine: numpy", "engine: keras"))
        self.network = (self.run / "checkpoints" / "best.keras").read_bytes()
        self.configs = [CONFIG, *(loading.find(name).read_text(encoding="utf-8") for name in loading.SHIPPED)]
        pixels = np.zeros((40, 30), np.uint8)
        pixels[8:32, 12:18] = 255
        self.pictures = {}
        for kind in PICTURE_FORMATS:
            buffer = io.BytesIO()
            Image.fromarray(pixels).convert("L" if kind != "WEBP" else "RGB").save(buffer, kind)
            self.pictures[kind] = buffer.getvalue()
        self.picture = folder / "valid.png"
        self.picture.write_bytes(self.pictures["PNG"])
        self.arrays = stored(digits(20))


def call(*arguments: object) -> int:
    """Run a command in this process without its output, and return its exit code."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return run([str(argument) for argument in arguments])


def _check(code: int) -> None:
    if code not in (0, 1, 2, 3):
        raise AssertionError(f"the exit code is {code}")


def config(materials: Materials, folder: Path, random: Random) -> None:
    """Validate a damaged config."""
    text = random.choice(materials.configs)
    match random.randrange(4):
        case 0:
            content = damaged(text.encode(), random)
        case 1:
            lines = text.split("\n")
            lines.insert(random.randrange(len(lines) + 1), random.choice(ODD_YAML))
            content = "\n".join(lines).encode()
        case 2:
            value = yaml.safe_load(text)
            for _ in range(random.randint(1, 3)):
                value = altered(value, random)
            content = yaml.safe_dump(value, allow_unicode=True).encode(errors="surrogatepass")
        case _:
            values = (str(random.choice(ODD_YAML)), str(random.randint(-(10**20), 10**20)))
            content = text.replace(random.choice(text.split() or [""]), random.choice(values), 1).encode()
    path = folder / "fuzzed.yaml"
    path.write_bytes(content)
    _check(call("train", "-c", path, "--dry-run"))


def network(materials: Materials, folder: Path, random: Random) -> None:
    """Predict with a damaged `.keras` file, and plan a transfer from it."""
    changes = {"config.json": altered_json, "metadata.json": altered_json, ".h5": altered_hdf5}
    content = (
        damaged(materials.network, random) if random.random() < 0.2 else repacked(materials.network, changes, random)
    )
    path = folder / "fuzzed.keras"
    path.write_bytes(content)
    _check(call("predict", path, materials.picture, "--engine", "numpy"))
    _check(call("train", "-c", materials.transfer, "--set", f"model.init_from={path}", "--dry-run"))


def keras_network(materials: Materials, folder: Path, random: Random) -> None:
    """Predict with a damaged `.keras` file by Keras itself."""
    changes = {"config.json": altered_json, "metadata.json": altered_json, ".h5": altered_hdf5}
    path = folder / "fuzzed.keras"
    path.write_bytes(repacked(materials.network, changes, random))
    _check(call("predict", path, materials.picture, "--engine", "keras"))


def picture(materials: Materials, folder: Path, random: Random) -> None:
    """Predict a damaged picture."""
    kind = random.choice(PICTURE_FORMATS)
    change = altered_png if kind == "PNG" and random.random() < 0.7 else damaged
    path = folder / f"fuzzed.{kind.lower()}"
    path.write_bytes(change(materials.pictures[kind], random))
    _check(call("predict", materials.run, path, "--json"))


def npz(materials: Materials, folder: Path, random: Random) -> None:
    """Verify a damaged ``.npz`` file."""
    content = (
        damaged(materials.arrays, random)
        if random.random() < 0.3
        else repacked(materials.arrays, {".npy": altered_npy}, random)
    )
    path = folder / "fuzzed.npz"
    path.write_bytes(content)
    _check(call("data", path))


def idx_files(materials: Materials, folder: Path, random: Random) -> None:
    """Verify a folder of IDX files, one of which is damaged."""
    victim = random.choice(list(IDX))
    for name, array in digits(20).items():
        content = damaged(idx(array), random) if name == victim else idx(array)
        zipped = gzip.compress(content, mtime=0) if random.random() < 0.5 else content
        if zipped is not content and name == victim and random.random() < 0.3:
            zipped = damaged(zipped, random)
        (folder / (IDX[name] + ".gz" * (zipped is not content))).write_bytes(zipped)
    _check(call("data", folder))


def run_directory(materials: Materials, folder: Path, random: Random) -> None:
    """List, show, evaluate and resume a run of which one file is damaged or is something else."""
    copy = folder / "run"
    shutil.copytree(materials.run, copy)
    file = random.choice(sorted(path for path in copy.rglob("*") if path.is_file() and path.suffix != ".lock"))
    content = file.read_bytes()
    file.unlink()
    match random.randrange(10):
        case 0:
            file.mkdir()
        case 1:
            os.mkfifo(file)
        case 2:
            file.symlink_to("nowhere")
        case 3:
            pass
        case 4:
            file.write_bytes(b"")
        case kind if file.suffix == ".json" and kind < 8:
            file.write_bytes(altered_json(content, random))
        case _:
            file.write_bytes(damaged(content, random))
    for arguments in (
        ("runs", folder),
        ("show", copy),
        ("evaluate", copy),
        ("train", "--resume", copy, "--epochs", 2, "-q"),
    ):
        _check(call(*arguments))


Fuzz = Callable[[Materials, Path, Random], None]
KINDS: dict[str, Fuzz] = {
    "config": config,
    "network": network,
    "picture": picture,
    "npz": npz,
    "idx": idx_files,
    "run": run_directory,
    "keras": keras_network,
}
QUICK = ("config", "network", "picture", "npz", "idx", "run")  # the test suite fuzzes these


def run_case(number: int, kinds: Sequence[str], materials: Materials) -> str:
    """Run a case in an empty folder; return its kind.

    Raises:
        Exception: the case fails.
    """
    kind = kinds[number % len(kinds)]
    folder = materials.folder / "case"
    folder.mkdir()
    try:
        KINDS[kind](materials, folder, Random(f"{kind} {number}"))
    finally:
        shutil.rmtree(folder)
    return kind


def worker(first: int, stop: int, kinds: Sequence[str]) -> None:
    """Run cases in this process and print a line of JSON before and after each."""
    output = sys.stdout
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        materials = Materials(Path(folder))
        for number in range(first, stop):
            print(json.dumps({"case": number}), file=output, flush=True)
            problem = ""
            try:
                run_case(number, kinds, materials)
            except BaseException as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})".replace(
                    "\n", " "
                )
            print(json.dumps({"case": number, "problem": problem}), file=output, flush=True)


def fuzz(cases: int, first: int = 0, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[tuple[int, str]]:
    """Run cases in worker processes; yield the number and the problem of each, which is empty if it passes."""
    stop, number = first + cases, first
    while number < stop:
        command = [sys.executable, "-m", "tests.torture.fuzz", "--worker", "--first", str(number), "--cases"]
        command += [str(stop - number), "--kinds", *kinds]
        with start(command) as child:
            for done, problem in _results(child, number):
                number = done
                yield number, problem
            child.kill()
        number += 1


def start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """Start a worker process. Nothing of its output is buffered, because `select` would not know of it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, bufsize=0)


def _results(child: "subprocess.Popen[bytes]", first: int) -> Iterator[tuple[int, str]]:
    """Yield the results of a worker process until it ends, and kill it if a case takes too long."""
    assert child.stdout
    assert child.stderr
    number, under_way, patience = first, True, START_SECONDS
    while True:
        ready, _, _ = select.select([child.stdout], [], [], patience)
        line = child.stdout.readline() if ready else b""
        if not ready:
            child.kill()
            yield number, f"it takes more than {SECONDS:g} s"
            return
        if not line:
            child.wait()
            if under_way or child.returncode:
                said = child.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
                yield number, f"the process ends with the code {child.returncode} {''.join(said)}"
            return
        told = json.loads(line)
        number, under_way, patience = told["case"], "problem" not in told, SECONDS
        if not under_way:
            yield number, told["problem"]


def torture(
    say: Callable[[str], None], cases: int = CASES, first: int = 0, kinds: Sequence[str] = tuple(KINDS)
) -> Outcome:
    """Run many cases and return their counts.

    Args:
        say: is called with each failure, and now and then with the number of cases so far.
        cases: number of cases.
        first: number of the first case.
        kinds: kinds of inputs, in turn.
    """
    outcome, started = Outcome("fuzzed inputs"), time.monotonic()
    for number, problem in fuzz(cases, first, kinds):
        outcome.cases += 1
        if problem:
            outcome.failures.append(f"case {number} ({kinds[number % len(kinds)]}): {problem}")
            say(outcome.failures[-1])
        if outcome.cases % 1000 == 0:
            say(f"{outcome.cases:,} of {cases:,} inputs")
    outcome.seconds = time.monotonic() - started
    return outcome


def main() -> int:
    """Run the cases that the command line asks for; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", type=int, help="run one case in this process, and show its traceback")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ["DNN_OFFLINE"] = "1"
    os.environ.pop("DNN_DATA_DIR", None)
    if chosen.worker:
        worker(chosen.first, chosen.first + chosen.cases, chosen.kinds)
        return 0
    if chosen.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            run_case(chosen.only, chosen.kinds, Materials(Path(folder)))
        return 0
    outcome = torture(print, chosen.cases, chosen.first, chosen.kinds)
    print(f"{outcome.cases:,} inputs, {len(outcome.failures):,} failures, {outcome.seconds:.0f} s")
    return int(bool(outcome.failures))


if __name__ == "__main__":
    sys.exit(main())
