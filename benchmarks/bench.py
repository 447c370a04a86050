"""Measure the textbook's program, other libraries and `dnn` on this machine.

Every measurement runs in a new process. The programs take turns (A B C, A B C, …), because the speed of a shared
machine can change within a minute by more than the programs differ. A figure is the median of all rounds; a ratio is
the median of the ratios within each round.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from tables import CONTENDERS, WIDE, Samples, details, judge, programs, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
READMES = (HERE.parent / "README.md", HERE.parent / "README.zh.md")
DETAILS = HERE.parent / "docs" / "explanation" / "performance.md"
QUIET_SECONDS = 0.5  # how long the machine is observed before a measurement starts
DISTURBED = 0.15  # a measurement is disturbed if other programs use more CPU seconds than this per second
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"

VARIANTS = ("textbook", "dropout", "batch normalization", "batch 128", "batch 512", "512-512")


@dataclass(frozen=True)
class Plan:
    """The extent of the benchmark.

    Attributes:
        dataset: the name of the dataset.
        rounds: number of rounds; each measures every program once.
        epochs: number of epochs that a program trains.
        variant_epochs: number of epochs of each of `VARIANTS`.
        at_once: number of processes that run at the same time.
        patience: seconds in total to spend on waiting for other programs.
    """

    dataset: str
    rounds: int
    epochs: int
    variant_epochs: int
    at_once: int
    patience: float


FULL = Plan("mnist", rounds=3, epochs=10, variant_epochs=5, at_once=1, patience=120)
SMOKE = Plan("mnist-sample", rounds=1, epochs=2, variant_epochs=1, at_once=2, patience=0)  # tests the benchmark only


@dataclass
class Bench:
    """The measurements so far.

    Attributes:
        plan: the extent of the benchmark.
        scratch: the working directory of the measured processes.
        environment: the environment variables of the measured processes.
        samples: the measured values.
        disturbed: number of measurements that other programs disturbed.
        waited: seconds spent so far on waiting for other programs.
    """

    plan: Plan
    scratch: Path
    environment: dict[str, str]
    samples: Samples = field(default_factory=dict)
    disturbed: int = 0
    waited: float = 0.0

    def time(self, name: str, command: list[str], caches: str) -> str:
        """Run `command` in a new process, and record its time and peak memory under `name`.

        The process keeps its caches in the folder `caches`. Returns its standard output.
        """
        environment = {**self.environment, "XDG_CACHE_HOME": caches}
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=self.scratch, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            stdout.seek(0)
            stderr.seek(0)
            if process.returncode != 0:
                sys.exit(f"error: {' '.join(command)} ended with code {process.returncode}\n{stderr.read()[-4000:]}")
            output = stdout.read()
        kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
        self.record(name, process=seconds, memory=kilobytes * 1024)
        print(f"  {name:<20} {seconds:7.2f} s", file=sys.stderr, flush=True)
        return output

    def measure(self, name: str, *arguments: str) -> None:
        """Run `measure.py` with `arguments`, and record its result under `name`."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as caches:
            output = self.time(name, [sys.executable, str(HERE / "measure.py"), *arguments], caches)
        self.record(name, **json.loads(output.splitlines()[-1]))

    def record(self, name: str, **values: float) -> None:
        """Add a round's `values` to the program `name`."""
        for key, value in values.items():
            self.samples.setdefault(name, {}).setdefault(key, []).append(value)

    def round(self, number: int, names: list[str]) -> None:
        """Measure everything once. The widest network takes so long that only the first round measures it."""
        plan = self.plan
        jobs: list[Callable[[], object]] = [
            partial(self.measure, name, "contender", name, str(plan.epochs)) for name in names
        ]
        jobs.append(self.train)
        jobs.append(partial(self.measure, "variants", "variants", str(plan.variant_epochs), *VARIANTS))
        jobs.append(partial(self.measure, "overhead", "overhead", str(plan.epochs)))
        if number == 0:
            jobs.append(partial(self.measure, "wide", "variants", "1", WIDE))
        jobs += [self.start_up] * plan.rounds
        with ThreadPoolExecutor(plan.at_once) as pool:
            for done in [pool.submit(self.in_quiet, job) for job in jobs]:
                done.result()

    def in_quiet(self, job: Callable[[], object]) -> None:
        """Run `job` while no other program is busy. If it was disturbed, discard its measurements and run it again."""
        if not self.plan.patience:
            job()
            return
        while self.waited < self.plan.patience and not quiet():
            self.waited += QUIET_SECONDS
        samples = deepcopy(self.samples)
        started, others = time.perf_counter(), others_seconds()
        job()
        seconds = time.perf_counter() - started
        if others_seconds() - others <= DISTURBED * seconds:
            return
        if self.waited < self.plan.patience:
            print("  disturbed by other programs: measuring again", file=sys.stderr, flush=True)
            self.samples, self.waited = samples, self.waited + seconds
            self.in_quiet(job)
        else:
            self.disturbed += 1

    def start_up(self) -> None:
        """Time `dnn --help`, and a Python process that does nothing, for comparison."""
        self.time("pass", [sys.executable, "-c", "pass"], str(self.scratch))
        self.time("help", [*dnn(), "--help"], str(self.scratch))

    def train(self) -> None:
        """Train with the `dnn` command twice, first with empty caches and then with filled ones; evaluate each time."""
        from dnn_cli.runs.directory import RunDirectory

        command = [sys.executable, str(HERE / "measure.py"), "command"]
        settings = ["--epochs", str(self.plan.epochs), "--set", f"data.dataset={self.plan.dataset}"]
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            for name in ("first start", "second start"):
                folder = Path(scratch, name.replace(" ", "-"))
                self.time(name, [*command, "train", "-c", "mnist", *settings, "--run-dir", str(folder)], scratch)
                first, *others = (row["seconds"] for row in RunDirectory.open(folder).history(self.plan.epochs))
                self.record(name, first=first, epoch=median(others), compile=first - median(others))
            output = self.time("evaluate", [*command, "evaluate", str(folder), "--json"], scratch)
        self.record("evaluate", accuracy=json.loads(output)["accuracy"])


