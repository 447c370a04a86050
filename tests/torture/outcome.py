"""The result of a part of the torture, and the table of all."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """The result of one part.

    Attributes:
        part: its name.
        cases: number of cases.
        failures: a line for each case in which something was lost or a traceback was printed.
        seconds: the time it took.
    """

    part: str
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts of all parts as a Markdown table."""
    rows = ["| part | cases | failures | minutes |", "| --- | ---: | ---: | ---: |"]
    rows += [
        f"| {each.part} | {each.cases:,} | {len(each.failures):,} | {each.seconds / 60:.1f} |" for each in outcomes
    ]
    return "\n".join(rows)
