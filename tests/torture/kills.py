"""Kill a training again and again, at any moment, and resume it each time.

Each training saves a place after every few steps. It is killed by SIGKILL or stopped by a signal, over and over, and
then resumed to its end. It must never go back behind what was saved, and must end with the bits of a training that was
never disturbed.

The NumPy engine runs in children forked from a process that has loaded everything, so that a kill costs milliseconds.
TensorFlow cannot be forked: each of its trainings is a process of its own.
"""

import contextlib
import io
import os
import random
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dnn_cli.__main__ import run
from dnn_cli.engines.numpy import epoch as numpy_epoch
from dnn_cli.errors import DnnError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.training import loop  # noqa: F401 (a child should not import it again)
from tests.conftest import assert_same_bits, command
from tests.torture.outcome import Outcome
from tests.training.helpers import history

CONFIG = """
seed: 3
engine: {engine}
data: {{dataset: mnist-sample, images_per_class: 50, validation: {validation}}}
model: {{layers: [{{units: 24, dropout: 0.2, batch_normalization: true}}]}}
optimizer: {optimizer}
training: {{epochs: {epochs}, batch_size: {batch_size}, checkpoint_seconds: 0.001{more}}}
"""
ADAM, MOMENTUM = "adam", "{name: sgd, learning_rate: 0.1, momentum: 0.9, nesterov: true}"
AVERAGED = (
    "{name: adamw, learning_rate: {name: cosine_decay, initial_learning_rate: 0.003, decay_epochs: 3}, use_ema: true, "
    "gradient_accumulation_steps: 3}"
)
AUGMENTED = ", augmentation: {rotation: 10, translation: 2, elastic: {strength: 2}, noise: 0.1}"
GENTLE = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}  # the exit code after each of them


@dataclass(frozen=True)
class Chain:
    """A training that is killed many times.

    Attributes:
        name: what it is, for the report.
        config: the text of its config.
        kills: how often it is killed.
        delay: the mean time between start and kill, in seconds.
        forked: whether it runs in children forked from this process.
    """

    name: str
    config: str
    kills: int
    delay: float
    forked: bool = True


def chains() -> Iterator[Chain]:
    """Yield every training of the complete torture."""
    for validation in ("0", "0.2"):
        for name, optimizer, size in (
            ("Adam", ADAM, 7),
            ("RMSprop", "rmsprop", 1),
            ("momentum", MOMENTUM, 16),
            ("AdamW", "adamw", 50),
        ):
            text = CONFIG.format(
                engine="numpy", validation=validation, optimizer=optimizer, batch_size=size, epochs=20, more=""
            )
            yield Chain(f"numpy, {name}, batches of {size}, hold-out {validation}", text, 120, 0.04)
    for name, optimizer, more in (
        ("plain", ADAM, ""),
        ("uncompiled", ADAM, ", jit_compile: false"),
        ("EMA, accumulation, schedule", AVERAGED, ""),
        ("augmentation", ADAM, AUGMENTED),
    ):
        text = CONFIG.format(engine="keras", validation="0.2", optimizer=optimizer, batch_size=4, epochs=60, more=more)
        yield Chain(f"keras, {name}", text, 12, 8.0, forked=False)


