"""Identify the kind of processor. XLA compiles for it, so the last bits of a result depend on it."""

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
DESCRIBING = ("model name", "flags", "Features", "CPU part")  # the keys of x86, then those of ARM
# Names of instruction sets that compute with vectors, on x86 and ARM.
VECTORS = re.compile(r"sse4_2|avx\w*|fma4?|amx\w*|asimd\w*|sve\w*|sme2?|i8mm|bf16")


def description() -> str:
    """Return the lines of ``/proc/cpuinfo`` that name the model and its features; else what Python knows."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(DESCRIBING)}))


def kind() -> str:
    """Return the model and its vector instruction sets: ``AMD EPYC (avx avx2 fma sse4_2)``."""
    pairs = (line.partition(":") for line in description().splitlines())
    values = {key.strip(): value.strip() for key, _, value in pairs}
    model = values.get("model name") or values.get("CPU part") or platform.processor() or platform.machine()
    features = (values.get("flags") or values.get("Features") or "").split()
    instructions = " ".join(sorted(filter(VECTORS.fullmatch, features)))
    return f"{model} ({instructions})" if instructions else model
