"""Make one measurement in this process, and print the result as JSON on the last line of stdout.

    python measure.py contender NAME EPOCHS
    python measure.py variants EPOCHS NAME...
    python measure.py overhead EPOCHS

One more form measures nothing; `bench.py` times the process instead. It runs a `dnn` command as on a machine where no
other library is installed:

    python measure.py command WORDS...
"""

import json
import sys
import time
from importlib import import_module
from itertools import pairwise
from statistics import median
from typing import Any

# Keras and TensorFlow import these packages if they are installed, which takes up to a second and 170 MB. They are
# installed only to be measured themselves, so they are hidden from the other measurements.
OPTIONAL = ("sklearn", "jax")
OWNERS = {"scikit_learn": "sklearn", "jax_scan": "jax"}


def contender(name: str, epochs: str) -> dict[str, float]:
    """Train a contender; return the seconds of its first epoch, which compiles, and the median of the later ones."""
    _hide(*(module for module in OPTIONAL if module != OWNERS.get(name)))
    ticks: list[float] = []
    accuracy = import_module(f"contenders.{name}").train(int(epochs), lambda: ticks.append(time.perf_counter()))
    first, *others = (later - sooner for sooner, later in pairwise(ticks))
    return {"first": first, "epoch": median(others), "accuracy": accuracy}


def variants(epochs: str, *names: str) -> dict[str, float]:
    """Time variants of the compiled epoch of `dnn`."""
    _hide(*OPTIONAL)
    from contenders import ours

    return ours.variants(int(epochs), list(names))


def overhead(epochs: str) -> dict[str, float]:
    """Time an epoch of `dnn` alone, and as part of a complete training."""
    _hide(*OPTIONAL)
    from contenders import ours

    return ours.overhead(int(epochs))


def command(*words: str) -> None:
    """Run a `dnn` command; its exit code ends this process."""
    _hide(*OPTIONAL)
    from dnn_cli.__main__ import main

    sys.argv = ["dnn", *words]
    main()


def _hide(*modules: str) -> None:
    """Make the import of each of `modules` fail, as if it were not installed."""
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]


if __name__ == "__main__":
    kinds: dict[str, Any] = {"contender": contender, "variants": variants, "overhead": overhead, "command": command}
    print(json.dumps(kinds[sys.argv[1]](*sys.argv[2:])))
