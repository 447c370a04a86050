r"""Print text that others wrote, such as file names and messages of hosts, without letting it control the terminal.

Control characters and characters that change the direction of text are printed as escapes: ``\u001b``. That holds for
stderr and for tables everywhere. JSON, CSV and YAML are changed only on a terminal; other programs read them as they
are.
"""

import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# Tabs and line feeds are left. A lone surrogate stands for a byte of a name that is no UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return `text` with an escape in the place of each character that could change more than it prints."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class PrintableStream:
    """A text stream that writes only printable text to another stream, and passes all other calls on.

    Attributes:
        stream: the other stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text` in printable form, and return its length."""
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def protect_streams() -> None:
    """Make this process write only printable text to stderr, and to stdout if it is a terminal."""
    sys.stderr = PrintableStream(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = PrintableStream(sys.stdout)


def unprotected(stream: TextIO) -> TextIO:
    """Return the stream that takes escapes: for the output of a `console`, whose text is printable already."""
    return stream.stream if isinstance(stream, PrintableStream) else stream


def console(file: TextIO, **options: Any) -> "Console":
    """Return a console of rich that writes to `file` and makes all text printable; its own escapes stay.

    Args:
        file: the stream, for example `sys.stderr`.
        options: further arguments of rich's class.
    """
    from rich.console import Console, ConsoleOptions, RenderableType, RenderHook, RenderResult
    from rich.segment import Segment

    class Printable:
        def __init__(self, renderable: RenderableType) -> None:
            self.renderable = renderable

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self.renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[Any]) -> list[Any]:
            return [Printable(renderable) for renderable in renderables]

    made = Console(file=unprotected(file), **options)
    made.push_render_hook(Hook())
    return made