def others_seconds() -> float:
    """Return the CPU seconds used by other programs and by other guests of the host; 0 if unknown."""
    try:
        user, nice, system, _, _, *interrupts = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    except OSError:
        return 0.0
    own = [os.times().user, os.times().system, os.times().children_user, os.times().children_system]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK") - sum(own)


def quiet() -> bool:
    """Return whether other programs are idle at the moment."""
    before = others_seconds()
    time.sleep(QUIET_SECONDS)
    return others_seconds() - before <= DISTURBED * QUIET_SECONDS


def dnn() -> list[str]:
    """Return the command line that starts the `dnn` of this Python."""
    script = Path(sys.executable).with_name("dnn")
    return [str(script)] if script.exists() else [sys.executable, "-m", "dnn_cli"]


def run(plan: Plan) -> dict[str, Any]:
    """Measure everything, and return the results that `table` shows."""
    missing = {name: needs for name, (_, needs) in CONTENDERS.items() if not all(map(find_spec, needs))}
    for name, needs in missing.items():
        print(f"skipping {name}: needs {' and '.join(needs)}; `make peers` installs them", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = {**os.environ, "DNN_DATA_DIR": str(data_folder(plan, scratch)), "DNN_BENCH_DATASET": plan.dataset}
        environment.pop("DNN_XLA_CACHE", None)  # each measurement starts with an empty cache in its own folder
        bench = Bench(plan, scratch, environment)
        for number in range(plan.rounds):
            print(f"round {number + 1} of {plan.rounds}", file=sys.stderr)
            bench.round(number, [name for name in CONTENDERS if name not in missing])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "plan": vars(plan),
        "disturbed": bench.disturbed,
        "samples": bench.samples,
        "targets": judge(bench.samples),
    }


def data_folder(plan: Plan, scratch: Path) -> Path:
    """Return a folder that holds the dataset as ``mnist.npz``, which is written to `scratch` if there is none."""
    import numpy as np

    from dnn_cli.data import datasets

    dataset = datasets.find(plan.dataset, split="both")
    if dataset.path.name == "mnist.npz":
        return dataset.path.parent
    train, test = dataset.load("train"), dataset.load("test")
    arrays = {"x_train": train.images, "y_train": train.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(scratch / "mnist.npz", allow_pickle=False, **arrays)
    return scratch


def machine() -> dict[str, Any]:
    """Describe the machine: processor, system and versions of packages."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    packages = ("tensorflow", "keras", "torch", "scikit-learn", "jax", "numpy")
    installed = {
        name: metadata.version(name) for name in packages if find_spec(name.replace("scikit-learn", "sklearn"))
    }
    return {
        "cpu": model[1] if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "versions": {"python": platform.python_version(), **installed},
    }


def write_table(text: str, page: Path) -> None:
    """Put `text` between the markers in `page`."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"error: {page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="only test the benchmark, on the sample: under a minute")
    parser.add_argument(
        "--json", type=Path, help=f"file for the results (default: {RESULTS.name} beside this script, none if --smoke)"
    )
    parser.add_argument("--show", type=Path, metavar="JSON", help="print the table of these results, without measuring")
    parser.add_argument("--docs", action="store_true", help="put the tables into the README and the docs as well")
    options = parser.parse_args()
    if options.show:
        results = json.loads(options.show.read_text(encoding="utf-8"))
    else:
        results = run(SMOKE if options.smoke else FULL)
        target = options.json or (None if options.smoke else RESULTS)
        if target:
            target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = table(results)
    print(text)
    if options.docs:
        for readme in READMES:
            write_table(programs(results), readme)
        write_table(details(results), DETAILS)


if __name__ == "__main__":
    main()
