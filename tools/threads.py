"""Measure which settings change the bits of a training, and write the tables of docs/determinism.md.

``python tools/threads.py`` runs about a hundred trainings with different numbers of threads and other settings. Each
trains for two epochs on 3,500 images of the sample, in a separate process:

    dnn train -c smoke --epochs 2 --set data.validation=500 --set training.threads=N ...

The tool compares the weights, optimizer state and random states in the last checkpoint, and the figures in the history.
Trainings with equal bits get the same letter.
"""

import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase

import h5py
import numpy as np

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "determinism.md"
NUMBERS = (1, 2, 3, 4)
FOR_ALL = ("data.validation=500", "training.epochs=2")

NETWORKS: dict[str, Sequence[str]] = {
    "16, batch 32": ("model.layers=[16]",),
    "16, batch 1": ("model.layers=[16]", "training.batch_size=1"),
    "16, batch 512": ("model.layers=[16]", "training.batch_size=512"),
    "128, batch 1": ("model.layers=[128]", "training.batch_size=1"),
    "128, batch 32": ("model.layers=[128]",),
    "128, batch 128": ("model.layers=[128]", "training.batch_size=128"),
    "128, batch 512": ("model.layers=[128]", "training.batch_size=512"),
    "1024, batch 32": ("model.layers=[1024]",),
    "1024, batch 512": ("model.layers=[1024]", "training.batch_size=512"),
    "1024-512, batch 128": ("model.layers=[1024, 512]", "training.batch_size=128"),
    "128, batch 32, dropout": ("model.layers=[{units: 128, dropout: 0.2}]",),
    "128, batch 32, batch normalization": ("model.layers=[{units: 128, batch_normalization: true}]",),
    "128, batch 32, augmentation": (
        "model.layers=[128]",
        "training.augmentation={rotation: 10, translation: 2, elastic: {strength: 3}, noise: 0.1}",
    ),
    "128, batch 32, uncompiled": ("model.layers=[128]", "training.jit_compile=false"),
    "128, batch 32, engine: numpy": ("model.layers=[128]", "engine=numpy"),
}
ELSE: dict[str, Mapping[str, str]] = {
    "nothing changed": {},
    "once more, from the cache of compiled programs": {},
    "without that cache": {"DNN_XLA_CACHE": "0"},
    "one thread between operations (`TF_NUM_INTEROP_THREADS=1`)": {"TF_NUM_INTEROP_THREADS": "1"},
    "`TF_NUM_INTRAOP_THREADS=1`, which the config's number goes before": {"TF_NUM_INTRAOP_THREADS": "1"},
    "one thread for NumPy and its like (`OMP_NUM_THREADS=1`)": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "without oneDNN (`TF_ENABLE_ONEDNN_OPTS=0`)": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "compiled for AVX (`XLA_FLAGS=--xla_cpu_max_isa=AVX`)": {"XLA_FLAGS": "--xla_cpu_max_isa=AVX"},
    "compiled for SSE 4.2 (`XLA_FLAGS=--xla_cpu_max_isa=SSE4_2`)": {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
}
MIXED = ("model.layers=[{units: 128, dropout: 0.2, batch_normalization: true}]", "training.batch_size=50")


@dataclass(frozen=True)
class Training:
    """A training in a separate process.

    Attributes:
        settings: the settings of the config that differ from ``smoke``.
        environment: environment variables to set.
        on_one_processor: whether the process may use a single processor only.
    """

    settings: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    on_one_processor: bool = False

    def digests(self, cache: str) -> tuple[str, str]:
        """Train, and return a digest of the arrays in the checkpoint and one of the figures in the history."""
        options = [word for setting in (*FOR_ALL, *self.settings) for word in ("--set", setting)]
        command = [sys.executable, "-m", "dnn_cli", "train", "-c", "smoke", *options, "--run-dir", "run", "--quiet"]
        if self.on_one_processor:
            one = str(min(os.sched_getaffinity(0)))
            command = ["taskset", "-c", one, *command]
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "DNN_XLA_CACHE": cache, **self.environment}
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
            run = Path(folder, "run")
            return _of_checkpoint(run / "checkpoints" / "last.keras"), _of_history(run / "history.csv")


def _of_checkpoint(path: Path) -> str:
    digest = hashlib.sha256()

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            digest.update(name.encode() + np.asarray(item[()]).tobytes())

    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(add)
    return digest.hexdigest()


def _of_history(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def letters(digests: Iterable[str]) -> list[str]:
    """Return a letter for each digest; equal digests get the same letter, and new ones the next: a, b, …."""
    digests = list(digests)
    distinct = list(dict.fromkeys(digests))
    return [ascii_lowercase[distinct.index(digest)] for digest in digests]


def by_threads() -> str:
    """Return a table with a row for each network and a column for each number of threads."""
    titles = [*map(str, NUMBERS), "2 on one processor", "4 on one processor"]
    rows = []
    for name, settings in NETWORKS.items():
        trainings = [
            _with_threads(settings, number, on_one_processor=on_one)
            for number, on_one in (*((number, False) for number in NUMBERS), (2, True), (4, True))
        ]
        rows.append([name, *_cells(trainings)])
        print(rows[-1], file=sys.stderr, flush=True)
    return _table(["units, batch", *titles], rows)


def _with_threads(settings: Sequence[str], number: int, *, on_one_processor: bool) -> Training:
    if "engine=numpy" in settings:  # the engine must ignore the number of BLAS threads
        return Training(settings, {"OPENBLAS_NUM_THREADS": str(number)}, on_one_processor)
    return Training([*settings, f"training.threads={number}"], {}, on_one_processor)


def by_the_rest() -> str:
    """Return a table with a row for each other change, made one at a time."""
    trainings = [Training([*MIXED, "training.threads=2"], environment) for environment in ELSE.values()]
    with tempfile.TemporaryDirectory() as cache:  # shared by all, which therefore run in turn
        found = [training.digests(cache) for training in trainings]
    rows = []
    for name, (weights, figures) in zip(ELSE, found, strict=True):
        same = {True: "the same", False: "others"}
        rows.append([name, same[weights == found[0][0]], same[figures == found[0][1]]])
        print(rows[-1], file=sys.stderr, flush=True)
    return _table(["what is changed", "checkpoint", "history"], rows)


def _cells(trainings: Sequence[Training]) -> list[str]:
    """Train several at once; return the letter of each checkpoint, with that of the history where it differs."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda training: training.digests(cache="0"), trainings))
    pairs = zip(letters(weights for weights, _ in found), letters(figures for _, figures in found), strict=True)
    return [weights if weights == figures else f"{weights}, history {figures}" for weights, figures in pairs]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def insert(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between the markers of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    """Measure both tables and write them into the page."""
    for name, measure in (("rest", by_the_rest), ("threads", by_threads)):
        table = measure()
        PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), name, table), encoding="utf-8")


if __name__ == "__main__":
    main()
