"""Runs that many tests use. Each is trained once, for all processes of a test session."""

import hashlib
import json
import shutil
from pathlib import Path

from filelock import FileLock

from dnn_cli.__main__ import run


def forget_digests(run: str | Path) -> None:
    """Remove the digests of config and history from a run, so that a test can edit both; 0.1.0 recorded none."""
    for name in ("state.json", "environment.json"):
        file = Path(run, name)
        values = json.loads(file.read_text())
        for part in (values, values.get("last"), values.get("previous")):
            for key in ("config", "history"):
                (part or {}).pop(key, None)
        file.write_text(json.dumps(values))


class SharedRuns:
    """The runs trained so far in a test session.

    Args:
        folder: the folder of the runs, the same for all processes of the session.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, config: str, *options: object, evaluated: bool = False) -> Path:
        """Return a trained run, which tests must not change.

        Args:
            config: the text of a config, or the name of a shipped one.
            options: further options of `dnn train`.
            evaluated: also run `dnn evaluate` on it.
        """
        named = "\n" not in config
        words = [str(option) for option in options]
        key = hashlib.sha256(repr((config, words, evaluated)).encode()).hexdigest()[:16]
        path, unfinished, text = (self._folder / f"{key}{end}" for end in ("", ".new", ".yaml"))
        self._folder.mkdir(exist_ok=True)
        with FileLock(self._folder / f"{key}.lock"):
            if not path.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                text.write_text(config)
                chosen = config if named else str(text)
                assert run(["train", "-c", chosen, "--run-dir", str(unfinished), "--quiet", *words]) == 0
                assert not evaluated or run(["evaluate", str(unfinished)]) == 0
                unfinished.rename(path)
        return path

    def copy(self, to: str | Path, config: str, *options: object, evaluated: bool = False) -> Path:
        """Copy a trained run to a folder, where a test may change it."""
        return Path(shutil.copytree(self.path(config, *options, evaluated=evaluated), to))
