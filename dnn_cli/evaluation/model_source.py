"""Find the trained network that the user names, and compute its probabilities for images.

NumPy can compute every network that dnn builds, without importing TensorFlow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import has_magic
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from dnn_cli.data import class_names, image_files
from dnn_cli.data.decoding import Form
from dnn_cli.data.sources import csv_table
from dnn_cli.engines import keras_file
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import DataError, RunError, UsageError
from dnn_cli.runs.calibration import Calibration
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.runs.location import is_run
from dnn_cli.runs.reliability import softmax
from dnn_cli.typing import Array

if TYPE_CHECKING:
    import keras

Engine = Literal["keras", "numpy"]


@dataclass(frozen=True)
class ModelSource:
    """A trained network, in a file.

    Attributes:
        file: the `.keras` file.
        run: the run that it belongs to, if any.
        epoch: the epoch of the checkpoint; None if `file` is not a checkpoint of the run.
        engine: the engine that trained it, as far as it is known.
        calibration: of its probabilities; None if it has none, as every network but the best of a run.
    """

    file: Path
    run: RunDirectory | None = None
    epoch: int | None = None
    engine: Engine = "keras"
    calibration: Calibration | None = None

    @property
    def selected_classes(self) -> tuple[int, ...] | None:
        """The labels that the run was trained on; None for all."""
        return class_names.resolve(self.run.config().data.classes, self.class_names) if self.run else None

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes, from the run or the file; None if they have none."""
        recorded = self.run.environment().dataset.class_names if self.run else None
        return recorded or keras_file.class_names(self.file)

    def calibrated(self, probabilities: Array) -> Array:
        """Return the calibrated probabilities for its own (n, classes): the same if it has no calibration."""
        return self.calibration.apply(probabilities) if self.calibration else probabilities

    @property
    def temperature(self) -> float | None:
        """The temperature of its calibration; None if it has none."""
        return self.calibration.temperature if self.calibration else None

    @property
    def threads(self) -> int | Literal["auto"]:
        """The number of threads that the run was trained with; `auto` if it is not recorded."""
        return self.run.config().training.threads if self.run else "auto"


def find_model(target: Path | None, checkpoint: str = "best") -> ModelSource:
    """Return the network of a run or of a ``.keras`` file.

    Args:
        target: a run or a file; None for the newest run in ``runs/``.
        checkpoint: the checkpoint of a run: ``best``, ``last`` or a ``.keras`` file.

    Raises:
        UsageError: there is no such run or file.
        RunError: the run has no checkpoint yet, or it or its calibration is damaged.
    """
    if target is not None and target.is_file():
        if checkpoint != "best":
            raise UsageError(f"--checkpoint selects a checkpoint of a run, but {target} is a single file")
        return ModelSource(target)
    if target is not None and not target.exists():
        raise UsageError(f"there is no run or .keras file {target}")
    run = RunDirectory.open(target) if target is not None else RunDirectory.newest()
    if checkpoint not in ("best", "last"):
        return ModelSource(Path(checkpoint), run)
    file, epoch = run.checkpoint(checkpoint)
    calibration = run.calibration()
    is_its = calibration and calibration.epoch == epoch  # the last checkpoint may be the best
    return ModelSource(file, run, epoch, run.config().engine, calibration if is_its else None)


