"""Quality gates: figures that an evaluation has to reach."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from dnn_cli.config.messages import did_you_mean
from dnn_cli.errors import GateError, UsageError
from dnn_cli.runs.records import Score

LEAST = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "top_5_accuracy")  # at least
MOST = ("loss", "calibration_error", "errors")  # at most


@dataclass(frozen=True)
class Gate:
    """A figure of a `Score` and its bound: the least value allowed, or for losses and errors the largest."""

    figure: str
    bound: float


def parse(texts: Iterable[str]) -> list[Gate]:
    """Return the gates that the user wrote as ``macro_f1=0.9``; raises `UsageError` for anything else."""
    gates = []
    for text in texts:
        figure, _, value = text.partition("=")
        figure = figure.strip()
        if figure not in LEAST + MOST:
            allowed = ", ".join(LEAST + MOST)
            hint = did_you_mean(figure, LEAST + MOST)
            raise UsageError(f"--gate {text}: there is no figure {figure!r}{hint}; the figures are {allowed}")
        try:
            bound = float(value)
        except ValueError:
            bound = float("nan")
        if not isfinite(bound):
            raise UsageError(f"--gate {text}: needs a number, such as {figure}=0.9")
        gates.append(Gate(figure, bound))
    return gates


def check(score: Score, gates: Iterable[Gate]) -> None:
    """Raise `GateError` with a line for each gate that is not met."""
    failed = []
    for gate in gates:
        value = getattr(score, gate.figure)
        setting = f"--gate {gate.figure}={gate.bound:g}"
        if value is None:
            failed.append(f"{gate.figure} is not defined for {len(score.classes)} classes, so {setting} is not met")
        elif gate.figure in LEAST and not value >= gate.bound:
            failed.append(f"{gate.figure} {value:.6g} is below {setting}")
        elif gate.figure in MOST and not value <= gate.bound:
            failed.append(f"{gate.figure} {value:.6g} is above {setting}")
    if failed:
        raise GateError("\n".join(failed))
