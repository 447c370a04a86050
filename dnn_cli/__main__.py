"""The `dnn` command's error boundary: expected failures are a message and an exit code, bugs keep their traceback."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

import click

from dnn_cli.cli import cli
from dnn_cli.errors import DnnError


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, the process's own by default; returns the exit code."""
    try:
        return cli.main(arguments, standalone_mode=False, prog_name="dnn") or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DnnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted", file=sys.stderr)
        return 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    _prepare_streams()
    code = run()
    try:
        sys.stdout.flush()
    except OSError as error:
        code = 1
        if not isinstance(error, BrokenPipeError):  # which says that whoever read stdout has left
            print(f"error: the result cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "tensorflow" in sys.modules:
        # TensorFlow's own ending takes most of a second, and has nothing left to save.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _prepare_streams() -> None:
    """Have both streams take whatever is written: a table's – or × is not worth failing for, nor is a closed stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (stays until the end)
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


if __name__ == "__main__":
    main()
