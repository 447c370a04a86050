"""One measurement, in this process alone; its result is the last line on stdout, as JSON.

python measure.py contender NAME EPOCHS
python measure.py variants EPOCHS NAME...
python measure.py overhead EPOCHS
python measure.py command WORDS...: no measurement, but the `dnn` command as it is where no peer is installed
"""

import json
import sys
import time
from importlib import import_module
from itertools import pairwise
from statistics import median
from typing import Any

# Keras and TensorFlow import these where they find them, which takes up to a second and 170 MB. They are here only for
# the sake of their own measurements, so the others are measured as if they were not.
OPTIONAL = ("sklearn", "jax")
OWNERS = {"scikit_learn": "sklearn", "jax_scan": "jax"}


def contender(name: str, epochs: str) -> dict[str, float]:
    """Train the contender: its first epoch, which compiles what is compiled, and the median of those after it."""
    _hide(*(module for module in OPTIONAL if module != OWNERS.get(name)))
    ticks: list[float] = []
    accuracy = import_module(f"contenders.{name}").train(int(epochs), lambda: ticks.append(time.perf_counter()))
    first, *others = (later - sooner for sooner, later in pairwise(ticks))
    return {"first": first, "epoch": median(others), "accuracy": accuracy}


def variants(epochs: str, *names: str) -> dict[str, float]:
    """Time variants of our own epoch side by side."""
    _hide(*OPTIONAL)
    from contenders import ours

    return ours.variants(int(epochs), list(names))


def overhead(epochs: str) -> dict[str, float]:
    """Time our own epoch bare, and with everything a training does around it."""
    _hide(*OPTIONAL)
    from contenders import ours

    return ours.overhead(int(epochs))


def command(*words: str) -> None:
    """Run a `dnn` command; ends the process as that does."""
    _hide(*OPTIONAL)
    from dnn_cli.__main__ import main

    sys.argv = ["dnn", *words]
    main()


def _hide(*modules: str) -> None:
    """Have each of `modules` look as if it were not installed."""
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]


if __name__ == "__main__":
    kinds: dict[str, Any] = {"contender": contender, "variants": variants, "overhead": overhead, "command": command}
    print(json.dumps(kinds[sys.argv[1]](*sys.argv[2:])))
