"""The `dnn` command's error boundary: expected failures are a message and an exit code, bugs keep their traceback."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

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
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a table's – or × is not worth failing for
    code = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read stdout has left
        code = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "tensorflow" in sys.modules:
        # TensorFlow's own ending takes most of a second, and has nothing left to save.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
