"""Test the benchmark: its arithmetic, its tables, and a short run of every program."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("bench")


@pytest.fixture(scope="module")
def tables(bench: Any) -> Any:
    return importlib.import_module("tables")


def contender(epoch: list[float], process: list[float], memory: float) -> dict[str, list[float]]:
    rounds = len(epoch)
    return {
        "epoch": epoch,
        "first": [2 * seconds for seconds in epoch],
        "process": process,
        "memory": [memory * 2**30] * rounds,
        "accuracy": [0.977] * rounds,
    }


def made_up_samples() -> dict[str, dict[str, list[float]]]:
    start = {"first": [2.0, 2.2], "epoch": [0.5, 0.6], "compile": [1.5, 1.6], "process": [9.0, 10.0]}
    return {
        "textbook": contender([8.0, 9.0], [80.0, 90.0], 2.0),
        "numpy_by_hand": contender([1.0, 1.2], [11.0, 13.0], 0.3),
        "numpy_engine": contender([0.4, 0.5], [16.0, 18.0], 0.2),
        "ours": contender([0.5, 0.6], [8.0, 9.0], 0.9),
        "first start": start | {"memory": [2.0**30] * 2},
        "second start": start | {"compile": [0.6, 0.8]},
        "evaluate": {"process": [3.0, 3.2], "accuracy": [0.977, 0.977]},
        "variants": {
            "textbook": [0.5, 0.6],
            "dropout": [0.6, 0.9],
            "batch normalization": [0.55, 0.6],
            "batch 128": [0.4, 0.4],
            "batch 512": [0.3, 0.3],
            "512-512": [2.0, 2.0],
        },
        "wide": {"2048-1024-512": [12.0]},
        "overhead": {"whole": [0.55, 0.63], "bare": [0.5, 0.6]},
        "help": {"process": [0.12, 0.10]},
        "pass": {"process": [0.02, 0.02]},
    }


def made_up_results(tables: Any) -> dict[str, Any]:
    samples = made_up_samples()
    return {
        "date": "2030-01-31",
        "machine": {"cpu": "A Processor", "cores": 2, "system": "Linux", "versions": {"python": "3.11.7"}},
        "plan": {"dataset": "mnist", "rounds": 2, "epochs": 10},
        "disturbed": 0,
        "samples": samples,
        "targets": tables.judge(samples),
    }


def test_a_ratio_is_the_median_of_the_ratios_of_all_rounds(tables: Any) -> None:
    samples = {"a": {"s": [10.0, 30.0, 12.0]}, "b": {"s": [1.0, 10.0, 2.0]}}
    assert tables.ratio(samples, ("a", "s"), ("b", "s")) == 6.0


def test_each_target_is_compared_with_its_figure(tables: Any) -> None:
    rows = {row["what"]: (row["target"], round(row["value"], 3), row["met"]) for row in tables.judge(made_up_samples())}
    assert rows == {
        "epoch, textbook ÷ ours": ("≥ 10", 15.5, True),
        "epoch, fastest peer ÷ ours": ("≥ 1.2", 2.0, True),
        "whole training, textbook ÷ `dnn train`": ("≥ 6.5", 8.944, True),
        "whole training, textbook ÷ `dnn train --engine numpy`": ("≥ 4", 5.0, True),
        "peak memory, `dnn train` ÷ textbook": ("≤ 0.65", 0.5, True),
        "epoch with Dropout(0.2) ÷ without": ("≤ 1.25", 1.35, False),
        "epoch with BatchNormalization ÷ without": ("≤ 1.25", 1.05, True),
        "epoch with hold-out, checkpoint, history ÷ bare": ("≤ 1.15", 1.075, True),
        "compile, second start ÷ first": ("≤ 0.5", 0.45, True),
        "`dnn --help` − `python -c pass`, seconds": ("≤ 0.25", 0.09, True),
        "`dnn --help` ÷ `python -c pass`": ("≤ 12", 5.5, True),
    }


def test_the_table_shows_every_measured_program(tables: Any) -> None:
    lines = tables.table(made_up_results(tables)).splitlines()
    assert lines[0] == (
        "A Processor, 2 cores, Linux; python 3.11.7; 2030-01-31. "
        "Medians of 2 interleaved rounds on mnist; epochs are those after the first."
    )
    assert "| the textbook's program: Keras `fit` | 8.50 | 15.5 | 17.0 | 85.0 | 2.00 GiB | 0.9770 |" in lines
    assert "| `dnn --engine numpy` | 0.45 | 0.82 | 0.90 | 17.0 | 0.20 GiB | 0.9770 |" in lines
    assert "| **`dnn`** | 0.55 | 1.00 | 1.10 | 9.50 | 1.00 GiB | 0.9770 |" in lines
    assert "| epoch, fastest peer (numpy_by_hand) ÷ ours | ≥ 1.2 | 2.00 | met |" in lines
    assert "| epoch with Dropout(0.2) ÷ without | ≤ 1.25 | 1.35 | **missed** |" in lines
    assert "| epoch, 2048-1024-512, batch 32 | 12.0 |" in lines
    assert not any("PyTorch" in line for line in lines)


def test_the_table_is_written_between_the_markers(bench: Any, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        bench.write_table("new", readme)
        assert readme.read_text(encoding="utf-8") == f"before\n{bench.BEGIN}\nnew\n{bench.END}\nafter\n"


def test_a_readme_without_markers_is_not_changed(bench: Any, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing here", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no lines"):
        bench.write_table("new", readme)
    assert readme.read_text(encoding="utf-8") == "nothing here"


@pytest.mark.long
def test_the_smoke_run_measures_everything(tables: Any, tmp_path: Path) -> None:
    target = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench.py"), "--smoke", "--json", str(target)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "DNN_DATA_DIR": ""},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(target.read_text(encoding="utf-8"))
    assert results.keys() == made_up_results(tables).keys()
    assert results["plan"]["dataset"] == "mnist-sample"
    skipped = {name for name in tables.CONTENDERS if f"skipping {name}: " in done.stderr}
    assert skipped <= {"pytorch", "scikit_learn", "jax_scan"}
    assert done.stderr.count("`make peers` installs them") == len(skipped)
    wanted = made_up_samples() | {name: made_up_samples()["ours"] for name in tables.CONTENDERS.keys() - skipped}
    for name, fields in wanted.items():
        measured = results["samples"][name]
        assert fields.keys() <= measured.keys()
        assert all(value > 0 for key in fields.keys() - {"compile"} for value in measured[key])
    assert {row["what"] for row in results["targets"]} == {target.what for target in tables.TARGETS}
    for name in tables.CONTENDERS.keys() - skipped:
        assert results["samples"][name]["accuracy"][0] > 0.85, name
    assert done.stdout.strip() == tables.table(results)


@pytest.mark.long
def test_the_servers_are_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "serving.py"), "--rounds", "1", "--seconds", "0.05"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["connections", "answers/s", "median", "ms", "p99", "ms", "×", "tutorial"]
    assert len(rows) == 15
    rates = {(row[:42].strip(), row[42:].split()[0]): row[42:].split()[1] for row in rows}
    assert all(float(rate.replace(",", "")) > 0 for rate in rates.values())
    tutorial = next(row for row in rows if row.startswith("FastAPI and Keras") and row.split()[-1] == "1.0")
    assert tutorial.split()[-5] == "8"
