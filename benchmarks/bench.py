"""The benchmark: the textbook's program, its modern peers and `dnn`, side by side on this machine.

Every measurement is a fresh process, and the programs take turns (A B C, A B C, …), because a shared machine drifts
more within a minute than they differ: a figure is the median of its rounds, a ratio the median of each round's ratio.
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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"

# contender → what the table calls it, and the modules it needs
CONTENDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "textbook": ("the textbook's program: Keras `fit`", ("keras",)),
    "keras_fit": ("Keras `fit` with `jit_compile` and `steps_per_execution`", ("keras",)),
    "pytorch": ("PyTorch, eager, fused Adam, all cores", ("torch",)),
    "scikit_learn": ("scikit-learn `MLPClassifier`", ("sklearn",)),
    "jax_scan": ("JAX, `lax.scan` over the epoch, optax", ("jax", "optax")),
    "numpy_by_hand": ("NumPy by hand, Adam in place", ("numpy",)),
    "ours": ("**`dnn`**", ("dnn_cli",)),
}
VARIANTS = ("textbook", "dropout", "batch normalization", "batch 128", "batch 512", "512-512")
WIDE = "2048-1024-512"

# program → field → its value in each round
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Plan:
    """How much is measured: on which dataset, in how many rounds of how many epochs, and how many processes at once."""

    dataset: str
    rounds: int
    epochs: int
    variant_epochs: int
    at_once: int


FULL = Plan("mnist", rounds=5, epochs=10, variant_epochs=5, at_once=1)
SMOKE = Plan("mnist-sample", rounds=1, epochs=2, variant_epochs=1, at_once=2)  # its figures mean nothing


@dataclass
class Bench:
    """The measurements so far, and what each needs to run: a scratch folder, and the environment of its process."""

    plan: Plan
    scratch: Path
    environment: dict[str, str]
    samples: Samples = field(default_factory=dict)

    def time(self, name: str, command: list[str], cache: str) -> str:
        """Run `command` in a fresh process and note what it cost as `name`; returns its standard output.

        Caches that a program keeps under ``$XDG_CACHE_HOME`` begin empty unless `cache` was named before.
        """
        environment = {**self.environment, "XDG_CACHE_HOME": str(self.scratch / cache)}
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
        self.note(name, process=seconds, memory=kilobytes * 1024)
        print(f"  {name:<20} {seconds:7.2f} s", file=sys.stderr, flush=True)
        return output

    def measure(self, name: str, *arguments: str) -> None:
        """Note as `name` what `measure.py` says to `arguments`."""
        count = len(self.samples.get(name, {}).get("process", []))
        output = self.time(name, [sys.executable, str(HERE / "measure.py"), *arguments], f"{name}-{count}")
        self.note(name, **json.loads(output.splitlines()[-1]))

    def note(self, name: str, **values: float) -> None:
        """Add a round's `values` to the program `name`."""
        for key, value in values.items():
            self.samples.setdefault(name, {}).setdefault(key, []).append(value)

    def round(self, number: int, names: list[str]) -> None:
        """Measure everything once; the widest network in the first round only, which takes it long enough."""
        plan = self.plan
        jobs: list[Callable[[], object]] = [
            partial(self.measure, name, "contender", name, str(plan.epochs)) for name in names
        ]
        jobs.append(partial(self.train, number))
        jobs.append(partial(self.measure, "variants", "variants", str(plan.variant_epochs), *VARIANTS))
        jobs.append(partial(self.measure, "overhead", "overhead", str(plan.epochs)))
        if number == 0:
            jobs.append(partial(self.measure, "wide", "variants", "1", WIDE))
        for _ in range(plan.rounds):
            jobs.append(partial(self.time, "pass", [sys.executable, "-c", "pass"], "none"))
            jobs.append(partial(self.time, "help", [*dnn(), "--help"], "none"))
        with ThreadPoolExecutor(plan.at_once) as pool:
            for done in [pool.submit(job) for job in jobs]:
                done.result()

    def train(self, number: int) -> None:
        """Train and evaluate by the command line, twice with the same caches: as a first and as a second start."""
        from dnn_cli.run import Run

        settings = ["--epochs", str(self.plan.epochs), "--set", f"data.dataset={self.plan.dataset}"]
        for name in ("first start", "second start"):
            folder = self.scratch / f"{name}-{number}".replace(" ", "-")
            self.time(name, [*dnn(), "train", "-c", "mnist", *settings, "--run-dir", str(folder)], f"starts-{number}")
            first, *others = (row["seconds"] for row in Run.open(folder).history(self.plan.epochs))
            self.note(name, first=first, epoch=median(others), compile=first - median(others))
        output = self.time("evaluate", [*dnn(), "evaluate", str(folder), "--json"], f"starts-{number}")
        self.note("evaluate", accuracy=json.loads(output)["accuracy"])


