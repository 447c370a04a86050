"""Train a run again from what it recorded, and compare the two bit by bit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnn_cli.command import command
from dnn_cli.config.schema import Config
from dnn_cli.errors import RunError
from dnn_cli.progress import Progress
from dnn_cli.runs import run_difference, seed_groups, status
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import DatasetRecord
from dnn_cli.runs.run_difference import RunDifference
from dnn_cli.stats import spread, wilson
from dnn_cli.training import loop

# What the last bits of the weights depend on besides the settings; another `git` revision or platform need not matter.
DECISIVE = ("versions.", "processor", "threads", "compiled", "dataset.", "transfer.")


@dataclass(frozen=True)
class Yardstick:
    """How far the accuracy of such a training varies by chance.

    Attributes:
        figure: the figure: ``val_accuracy``, or ``accuracy`` if no images are held out.
        size: the standard deviation over the seeds of this config, or half of the 95 % interval of the accuracy.
        seeds: the number of seeds; 0 if the size is that of the interval.
    """

    figure: str
    size: float
    seeds: int

    def describe(self) -> str:
        """Return what the size is, as a phrase."""
        if self.seeds:
            return f"the standard deviation over {self.seeds} seeds, {self.size:.4f}"
        return f"half of its 95 % interval, {self.size:.4f}"


@dataclass(frozen=True)
class Reproduction:
    """A run that was trained again.

    Attributes:
        run: the run.
        again: the directory of the new training; it does not exist any more if no folder was asked for.
        epochs: the number of epochs that were trained.
        seconds: the time of these epochs.
        found: what differs.
        yardstick: what a difference of the accuracy is compared with.
    """

    run: str
    again: str
    epochs: int
    seconds: float
    found: RunDifference
    yardstick: Yardstick

    @property
    def reasons(self) -> dict[str, tuple[Any, Any]]:
        """What the last bits depend on and is not the same: the fact → its value then and now."""
        return {key: pair for key, pair in self.found.environment.items() if key.startswith(DECISIVE)}

    @property
    def deviation(self) -> float:
        """The difference of the last accuracy, in [0, 1]."""
        return self.found.history.figures.get(self.yardstick.figure, 0.0)

    @property
    def is_within_chance(self) -> bool:
        """Whether the accuracies lie no further apart than chance lets them."""
        return self.deviation <= self.yardstick.size

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run": self.run,
            "again": self.again,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "reasons": {key: list(pair) for key, pair in self.reasons.items()},
            "deviation": self.deviation,
            "yardstick": vars(self.yardstick),
            "within_chance": self.is_within_chance,
            **self.found.to_dict(),
        }


def reproduce(run: RunDirectory, folder: Path, progress: Progress, *, verbose: bool = False) -> Reproduction:
    """Train a run again, in a new run, and compare both.

    Args:
        run: the run; if its training was stopped, the epochs up to its last checkpoint are trained.
        folder: the directory of the new run.
        progress: reports the progress to the user.
        verbose: show TensorFlow's own messages.

    Raises:
        RunError: the run has no checkpoint or is damaged.
        DnnError: it cannot be trained, for example because its data are gone.
    """
    state, environment = run.state(), run.environment()
    if state is None:
        raise RunError(f"{run} has no checkpoint yet; `{command('train', '--resume', run)}` trains it")
    config = _recorded_config(run.config(), environment.dataset, state.last.epoch)
    if environment.compiled is not None:
        config = config.with_jit_compile(environment.compiled)
    result = loop.start(
        config,
        run.path.name,
        progress,
        folder=folder,
        verbose=verbose,
        how_to_resume=lambda _: command("reproduce", run),
    )
    return Reproduction(
        run=str(run),
        again=str(result.run),
        epochs=state.last.epoch,
        seconds=result.metrics.seconds,
        found=run_difference.compare(run, result.run),
        yardstick=_yardstick(run),
    )


def _recorded_config(config: Config, dataset: DatasetRecord, epochs: int) -> Config:
    """Return the config that trains what was trained: the dataset that was found then, and as many epochs."""
    data = config.data.model_copy(update={"dataset": dataset.name, "fallback": None})
    return config.model_copy(update={"data": data}).with_epochs(epochs)


def _yardstick(run: RunDirectory) -> Yardstick:
    """Return the spread over the seeds beside the run, or else the interval of its accuracy."""
    own = status.read_status(run)
    name = "val_accuracy" if own.best and "val_accuracy" in own.best else "accuracy"
    alike = [one for one in status.list_runs(run.path.absolute().parent) if _is_seed_of(one, own)]
    of_seeds = {one.config.seed: one.best[name] for one in alike if one.best and name in one.best}
    if len(of_seeds) > 1:
        deviation = spread(list(of_seeds.values())).deviation
        return Yardstick(name, deviation or 0.0, len(of_seeds))
    count = own.held_out if name == "val_accuracy" else own.data.training_images
    low, high = wilson(round((own.best or {})[name] * count), count)
    return Yardstick(name, (high - low) / 2, 0)


def _is_seed_of(one: status.RunStatus, run: status.RunStatus) -> bool:
    """Return whether a finished run differs from another in nothing but its seed."""
    return one.is_readable and one.finished and seed_groups.identity(one) == seed_groups.identity(run)