def split_target(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Divide the words of a command line into the run or ``.keras`` file, if the first is one, and the names of images.

    A first word that names nothing is taken for a mistyped run, unless it looks like an image, a CSV file or a pattern.
    """
    first = Path(words[0])
    suffixes = (*image_files.SUFFIXES, *csv_table.SUFFIXES)
    is_image = words[0] == "-" or has_magic(words[0]) or words[0].lower().endswith(suffixes)
    is_target = is_run(first) if first.is_dir() else not is_image and (first.suffix == ".keras" or not first.exists())
    return (first, list(words[1:])) if is_target else (None, list(words))


def image_shape(file: Path) -> tuple[int, ...]:
    """Return the shape of the input images of the network in a ``.keras`` file; reads it without TensorFlow.

    Raises:
        RunError: the file is damaged or does not contain the shape.
    """
    keras_file.check_file(file)
    try:
        first = keras_file.description(file)["config"]["layers"][0]
        return tuple(map(int, first["config"]["batch_shape"][1:]))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise RunError(f"{file} does not contain the shape of its network's input images") from None


def picture_form(source: ModelSource) -> Form | None:
    """Return what an image file becomes for a network trained on pictures; None if it was trained on arrays."""
    resize = source.run.environment().dataset.resize if source.run else None
    if resize is None:
        return None
    shape = image_shape(source.file)
    return Form(shape[:2], len(shape) > 2 and shape[2] == 3, resize)


def probabilities(
    file: Path,
    images: Array,
    *,
    engine: Engine | None = None,
    threads: int | Literal["auto"] = "auto",
    notify: Callable[[str], None] = print,
    verbose: bool = False,
) -> Array:
    """Compute the probability of every class for each image.

    Args:
        file: a ``.keras`` file.
        images: (n, height, width[, channels]), uint8 in 0..255 or float32 in [0, 1].
        engine: computes with it; None for NumPy if it supports the network, and Keras otherwise.
        threads: number of threads of Keras; if TensorFlow runs with another number already, a warning is printed.
        notify: is called with each warning or remark, one line per call.
        verbose: let TensorFlow print its own messages.

    Returns:
        (n, classes) float, each row summing to one.

    Raises:
        DataError: the network needs images of another shape.
        RunError: the file is damaged, or its network does not output probabilities.
    """
    outputs = _outputs(file, images, engine, lambda: _start(threads, notify, verbose=verbose))
    if not np.isfinite(outputs).all():
        raise RunError(f"{file} outputs numbers that are not finite")
    if is_distribution(outputs):
        return outputs
    if outputs.min() >= 0 and outputs.max() <= 1:
        raise RunError(f"{file} does not output probabilities: its outputs do not sum to one")
    notify(f"note: {file} ends without a softmax; its outputs are treated as logits")
    return softmax(outputs)


def load_network(source: ModelSource, *, notify: Callable[[str], None] = print) -> "keras.Sequential":
    """Return the compiled Keras network of a model source, with its optimizer.

    Args:
        source: the trained network.
        notify: is called with a remark, a line.

    Raises:
        RunError: the file is damaged, or its network is not an image classifier.
    """
    keras_file.check_file(source.file)
    _start(source.threads, notify, verbose=False)
    return keras_build.load(source.file)


def _start(threads: int | Literal["auto"], notify: Callable[[str], None], *, verbose: bool) -> None:
    try:
        tensorflow_import.import_tensorflow(threads, verbose=verbose)
    except UsageError as error:
        notify(f"warning: the last digits may differ: {error}")


def _outputs(file: Path, images: Array, engine: Engine | None, start: Callable[[], None]) -> Array:
    if engine == "keras":
        return _by_keras(file, images, start)
    from dnn_cli.engines.numpy.keras_format import UnknownNetworkError

    try:
        return _by_numpy(file, images)
    except UnknownNetworkError:
        if engine == "numpy":
            raise
        return _by_keras(file, images, start)


def _by_numpy(file: Path, images: Array) -> Array:
    from dnn_cli.engines.numpy import build, keras_format

    loaded = keras_format.load(file)
    _check_fit(file, images, loaded.image_shape)
    with threadpool_limits(1, user_api="blas"):  # the last digits could depend on the number of threads
        return build.predict(loaded.network, images, loaded.batch)


def _by_keras(file: Path, images: Array, start: Callable[[], None]) -> Array:
    keras_file.check_file(file)
    start()
    network = keras_build.load(file, compiled=False)
    shape = network.input_shape[1:]
    _check_fit(file, images, shape)
    return keras_build.predict(network, images.reshape(-1, *shape))


def _check_fit(file: Path, images: Array, shape: tuple[int, ...]) -> None:
    """Raise `DataError` unless a network with inputs of `shape` can process these images."""
    if not fits(images.shape[1:], shape):
        found, wanted = "×".join(map(str, images.shape[1:])), "×".join(map(str, shape))
        raise DataError(f"the images are {found}, but {file} needs {wanted}")


def fits(image: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether an image of that shape fits inputs of `shape`: the same, with one channel, or flattened."""
    plain = image[:-1] if len(image) == 3 and image[-1] == 1 else image
    return shape in (plain, (*plain, 1), (prod(plain),))


def is_distribution(outputs: Array) -> bool:
    """Return whether each row of (n, classes) finite numbers holds probabilities, within float16 precision."""
    return bool(outputs.min() >= 0 and (np.abs(outputs.sum(axis=1, dtype=np.float64) - 1) < 0.01).all())