class Victim:
    """One training in a folder of its own.

    Args:
        chain: the training.
        folder: an empty folder.
        seed: seed of the times and signals.
    """

    def __init__(self, chain: Chain, folder: Path, seed: int) -> None:
        self._chain = chain
        self._random = random.Random(seed)
        self._config = folder / "config.yaml"
        self._config.write_text(chain.config)
        self._run = folder / "killed"
        self._straight = folder / "straight"

    def torture(self) -> Iterator[str]:
        """Kill the training as often as its chain says; yields a line for everything that went wrong."""
        place = self._place()
        for _ in range(self._chain.kills):
            sent, code = self._kill()
            if code not in {0, -sent, GENTLE.get(sent)}:
                yield f"{self._chain.name}: {sent.name} ended the training with {code}"
            try:
                now = self._place()
            except DnnError as error:
                yield f"{self._chain.name}: {error}"
                return
            if now < place:
                yield f"{self._chain.name}: lost what was saved: {place} before {sent.name}, {now} after it"
            place = now
        yield from self._compare()

    def _place(self) -> tuple[int, int]:
        """Return the epoch and the step within the next one that are saved."""
        if not (self._run / "config.yaml").is_file():
            return 0, 0
        opened = RunDirectory.open(self._run)
        done = opened.safe_epoch()
        partial = opened.partial(done)
        return done, partial.step if partial else 0

    def _words(self) -> list[str]:
        if (self._run / "config.yaml").is_file():
            return ["train", "--resume", str(self._run), "-q"]
        return ["train", "-c", str(self._config), "--run-dir", str(self._run), "-q"]

    def _kill(self) -> tuple[signal.Signals, int]:
        """Start or resume the training, and send a signal after a random time; returns the signal and the exit code."""
        sent = signal.SIGKILL if self._random.random() < 0.7 else self._random.choice(list(GENTLE))
        saved = self._saved()
        process = fork(self._words(), often=True) if self._chain.forked else spawn(self._words())
        if self._random.random() < 0.5:  # otherwise, most kills on a busy machine would meet the start
            while self._saved() == saved and not _has_ended(process):
                time.sleep(0.001)
        time.sleep(self._random.expovariate(1 / self._chain.delay))
        os.kill(process, sent)
        _, status = os.waitpid(process, 0)
        return sent, os.waitstatus_to_exitcode(status)

    def _saved(self) -> list[int]:
        """Return the times when a place or an epoch was saved last."""
        files = (self._run / name for name in ("partial.json", "state.json"))
        return [file.stat().st_mtime_ns if file.is_file() else 0 for file in files]

    def _compare(self) -> Iterator[str]:
        """Resume the training to its end, and compare it with one that was never disturbed."""
        start = fork if self._chain.forked else spawn
        straight = ["train", "-c", str(self._config), "--run-dir", str(self._straight), "-q"]
        for words in (self._words(), straight):
            _, status = os.waitpid(start(words), 0)
            if code := os.waitstatus_to_exitcode(status):
                yield f"{self._chain.name}: {words[1]} ends with {code}"
                return
        try:
            assert history(self._run) == history(self._straight)
            for name in ("last", "best"):
                assert_same_bits(*(path / f"checkpoints/{name}.keras" for path in (self._run, self._straight)))
        except AssertionError as error:
            yield f"{self._chain.name}: other bits than an undisturbed training: {error}"


def fork(words: list[str], *, often: bool = False) -> int:
    """Run a command in a child of this process; returns its number.

    Args:
        words: the words after `dnn`.
        often: a place can be saved after every step, instead of a few times a second.
    """
    process = os.fork()
    if process:
        return process
    try:
        if often:
            numpy_epoch.CHUNK_SECONDS = 0.0
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            code = run(words)
    except KeyboardInterrupt:  # SIGINT arrived before the command began
        code = GENTLE[signal.SIGINT]
    except BaseException:
        os.write(2, traceback.format_exc().encode())
        code = 99
    os._exit(code)


def _has_ended(process: int) -> bool:
    """Return whether a child has ended; it can still be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def spawn(words: list[str]) -> int:
    """Run a command in a process of its own; returns its number."""
    return subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid


def torture(say: Callable[[str], None], count: int | None = None, seed: int = 0) -> Outcome:
    """Kill every training of the torture.

    Args:
        say: is called with a line about each training and about each failure.
        count: number of kills of the first two trainings, which use NumPy; None for the complete torture.
        seed: seed of the times and signals.
    """
    outcome, started = Outcome("kills of a training"), time.monotonic()
    everything = list(chains())
    chosen = everything if count is None else [replace(chain, kills=count) for chain in everything[:2]]
    for number, chain in enumerate(chosen):
        with tempfile.TemporaryDirectory() as folder:
            failures = list(Victim(chain, Path(folder), seed + number).torture())
        outcome.cases += chain.kills
        outcome.failures += failures
        for failure in failures:
            say(failure)
        say(f"{chain.name}: {chain.kills} kills")
    outcome.seconds = time.monotonic() - started
    return outcome
