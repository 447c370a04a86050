"""Format `dnn` commands for the user to copy, such as the command that resumes a run.

They start `dnn` in the same way as this process was started, so that they work in the same shell.
"""

import shlex
import shutil
import sys
from pathlib import Path


def command(*arguments: object) -> str:
    """Return a shell command that runs `dnn` with `arguments`, with quotes where necessary."""
    return shlex.join((*program(), *map(str, arguments)))


def program() -> list[str]:
    """Return the words that started `dnn`: its name if it is on PATH, else its path, or ``python -m dnn_cli``."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None and main.name == "dnn_cli.__main__":
        return sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    script = Path(sys.argv[0])
    if script.name != "dnn":
        return ["dnn"]  # another program uses `dnn_cli` as a library
    found = shutil.which("dnn")
    return ["dnn"] if found and Path(found).absolute() == script.absolute() else [sys.argv[0]]
