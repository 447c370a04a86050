"""Compare the measurements with the targets, and make the tables that the README and the docs show."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

# Module in `contenders` → its title in the table, and the modules it needs.
CONTENDERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "textbook": ("the textbook's program: Keras `fit`", ("keras",)),
    "keras_fit": ("Keras `fit` with `jit_compile` and `steps_per_execution`", ("keras",)),
    "pytorch": ("PyTorch, eager, fused Adam, all cores", ("torch",)),
    "scikit_learn": ("scikit-learn `MLPClassifier`", ("sklearn",)),
    "jax_scan": ("JAX, `lax.scan` over the epoch, optax", ("jax", "optax")),
    "numpy_by_hand": ("NumPy by hand, Adam in place", ("numpy",)),
    "numpy_engine": ("`dnn --engine numpy`", ("dnn_cli",)),
    "ours": ("**`dnn`**", ("dnn_cli",)),
}
OURS = ("ours", "numpy_engine")
WIDE = "2048-1024-512"

# Program → field → its value in each round.
Samples = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Target:
    """A target for speed or memory.

    Attributes:
        what: the name of the figure.
        bound: the largest allowed value, or the smallest with `at_least`.
        value: computes the figure from the measurements.
        at_least: whether the figure must be at least the bound.
    """

    what: str
    bound: float
    value: Callable[[Samples], float]
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Return whether `value` is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


def ratio(samples: Samples, over: tuple[str, str], under: tuple[str, str]) -> float:
    """Return the median of the ratio of two figures, each a (program, field), within each round."""
    pairs = zip(samples[over[0]][over[1]], samples[under[0]][under[1]], strict=True)
    return median(a / b for a, b in pairs)


def ratio_to(over: tuple[str, str], under: tuple[str, str]) -> Callable[[Samples], float]:
    """Return a function that computes the `ratio` of two figures from the measurements."""
    return lambda samples: ratio(samples, over, under)


def fastest_peer(samples: Samples) -> str:
    """Return the contender with the shortest median epoch, except our own."""
    peers = [name for name in CONTENDERS if name in samples and name not in OURS]
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
    Target(
        "whole training, textbook ÷ `dnn train --engine numpy`",
        4,
        ratio_to(("textbook", "process"), ("numpy_engine", "process")),
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
    """Return each target with its measured value, and whether it is met."""
    found = [(target, target.value(samples)) for target in TARGETS]
    return [
        {"what": target.what, "target": f"{'≥' if target.at_least else '≤'} {target.bound:g}", "value": value}
        | {"met": target.met(value)}
        for target, value in found
    ]


def table(results: dict[str, Any]) -> str:
    """Return all results as Markdown tables."""
    return f"{programs(results)}\n\n{details(results)}"


def programs(results: dict[str, Any]) -> str:
    """Return a table of the programs, side by side."""
    plan, middle = results["plan"], _medians(results)
    lines = [_preface(results), ""]
    lines += _rows(
        "program", "s an epoch", "÷ ours", "first epoch, s", f"{plan['epochs']} epochs, s", "peak", "accuracy"
    )
    for name, (title, _) in CONTENDERS.items():
        if name in middle:
            own = middle[name]
            # `dnn` as users start it: the command, including its run directory.
            whole = middle["first start"] if name == "ours" else own
            figures = (own["epoch"], own["epoch"] / middle["ours"]["epoch"], own["first"], whole["process"])
            cells = [*map(_number, figures), f"{whole['memory'] / 2**30:.2f} GiB", f"{own['accuracy']:.4f}"]
            lines.append(_row(title, *cells))
    return "\n".join(lines)


def details(results: dict[str, Any]) -> str:
    """Return a table of the targets, and one of how an epoch's time grows with batch size and network."""
    samples, middle = results["samples"], _medians(results)
    lines = _rows("what", "target", "measured", "")
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


def _medians(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    samples: Samples = results["samples"]
    return {name: {key: median(values) for key, values in fields.items()} for name, fields in samples.items()}


def _preface(results: dict[str, Any]) -> str:
    where, plan = results["machine"], results["plan"]
    disturbed = f" Other programs disturbed {count} measurements." if (count := results["disturbed"]) else ""
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"{where['cpu']}, {where['cores']} cores, {where['system']}; {versions}; {results['date']}. "
        f"Medians of {plan['rounds']} interleaved rounds on {plan['dataset']}; epochs are those after the first."
        + disturbed
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(*titles: str) -> list[str]:
    return [_row(*titles), _row("---", *["---:"] * (len(titles) - 1))]


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
