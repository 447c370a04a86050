"""The interface of all sources of images."""

from collections.abc import Sequence
from typing import Protocol

from dnn_cli.data.reading import Part
from dnn_cli.typing import Array

Arrays = tuple[Array, Array]  # images and labels, as `datasets.Split` describes them


class Source(Protocol):
    """Data of one form, at one place. Nothing is read before a method is called.

    Attributes:
        kind: the form, as a phrase: ``class folders``.
        remarks: what was recognized in the parts that were read, one sentence each.
        warnings: what the user should look at, one sentence each.
    """

    kind: str
    remarks: list[str]
    warnings: list[str]

    @property
    def has_pictures(self) -> bool:
        """Whether it holds encoded pictures, which have to be decoded."""

    def parts(self) -> Sequence[Part]:
        """Return the parts that are stored."""

    def is_pool(self) -> bool:
        """Return whether the test images have to be held out of the part ``train``."""

    def class_names(self) -> tuple[str, ...] | None:
        """Return the names of the classes in the order of the labels; None if the classes are numbers."""

    def read(self, part: Part) -> Arrays:
        """Read and check the images and labels of a part; raises `DataError` if that fails."""


def add(sentences: list[str], sentence: str) -> None:
    """Append a sentence, once."""
    if sentence not in sentences:
        sentences.append(sentence)
