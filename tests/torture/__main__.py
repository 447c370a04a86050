"""Run every part of the torture and print a table of counts: ``python -m tests.torture [PART]...``.

A part is a module of this package with a function ``torture(say)``, which returns an `Outcome`.
"""

import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from tests.torture.outcome import table

PARTS = ("kills", "faults", "power_loss", "fuzz")
MEMORY = Path("/dev/shm")


def main(names: list[str]) -> int:
    """Run the parts of these names, or all; return 1 if anything was lost."""
    if unknown := set(names) - set(PARTS):
        print(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    os.environ["DNN_OFFLINE"] = "1"
    if "TMPDIR" not in os.environ and MEMORY.is_dir():
        tempfile.tempdir = str(MEMORY)
    outcomes = []
    for name in names or PARTS:
        print(f"{name}:", flush=True)
        torture = import_module(f"tests.torture.{name}").torture
        outcomes.append(torture(lambda line: print(f"  {line}", flush=True)))
    print(f"\n{table(outcomes)}")
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
