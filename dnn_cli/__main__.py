"""The `dnn` program: run a command line and turn expected errors into a message and an exit code.

A file that cannot be read or written is an expected error, wherever it occurs. Any other exception is a bug and keeps
its traceback.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

import click

from dnn_cli.cli import cli
from dnn_cli.errors import DnnError, is_out_of_memory, reason
from dnn_cli.terminal import protect_streams

LESS_MEMORY = (
    "less is needed with fewer images (data.images_per_class), a smaller training.batch_size or smaller layers, "
    "and without TensorFlow (--engine numpy)"
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: the words after ``dnn``; None for those of this process.
    """
    try:
        return cli.main(arguments, standalone_mode=False, prog_name="dnn") or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DnnError as error:
        _report(f"error: {error}")
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _report("interrupted")
        return 130
    except Exception as error:
        if is_out_of_memory(error):
            _report(f"error: there is not enough memory: {reason(error)}; {LESS_MEMORY}")
        elif isinstance(error, OSError):
            place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
            _report(f"error: {place}{reason(error)}")
        else:
            raise
        return DnnError.exit_code


def main() -> None:
    """Run this process's command line and exit with its exit code."""
    results = _prepare_streams()
    code = run()
    with suppress(OSError):
        sys.stdout.flush()
    failure = results.failure if results else None
    if failure and not isinstance(failure, BrokenPipeError):  # a closed pipe is no error: `dnn schema | head`
        _report(f"error: the result cannot be written: {reason(failure)}")
        code = code or 1
    if "tensorflow" in sys.modules:
        # TensorFlow's shutdown takes most of a second and has nothing left to save.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class _Output(FileIO):
    """A file descriptor that never fails: a training outlives its terminal, and a gate the pipe that it prints to.

    Attributes:
        failure: the last error; what could not be written is lost.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            return len(data)


def _report(text: str) -> None:
    with suppress(OSError):  # stderr may be a file on a full disk
        print(text, file=sys.stderr, flush=True)


def _prepare_streams() -> _Output | None:
    """Make stdout and stderr accept every character, such as – and ×, but none that controls a terminal.

    Closed streams are replaced by the null device, and those of a file descriptor never fail.

    Returns:
        The output that stdout writes to, if it has a file descriptor.
    """
    results = None
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (open until the process exits)
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")
            if isinstance(getattr(stream.buffer, "raw", stream.buffer), FileIO):
                output = _Output(stream.fileno(), "w", closefd=False)
                at_once = name == "stderr" or stream.line_buffering or stream.write_through
                setattr(
                    sys,
                    name,
                    TextIOWrapper(BufferedWriter(output), stream.encoding, stream.errors, line_buffering=at_once),
                )
                results = output if name == "stdout" else results
    protect_streams()
    return results


if __name__ == "__main__":
    main()
