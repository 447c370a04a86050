"""Train the textbook network with each activation, and write a table of the accuracies into the README.

``python tools/activations.py`` takes about six minutes on two cores. Each activation is trained with three seeds:

    dnn train -c mnist --set data.validation=5000 --set 'model.layers=[{units: 128, activation: NAME}]' \
        --seed 0 --seed 1 --seed 2 --json

The figures are the accuracies of the best epochs on the 5,000 validation images. No test image is used.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, get_args

from dnn_cli.config.schema import Activation

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- activations: begin -->", "<!-- activations: end -->"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Result:
    """The results of an activation.

    Attributes:
        activation: Keras's name of the activation.
        accuracies: the validation accuracy of the best epoch, one for each of `SEEDS`.
    """

    activation: str
    accuracies: list[float]


def measure(activation: str) -> Result:
    """Train with an activation, once for each of `SEEDS`."""
    settings = ["data.validation=5000", f"model.layers=[{{units: 128, activation: {activation}}}]"]
    command = [sys.executable, "-m", "dnn_cli", "train", "-c", "mnist", "--quiet", "--json"]
    command += [word for setting in settings for word in ("--set", setting)]
    command += [word for seed in SEEDS for word in ("--seed", str(seed))]
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
        runs: list[dict[str, Any]] = json.loads(answer.stdout)
        best = [_accuracy(Path(folder, run["run"]), run["best"]["epoch"]) for run in runs]
    return Result(activation, best)


def _accuracy(run: Path, epoch: int) -> float:
    """Return the validation accuracy after an epoch."""
    header, *rows = (run / "history.csv").read_text(encoding="utf-8").splitlines()
    return float(dict(zip(header.split(","), rows[epoch - 1].split(","), strict=True))["val_accuracy"])


def table(results: list[Result]) -> str:
    """Return a Markdown table of the results, the best first."""
    lines = ["| activation | val accuracy | of three seeds |", "| --- | ---: | ---: |"]
    for result in sorted(results, key=lambda result: -mean(result.accuracies)):
        spread = f"{min(result.accuracies):.4f} to {max(result.accuracies):.4f}"
        lines.append(f"| `{result.activation}` | {mean(result.accuracies):.4f} | {spread} |")
    return "\n".join(lines)


def insert(text: str, content: str) -> str:
    """Return `text` with `content` between the markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def main() -> None:
    """Measure every activation, and write the table into the README."""
    results = []
    for activation in get_args(Activation):
        results.append(measure(activation))
        print(results[-1], file=sys.stderr, flush=True)
    README.write_text(insert(README.read_text(encoding="utf-8"), table(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