def dnn() -> list[str]:
    """The `dnn` command of this Python."""
    script = Path(sys.executable).with_name("dnn")
    return [str(script)] if script.exists() else [sys.executable, "-m", "dnn_cli"]


def run(plan: Plan) -> dict[str, Any]:
    """Measure everything and return what `table` shows."""
    missing = {name: needs for name, (_, needs) in CONTENDERS.items() if not all(map(find_spec, needs))}
    for name, needs in missing.items():
        print(f"skipping {name}: needs {' and '.join(needs)}; pip install 'dnn-cli[bench]'", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        environment = {**os.environ, "DNN_DATA_DIR": str(data_folder(plan, scratch)), "DNN_BENCH_DATASET": plan.dataset}
        bench = Bench(plan, scratch, environment)
        for number in range(plan.rounds):
            print(f"round {number + 1} of {plan.rounds}", file=sys.stderr)
            bench.round(number, [name for name in CONTENDERS if name not in missing])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "plan": vars(plan),
        "samples": bench.samples,
        "targets": judge(bench.samples),
    }


def data_folder(plan: Plan, scratch: Path) -> Path:
    """A folder with the dataset as ``mnist.npz``: where it is, or where it is written to for the occasion."""
    import numpy as np

    from dnn_cli import data

    dataset = data.find(plan.dataset, split="both")
    if dataset.path.name == "mnist.npz":
        return dataset.path.parent
    train, test = dataset.load("train"), dataset.load("test")
    arrays = {"x_train": train.images, "y_train": train.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(scratch / "mnist.npz", allow_pickle=False, **arrays)
    return scratch


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
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


@dataclass(frozen=True)
class Target:
    """A promise about speed: what is measured, and the bound that it must keep."""

    what: str
    bound: float
    value: Callable[[Samples], float]
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether `value` keeps the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def ratio(samples: Samples, over: tuple[str, str], under: tuple[str, str]) -> float:
    """The median of the rounds' ratios of one (program, field) to another."""
    pairs = zip(samples[over[0]][over[1]], samples[under[0]][under[1]], strict=True)
    return median(a / b for a, b in pairs)


def ratio_to(over: tuple[str, str], under: tuple[str, str]) -> Callable[[Samples], float]:
    """`ratio` of two fields, for a `Target`."""
    return lambda samples: ratio(samples, over, under)


def fastest_peer(samples: Samples) -> str:
    """The contender with the shortest epoch but for ours."""
    peers = [name for name in CONTENDERS if name in samples and name != "ours"]
    return min(peers, key=lambda name: median(samples[name]["epoch"]))


def _seconds_over_pass(samples: Samples) -> float:
    return median(a - b for a, b in zip(samples["help"]["process"], samples["pass"]["process"], strict=True))


TARGETS = (
    Target("epoch, textbook ÷ ours", 10, ratio_to(("textbook", "epoch"), ("ours", "epoch")), at_least=True),
    Target(
        "epoch, fastest peer ÷ ours",
        1.2,
        lambda samples: ratio(samples, (fastest_peer(samples), "epoch"), ("ours", "epoch")),
        at_least=True,
    ),
    Target(
        "whole training, textbook ÷ `dnn train`",
        6.5,
        ratio_to(("textbook", "process"), ("first start", "process")),
        at_least=True,
    ),
    Target("peak memory, `dnn train` ÷ textbook", 0.65, ratio_to(("first start", "memory"), ("textbook", "memory"))),
    Target("epoch with Dropout(0.2) ÷ without", 1.25, ratio_to(("variants", "dropout"), ("variants", "textbook"))),
    Target(
        "epoch with BatchNormalization ÷ without",
        1.25,
        ratio_to(("variants", "batch normalization"), ("variants", "textbook")),
    ),
    Target(
        "epoch with hold-out, checkpoint, history ÷ bare", 1.15, ratio_to(("overhead", "whole"), ("overhead", "bare"))
    ),
    Target("compile, second start ÷ first", 0.5, ratio_to(("second start", "compile"), ("first start", "compile"))),
    Target("`dnn --help` − `python -c pass`, seconds", 0.25, _seconds_over_pass),
    Target("`dnn --help` ÷ `python -c pass`", 12, ratio_to(("help", "process"), ("pass", "process"))),
)


def judge(samples: Samples) -> list[dict[str, Any]]:
    """Each target with what was measured."""
    found = [(target, target.value(samples)) for target in TARGETS]
    return [
        {"what": target.what, "target": f"{'≥' if target.at_least else '≤'} {target.bound:g}", "value": value}
        | {"met": target.met(value)}
        for target, value in found
    ]


def table(results: dict[str, Any]) -> str:
    """The results in Markdown: the programs, the targets, and how an epoch grows with batch size and network."""
    samples, plan = results["samples"], results["plan"]
    middle = {name: {key: median(values) for key, values in fields.items()} for name, fields in samples.items()}
    lines = [_preface(results), ""]
    lines += _rows(
        "program", "s an epoch", "÷ ours", "first epoch, s", f"{plan['epochs']} epochs, s", "peak", "accuracy"
    )
    for name, (title, _) in CONTENDERS.items():
        if name in middle:
            own = middle[name]
            # Ours as users start it: the command, with its run directory.
            whole = middle["first start"] if name == "ours" else own
            figures = (own["epoch"], own["epoch"] / middle["ours"]["epoch"], own["first"], whole["process"])
            cells = [*map(_number, figures), f"{whole['memory'] / 2**30:.2f} GiB", f"{own['accuracy']:.4f}"]
            lines.append(_row(title, *cells))
    lines += ["", *_rows("what", "target", "measured", "")]
    for row in results["targets"]:
        what = row["what"].replace("fastest peer", f"fastest peer ({fastest_peer(samples)})")
        lines.append(_row(what, row["target"], _number(row["value"]), "met" if row["met"] else "**missed**"))
    lines += ["", *_rows("`dnn`", "seconds")]
    sizes = {"epoch, 128 units, batch 32": middle["variants"]["textbook"]}
    sizes |= {f"epoch, 128 units, {name}": middle["variants"][name] for name in ("batch 128", "batch 512")}
    sizes |= {
        "epoch, 512-512, batch 32": middle["variants"]["512-512"],
        f"epoch, {WIDE}, batch 32": middle["wide"][WIDE],
    }
    sizes |= {"`dnn evaluate`, whole process": middle["evaluate"]["process"]}
    sizes |= {"`dnn --help`, whole process": middle["help"]["process"]}
    lines += [_row(name, _number(seconds)) for name, seconds in sizes.items()]
    return "\n".join(lines)


def _preface(results: dict[str, Any]) -> str:
    where, plan = results["machine"], results["plan"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"{where['cpu']}, {where['cores']} cores, {where['system']}; {versions}; {results['date']}. "
        f"Medians of {plan['rounds']} interleaved rounds on {plan['dataset']}; epochs are those after the first."
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(*titles: str) -> list[str]:
    return [_row(*titles), _row("---", *["---:"] * (len(titles) - 1))]


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def write_readme(text: str, readme: Path = README) -> None:
    """Put `text` between the markers in `readme`."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"error: {readme} has no lines {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="under a minute, on the sample: only shows that all runs")
    parser.add_argument(
        "--json", type=Path, help=f"where the results go; {RESULTS.name} beside this file if not --smoke"
    )
    parser.add_argument("--show", type=Path, metavar="JSON", help="show these results; measure nothing")
    parser.add_argument("--readme", action="store_true", help="put the table into the README as well")
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
    if options.readme:
        write_readme(text)


if __name__ == "__main__":
    main()
