"""The Python API, for programs and notebooks: ``import dnn_cli as dnn``.

Each function does what the command of the same name does, with the same files, checks and messages. An expected failure
raises a `DnnError`, and a warning is a `DnnWarning`. Importing this module is quick; a function imports what it needs.
"""

import html
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.errors import DnnError, DnnWarning, UsageError
from dnn_cli.runs import status
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.records import Evaluation, Row, TrainingMetrics
from dnn_cli.runs.status import RunStatus

if TYPE_CHECKING:
    import keras

    from dnn_cli.evaluation.image_inputs import ImageLike
    from dnn_cli.evaluation.predict import Prediction
    from dnn_cli.exporting.formats import FormatName, Quantization
    from dnn_cli.runs.comparison import Comparison
    from dnn_cli.training.engine import Callbacks

StrPath: TypeAlias = str | os.PathLike[str]
NAMELESS = "run"  # a config without a file is trained in runs/run-1
SHORT_FACTS = {"data", "epochs", "accuracy", "val accuracy", "test accuracy", "problem"}  # in the text of a run


class Run:
    """A run: the directory that a training wrote, and everything recorded there.

    What it returns is read from the directory each time, so that it is up to date while another process trains the run.
    A run is a path as well: ``Path(run)``, or ``open(run / "config.yaml")``.

    Args:
        directory: the directory of the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory

    @property
    def path(self) -> Path:
        """The directory."""
        return self._directory.path

    @property
    def config(self) -> Config:
        """The config with every default; raises `ConfigError` if it is damaged."""
        return self._directory.config()

    @property
    def history(self) -> list[Row]:
        """The figures of every saved epoch, oldest first, each as a dictionary: ``pandas.DataFrame(run.history)``."""
        return self._directory.saved_history()

    @property
    def metrics(self) -> TrainingMetrics | None:
        """The summary of the training that ended last; None while no training of the run has ended."""
        return self._directory.metrics()

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """The results of `evaluate` by their names, such as ``test``."""
        return self._directory.evaluations()

    def model(self, checkpoint: StrPath = "best") -> "keras.Sequential":
        """Return the trained network: a plain, compiled Keras model, independent of dnn.

        Its inputs are images as floats from 0 to 1, its outputs the probabilities of the classes.

        Args:
            checkpoint: ``best`` for the weights of the best epoch, ``last``, or a ``.keras`` file.

        Raises:
            RunError: the run has no checkpoint yet, or it is damaged.
        """
        from dnn_cli.evaluation import model_source

        return model_source.load_network(model_source.find_model(self.path, os.fspath(checkpoint)), notify=_warn)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __truediv__(self, name: StrPath) -> Path:
        return self.path / name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.absolute() == other.path.absolute()

    def __hash__(self) -> int:
        return hash(self.path.absolute())

    def __repr__(self) -> str:
        facts = self._facts()
        state, rest = facts.pop("state"), [f"{name} {value}" for name, value in facts.items() if name in SHORT_FACTS]
        return f"<Run {self.path}: {'; '.join([state, *rest])}>"

    def _repr_html_(self) -> str:
        """Return a table for notebooks; it has no colours of its own, so that it suits light and dark."""
        rows = "".join(
            f'<tr><th style="text-align: left">{html.escape(name)}</th>'
            f'<td style="text-align: left">{html.escape(value)}</td></tr>'
            for name, value in {"run": str(self.path), **self._facts()}.items()
        )
        return f"<table>{rows}</table>"

    def _facts(self) -> dict[str, str]:
        """Return what a person wants to know first, by name; raises no error, because it is shown everywhere."""
        try:
            found = status.find_status(self._directory)
            return {"state": found.state, **_figures(found), **({"problem": found.problem} if found.problem else {})}
        except (DnnError, OSError) as error:
            return {"state": "unreadable", "problem": " ".join(str(error).split())}


def _figures(found: RunStatus) -> dict[str, str]:
    """Return the figures of a run by name, those that it has."""
    if not found.is_readable:
        return {}
    best, test, data = found.best or {}, found.test, found.data
    epochs = str(found.epochs) if found.finished else f"{found.epochs} of {found.wanted}"
    figures = {"data": f"{data.name}, not {data.requested}" if data.note else data.name, "epochs": epochs}
    if best:
        figures["best epoch"] = str(best["epoch"])
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    figures |= {name.replace("_", " "): f"{best[name]:.4f}" for name in names if name in best}
    if test:
        low, high = test.accuracy_interval
        of = "" if test.epoch == best.get("epoch") else f" of {f'epoch {test.epoch}' if test.epoch else 'another file'}"
        figures |= {"test accuracy": f"{test.accuracy:.4f}{of}", "95 % interval": f"{low:.4f} to {high:.4f}"}
    return figures


def train(
    config: "StrPath | Mapping[str, Any] | Config",
    *,
    run_dir: StrPath | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    engine: Literal["keras", "numpy"] | None = None,
    threads: int | Literal["auto"] | None = None,
    settings: Mapping[str, Any] | None = None,
    callbacks: "Callbacks" = (),
    quiet: bool = False,
    **overrides: Any,
) -> Run:
    """Train the network that a config describes, in a new run.

    Ctrl-C, or a notebook's stop button, saves the place within the epoch and raises `InterruptedTrainingError`;
    `resume` continues with the same result as without the interruption.

    Args:
        config: the name of a shipped config, the path of a YAML file, a mapping as YAML would hold it, or a `Config`.
        run_dir: the directory of the run, which must be empty or not exist; None for ``runs/<config>-<n>``.
        epochs: replaces ``training.epochs``; None keeps what the config says. The same for the next four.
        batch_size: replaces ``training.batch_size``.
        seed: replaces ``seed``.
        engine: replaces ``engine``.
        threads: replaces ``training.threads``.
        settings: other settings to replace, by their path: ``{"optimizer.learning_rate": 0.01}``.
        callbacks: Keras callbacks that are notified when training and epochs begin and end.
        quiet: show no progress, only messages.
        overrides: the same as arguments: ``model={"layers": [128]}``, or ``**{"optimizer.learning_rate": 0.01}``.

    Raises:
        ConfigError: the config has problems; the message lists all of them, each with its place.
        UsageError: there is no such config, or `run_dir` is taken.
        DataError: the images are missing or damaged.
        TrainingError: the loss is no longer a finite number.
        InterruptedTrainingError: the training was interrupted; its place is saved.
    """
    short = {"epochs": epochs, "batch_size": batch_size, "seed": seed, "engine": engine, "threads": threads}
    chosen = _resolve(config, {**(settings or {}), **overrides}, short)
    _check_callbacks(chosen, callbacks)
    from dnn_cli import progress
    from dnn_cli.training import loop

    name = NAMELESS if isinstance(config, Mapping | Config) else Path(config).stem
    result = loop.start(
        chosen,
        name,
        progress.create(quiet=quiet, warn=_warn),
        folder=None if run_dir is None else Path(run_dir),
        callbacks=callbacks,
        how_to_resume=_how_to_resume,
    )
    return Run(result.run)


def resume(run: Run | StrPath, epochs: int | None = None, *, callbacks: "Callbacks" = (), quiet: bool = False) -> Run:
    """Continue the training of a run, exactly as if it had not stopped.

    Args:
        run: the run, or its path.
        epochs: number of epochs in all; None for as many as the config says.
        callbacks: Keras callbacks that are notified when training and epochs begin and end.
        quiet: show no progress, only messages.

    Raises:
        UsageError: there is no such run, or it has trained more epochs already.
        RunError: another process trains the run, it has no undamaged checkpoint, or its data have changed.
        TrainingError: the loss is no longer a finite number.
        InterruptedTrainingError: the training was interrupted again; its place is saved.
    """
    directory = load(run)._directory
    directory.check_config()
    overrides = [] if epochs is None else [Override.from_python("epochs", epochs)]
    chosen = loading.load(str(directory.config_file), overrides, of_run=True)
    _check_callbacks(chosen, callbacks)
    from dnn_cli import progress
    from dnn_cli.training import loop

    display = progress.create(quiet=quiet, warn=_warn)
    return Run(loop.resume(directory, chosen, display, callbacks=callbacks, how_to_resume=_how_to_resume).run)


def load(path: Run | StrPath | None = None) -> Run:
    """Return a run.

    Args:
        path: its directory; None for the newest run in ``runs/``.

    Raises:
        UsageError: there is no run.
    """
    return Run(RunDirectory.newest() if path is None else RunDirectory.open(Path(path)))


def evaluate(
    model: Run | StrPath,
    *,
    split: Literal["test", "validation", "train"] = "test",
    data: StrPath | None = None,
    checkpoint: StrPath = "best",
) -> Evaluation:
    """Classify every image of a split and compute accuracy, loss, calibration and the figures of each class.

    The result for a run is also saved in it.

    Args:
        model: a run, or the path of a run or of a ``.keras`` file.
        split: ``test``, ``validation`` (the images held out of the training) or ``train``.
        data: another dataset than the run's: its name, an ``.npz`` file or a folder of IDX files.
        checkpoint: of a run: ``best`` for the weights of the best epoch, ``last``, or a ``.keras`` file.

    Raises:
        UsageError: there is no such run, file or split.
        DataError: the images are missing, damaged or do not fit the network.
        RunError: the run or the file is damaged, or the run's data have changed.
    """
    from dnn_cli.evaluation import evaluate as evaluation

    dataset = None if data is None else os.fspath(data)
    return evaluation.evaluate(
        Path(model), split=split, dataset=dataset, checkpoint=os.fspath(checkpoint), notify=_warn
    )


def predict(
    model: Run | StrPath, images: "ImageLike | Iterable[ImageLike]", *, checkpoint: StrPath = "best"
) -> "list[Prediction]":
    """Predict the class of images, with the probability of every class.

    Args:
        model: a run, or the path of a run or of a ``.keras`` file.
        images: an array of one image or of many, (n, height, width[, channels]), in the shape of the training images,
            uint8 in 0..255 or floats in 0..1, which is used as it is; a Pillow image, or the path of a file, a folder
            or a pattern, whose digits are scaled and centred as in MNIST; or several of these, where each array is one
            image.
        checkpoint: of a run: ``best`` for the weights of the best epoch, ``last``, or a ``.keras`` file.

    Returns:
        A prediction for each array and for each digit in a picture, in order. Its `reason` is not empty where the
        picture may show no digit, or not all of one.

    Raises:
        UsageError: there is no such run or file, `images` is nothing of that, or Pillow is needed and not installed.
        DataError: an array does not fit the network, or a picture cannot be read; the message names it.
        RunError: the run or the file is damaged.
    """
    from dnn_cli.evaluation import predict as prediction

    return prediction.predict_images(Path(model), images, checkpoint=os.fspath(checkpoint), notify=_warn)


def compare(
    *runs: Run | StrPath, sort: Literal["val_accuracy", "test_accuracy", "seconds", "parameters"] | None = None
) -> "Comparison":
    """Compare runs: the settings that differ, what they reached, and a ranking where that is fair.

    Args:
        runs: runs, or their paths.
        sort: the figure to rank by; None for the validation accuracy if it is comparable, else the test accuracy.

    Raises:
        UsageError: one is not a run, or the figures that `sort` names are not comparable.
        RunError: a run is damaged.
    """
    from dnn_cli.runs import comparison

    found = comparison.compare_runs([Path(run) for run in runs], sort)
    found.raise_if_damaged()
    return found


def report(*runs: Run | StrPath, out: StrPath | None = None) -> Path:
    """Write an HTML page about a run, or one that compares several, and return its path.

    Args:
        runs: runs, or their paths; none for the newest run in ``runs/``.
        out: the file; None for ``report.html`` in the run, or ``comparison.html`` in the current directory.

    Raises:
        UsageError: one is not a run, `out` cannot be written, or the ``report`` extra is not installed.
        RunError: a run is damaged, or has no finished epoch.
    """
    from dnn_cli.reporting import write

    result = write.report([Path(run) for run in runs], out=None if out is None else Path(out))
    for warning in result.warnings:
        _warn(warning)
    return result.file


def export(
    run: Run | StrPath | None = None,
    to: "FormatName" = "onnx",
    *,
    out: StrPath | None = None,
    quantize: "Quantization" = "none",
    tolerance: float | None = None,
    verify: bool = True,
) -> Path:
    """Export the best network of a run, prove that it answers as the trained one, and return its folder.

    Args:
        run: a run, its path, or a ``.keras`` file; None for the newest run in ``runs/``.
        to: the format: ``onnx``, ``litert``, ``saved_model``, ``javascript``, ``npz`` or ``keras``.
        out: the folder; None for ``exports/<format>`` in the run.
        quantize: how LiteRT stores its numbers: ``none``, ``float16``, ``dynamic`` or ``int8``.
        tolerance: the largest deviation from the trained network; None for that of the format.
        verify: run the export by the program that will read it.

    Raises:
        UsageError: a package is missing, or something that is no export stands in the place of the folder.
        GateError: the export deviates by more than the tolerance; it was deleted.
        RunError: the run has no checkpoint or is damaged.
    """
    from dnn_cli.exporting.export import export as write

    target = None if run is None else Path(run)
    folder = None if out is None else Path(out)
    made = write(target, to, out=folder, quantization=quantize, tolerance=tolerance, verify=verify, notify=_warn)
    return made.folder


def _resolve(config: Any, settings: Mapping[str, Any], short: Mapping[str, Any]) -> Config:
    """Return the validated config of a training; short names replace settings last, as on the command line."""
    given = {name: value for name, value in short.items() if value is not None}
    overrides = [Override.from_python(name, value) for name, value in [*settings.items(), *given.items()]]
    if isinstance(config, Mapping | Config):
        return loading.from_values(config, overrides)
    if not isinstance(config, str | os.PathLike):
        raise UsageError(f"config must be a name, a path, a mapping or a Config, got {type(config).__name__}")
    return loading.load(os.fspath(config), overrides)


def _check_callbacks(config: Config, callbacks: Sequence[Any]) -> None:
    if callbacks and config.engine == "numpy":
        raise UsageError("callbacks are Keras's: they need engine: keras")


def _how_to_resume(run: RunDirectory) -> str:
    return f"dnn.resume({str(run)!r})"


def _warn(text: str) -> None:
    """Warn with the place in the user's program, whichever function of this package has something to say."""
    package, depth, frame = str(Path(__file__).parent / "_")[:-1], 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, depth = frame.f_back, depth + 1
    message = text.removeprefix("warning: ").removeprefix("note: ")
    warnings.warn(message, DnnWarning, stacklevel=depth)
