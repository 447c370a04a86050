"""The commands that `dnn` prints for the user to type; they start the way this process was started."""

import shlex
import shutil
import sys
from pathlib import Path


def command(*arguments: object) -> str:
    """Return a line for the user's shell that runs `dnn` with `arguments`, quoted where the shell needs it."""
    return shlex.join((*program(), *map(str, arguments)))


def program() -> list[str]:
    """Return the words that started `dnn`: its name if PATH finds it, its path, or ``python -m dnn_cli``."""
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if main is not None and main.name == "dnn_cli.__main__":
        return sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    script = Path(sys.argv[0])
    if script.name != "dnn":
        return ["dnn"]  # called as a library
    found = shutil.which("dnn")
    return ["dnn"] if found and Path(found).absolute() == script.absolute() else [sys.argv[0]]
