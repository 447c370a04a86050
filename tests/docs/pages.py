"""Read the README and the pages of the documentation: their code blocks in order, and the output that they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dnn_cli.data import datasets
from tests.conftest import ROOT
from tests.pictures import coverage, encoded, painted, written

FENCE = re.compile(r"^```(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w-]+\.yaml)`[^\n]*:\n\n\Z")
NOTEBOOK = "file_format: mystnb"
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        page: the page's path in the repository.
        language: ``console`` for commands, ``text`` for what they print, ``yaml``, ``python``, ``shell``.
        text: the block's content.
        file: the name under which the page tells the reader to save it; empty if it does not.
    """

    page: str
    language: str
    text: str
    file: str = ""

    @property
    def commands(self) -> list[str]:
        """The command lines of a console block, without prompts and comments."""
        lines = [line.removeprefix("$ ") for line in self.text.splitlines()]
        return [re.sub(r"\s+# .*$", "", line) for line in lines]


def pages() -> list[Path]:
    """Return the README and every page of the site, in reading order."""
    return [ROOT / "README.md", *_below(ROOT / "docs" / "index.md")]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in order; of a notebook none, because its build and a test of its own run it."""
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    found: list[Block] = []
    if NOTEBOOK in text:
        return found
    for match in FENCE.finditer(text):
        file = NAMED.search(text[: match.start()]) if match[1] == "yaml" else None
        found.append(Block(name, match[1], match[2], file[1] if file else ""))
    return found


def write_scans(folder: Path) -> None:
    """Write the pictures of handwritten digits that the pages classify."""
    digits = datasets.find("mnist-sample").load("train")
    digit = digits.images[digits.labels.tolist().index(7)]
    for name in ("scans/seven.jpg", "more/1.png"):
        written(folder / name, encoded(painted(coverage(digit)), "JPEG"))


def shows(page: str, printed: str) -> bool:
    """Return whether the lines on a page are among the printed ones, in their order, whatever their figures are."""
    return printed_lines(page, printed) is not None


def printed_lines(page: str, printed: str) -> str | None:
    """Return the printed lines that have the form of the lines on a page; None if one of these was not printed.

    Two lines have the same form if they differ only in figures and in the number of spaces. A line of three dots on the
    page stands for lines that it leaves out.
    """
    remaining = iter(printed.splitlines())
    found = []
    for line in page.splitlines():
        if line.strip() in ("", "..."):
            found.append(line)
            continue
        match = next((other for other in remaining if _shape(other) == _shape(line)), None)
        if match is None:
            return None
        found.append(match.rstrip())
    return "".join(f"{line}\n" for line in found)


def numbers(text: str) -> list[str]:
    """Return every number in `text`."""
    return re.findall(r"\d+(?:[.,]\d+)*", text)


def _below(page: Path) -> Iterator[Path]:
    yield page
    for toctree in TOCTREE.findall(page.read_text(encoding="utf-8")):
        for name in toctree.split("\n"):
            if name.strip() and not name.startswith(":"):
                yield from _below(page.parent / f"{name.strip()}.md")


def _shape(line: str) -> str:
    figures = re.sub(r"(?<![\d/])\d+(?:[.,]\d+)*(?![\d/])", "#", line)  # the number of an epoch, 10/10, is no figure
    return re.sub(r"\s+", " ", figures).strip()
