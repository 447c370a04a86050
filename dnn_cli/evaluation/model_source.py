"""A trained network as the user names it, and what it says of images.

Where NumPy knows the network, which is every one that dnn builds, it can be asked without TensorFlow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from dnn_cli.engines import keras_file
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras import tensorflow_import
from dnn_cli.errors import DataError, RunError, UsageError
from dnn_cli.runs.directory import RunDirectory
from dnn_cli.typing import Array

Engine = Literal["keras", "numpy"]


@dataclass(frozen=True)
class ModelSource:
    """A model file, the run it belongs to if it belongs to one, and what trained it."""

    file: Path
    run: RunDirectory | None = None
    epoch: int | None = None
    engine: Engine = "keras"

    @property
    def selected_classes(self) -> tuple[int, ...] | None:
        """The labels that count: those the run was trained on; None is all."""
        return self.run.config().data.classes if self.run else None

    @property
    def threads(self) -> int | Literal["auto"]:
        """The number of threads that the run was trained with; `auto` where none is recorded."""
        return self.run.config().training.threads if self.run else "auto"


def find_model(target: Path | None, checkpoint: str = "best") -> ModelSource:
    """The network of a run or of a ``.keras`` file.

    Args:
        target: which; None is the newest run in ``runs/``.
        checkpoint: ``best``, ``last`` or a ``.keras`` file, of a run.

    Raises:
        UsageError: there is no such thing.
        RunError: the run has no checkpoint yet, or it is damaged.
    """
    if target is not None and target.is_file():
        if checkpoint != "best":
            raise UsageError(f"--checkpoint chooses one of a run's; {target} is a single file")
        return ModelSource(target)
    if target is not None and not target.exists():
        raise UsageError(f"there is no run or .keras file {target}")
    run = RunDirectory.open(target) if target is not None else RunDirectory.newest()
    if checkpoint not in ("best", "last"):
        return ModelSource(Path(checkpoint), run)
    file, epoch = run.checkpoint(checkpoint)
    return ModelSource(file, run, epoch, run.config().engine)


def image_shape(file: Path) -> tuple[int, ...]:
    """The shape of the images that the network in a ``.keras`` file takes, read without TensorFlow.

    Raises:
        RunError: the file is damaged, or does not say.
    """
    keras_file.check_file(file)
    try:
        first = keras_file.description(file)["config"]["layers"][0]
        return tuple(map(int, first["config"]["batch_shape"][1:]))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise RunError(f"{file} does not say what images its network takes") from None


def probabilities(
    file: Path,
    images: Array,
    *,
    engine: Engine | None = None,
    threads: int | Literal["auto"] = "auto",
    say: Callable[[str], None] = print,
    verbose: bool = False,
) -> Array:
    """What the network in `file` takes each image for.

    Args:
        file: a ``.keras`` file.
        images: (n, height, width[, channels]), uint8 in 0..255 or float32 in [0, 1].
        engine: what computes; None is NumPy where it knows the network, and Keras otherwise.
        threads: how many threads Keras computes with; where it cannot, that is said.
        say: takes a remark, a line.
        verbose: let TensorFlow's own messages through.

    Returns:
        (n, classes) float, each row summing to one.

    Raises:
        DataError: the network takes images of another shape.
        RunError: the file is damaged, or its network gives no probabilities.
    """
    outputs = _outputs(file, images, engine, lambda: _start(threads, say, verbose=verbose))
    if not np.isfinite(outputs).all():
        raise RunError(f"{file} gives outputs that are no finite numbers")
    if is_distribution(outputs):
        return outputs
    if outputs.min() >= 0 and outputs.max() <= 1:
        raise RunError(f"{file} gives no probabilities: its outputs do not sum to one")
    say(f"note: {file} ends without a softmax; its outputs are taken for logits")
    return softmax(outputs)


def _start(threads: int | Literal["auto"], say: Callable[[str], None], *, verbose: bool) -> None:
    try:
        tensorflow_import.import_tensorflow(threads, verbose=verbose)
    except UsageError as error:
        say(f"warning: the last digits may differ: {error}")


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
    return build.predict(loaded.network, images, loaded.batch)


def _by_keras(file: Path, images: Array, start: Callable[[], None]) -> Array:
    keras_file.check_file(file)
    start()
    network = keras_build.load(file, compiled=False)
    shape = network.input_shape[1:]
    _check_fit(file, images, shape)
    return keras_build.predict(network, images.reshape(-1, *shape))


def _check_fit(file: Path, images: Array, shape: tuple[int, ...]) -> None:
    """Raise `DataError` unless a network for images of `shape` can be given these."""
    if shape not in _equal_shapes(images.shape[1:]):
        found, wanted = "×".join(map(str, images.shape[1:])), "×".join(map(str, shape))
        raise DataError(f"the images are {found}, but {file} takes {wanted}")


def _equal_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The shapes in which a network may take an image of `shape`: as it is, with one channel, or as a row."""
    plain = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape
    return [plain, (*plain, 1), (prod(plain),)]


def is_distribution(outputs: Array) -> bool:
    """Whether each row of (n, classes) finite numbers is one of probabilities, as precisely as float16 has them."""
    return bool(outputs.min() >= 0 and (np.abs(outputs.sum(axis=1, dtype=np.float64) - 1) < 0.01).all())


def softmax(logits: Array) -> Array:
    """Rows of finite logits (n, classes) as probabilities, float64."""
    powers: Array = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
