"""The networks that are served: loaded once for each thread, computed in NumPy, and loaded again when they change."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from dnn_cli import files
from dnn_cli.data.decoding import Form
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.errors import DnnError, RunError, UsageError
from dnn_cli.evaluation import model_source
from dnn_cli.evaluation.model_source import ModelSource
from dnn_cli.evaluation.refusal import of_run
from dnn_cli.evaluation.refusal.detector import Detector
from dnn_cli.explanation import attribution
from dnn_cli.serving.requests import RequestError
from dnn_cli.typing import Array

WORKERS = 2  # threads for what takes long; the event loop computes the rest itself, since handing over takes time too
QUICK_BYTES = 2**16  # a longer request is handled by a worker
QUICK_WORK = 2**22  # so is one of more multiplications, which take about a millisecond
ATTEMPTS = 3  # to load a file that is being replaced

T = TypeVar("T")
_detecting = threading.Lock()  # a detector's arrays are overwritten by its next use


@dataclass(frozen=True)
class Model:
    """A network that is served.

    Attributes:
        name: its name in addresses.
        version: counts from 1 how often it was loaded.
        source: the network's file and run.
        digest: the SHA-256 of the file.
        shape: of the network's input images.
        classes: number of its outputs.
        weights: number of multiplications for an image.
        form: what a picture becomes; None if the digits in it are scaled and centred.
        detector: tells digits in pictures from other things; None if the run has none.
    """

    name: str
    version: str
    source: ModelSource
    digest: str
    shape: tuple[int, ...]
    classes: int
    weights: int
    form: Form | None
    detector: Detector | None
    _free: "SimpleQueue[keras_format.Loaded]"

    @property
    def labels(self) -> list[str]:
        """The name of each class."""
        return list(self.source.class_names or map(str, range(self.classes)))

    def probabilities(self, images: Array) -> Array:
        """Return the calibrated probabilities (n, classes) of images (n, *shape), uint8 or float32 in [0, 1]."""
        return self.source.calibrated(self.outputs(images))

    def outputs(self, images: Array) -> Array:
        """Return the network's own probabilities, see `probabilities`.

        Any thread may call it: a network's arrays are overwritten by its next use, so each call borrows a copy.

        Raises:
            RequestError: the network's outputs are not finite.
        """
        loaded = self._free.get()
        try:
            outputs = build.predict(loaded.network, images, loaded.batch)
        finally:
            self._free.put(loaded)
        if not np.isfinite(outputs).all():
            raise RequestError("the network's outputs are not finite", 500)
        return outputs

    def attributions(self, images: Array, labels: Sequence[int]) -> list[Array]:
        """Return the integrated gradients, (height, width), of each image's logit of the class `labels` names."""
        loaded = self._free.get()
        try:
            with np.errstate(all="ignore"):  # the network's outputs were finite
                return [
                    np.nan_to_num(
                        attribution.integrated_gradients(
                            loaded.network, to_unit_range(image), np.eye(self.classes)[label], loaded.batch
                        )
                    )
                    for image, label in zip(images, labels, strict=True)
                ]
        finally:
            self._free.put(loaded)

    def refused(self, images: Array) -> list[bool]:
        """Return whether each image (n, height, width) uint8 of a digit in a picture looks like no digit."""
        if self.detector is None:
            return [False] * len(images)
        with _detecting:
            return (self.detector.scores(images) > 0).tolist()  # type: ignore[no-any-return]

    def is_quick(self, size: int) -> bool:
        """Return whether the event loop should compute a request of `size` bytes, a byte or more for each pixel."""
        return size <= QUICK_BYTES and (1 + size // prod(self.shape)) * self.weights <= QUICK_WORK


def load(target: Path | None, checkpoint: str = "best", version: int = 1) -> Model:
    """Load the network of a run or of a ``.keras`` file.

    Args:
        target: a run or a file; None for the newest run in ``runs/``.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.
        version: the version to give it.

    Raises:
        UsageError: there is no such run or file.
        RunError: the file is damaged, or NumPy does not know its network.
    """
    for _ in range(ATTEMPTS):
        source = model_source.find_model(target, checkpoint)
        digest = files.sha256(source.file)
        copies = [keras_format.load(source.file) for _ in range(1 + WORKERS)]
        if files.sha256(source.file) == digest:
            break
    else:
        raise RunError(f"{source.file} changes while it is read")
    first = copies[0]
    if not np.isfinite(first.network.parameters).all():
        raise RunError(f"{source.file} has weights that are not finite")
    free: SimpleQueue[keras_format.Loaded] = SimpleQueue()
    for one in copies:
        free.put(one)
    return Model(
        name=source.run.path.resolve().name if source.run else source.file.stem,
        version=str(version),
        source=source,
        digest=digest,
        shape=first.image_shape,
        classes=first.classes,
        weights=len(first.network.parameters),
        form=model_source.picture_form(source),
        detector=_detector(source),
        _free=free,
    )


def _detector(source: ModelSource) -> Detector | None:
    """Return the detector of a network's run, if there is one already."""
    return of_run.find(source, lambda _: None) if source.run and source.run.has_refusal() else None


class Models:
    """The networks by name.

    Args:
        targets: runs and ``.keras`` files; none for the newest run.
        checkpoint: ``best``, ``last`` or a ``.keras`` file.

    Raises:
        UsageError: there is no such run or file, or two have the same name.
        RunError: a file is damaged, or NumPy does not know its network.
    """

    def __init__(self, targets: Sequence[Path], checkpoint: str = "best") -> None:
        self._checkpoint = checkpoint
        self._models: dict[str, Model] = {}
        self._paths: dict[str, Path] = {}
        self._seen: dict[str, object] = {}
        self._problems: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(WORKERS, "worker")
        chosen: Sequence[Path | None] = targets or [None]
        for target in chosen:
            model = load(target, checkpoint)
            if model.name in self._models:
                raise UsageError(f"{target}: another network is called {model.name} already; rename one of the two")
            self._models[model.name] = model
            # The newest run at the start is served until the end.
            self._paths[model.name] = model.source.run.path if model.source.run else model.source.file
            self._seen[model.name] = _last_change(self._paths[model.name])

    def __iter__(self) -> Iterator[Model]:
        return iter(list(self._models.values()))

    def find(self, name: str | None = None, version: str | None = None) -> Model:
        """Return a network; without a name the first; raises `RequestError` if there is no such network or version."""
        found = next(iter(self)) if name is None else self._models.get(name)
        if found is None:
            raise RequestError(f"there is no model {name}; there is {', '.join(self._models)}", 404)
        if version is not None and version != found.version:
            raise RequestError(f"there is no version {version} of model {found.name}; there is {found.version}", 404)
        return found

    async def run(self, model: Model, size: int, work: Callable[[], T]) -> T:
        """Return what `work` returns for a request of `size` bytes: at once, or from a worker if it takes long."""
        return work() if model.is_quick(size) else await self.in_worker(work)

    async def in_worker(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in one of the worker threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def reload_changed(self, notify: Callable[[str], None]) -> None:
        """Load each network again whose file has changed.

        A request is answered by the network with which it began. A network that cannot be loaded stays as it was, and
        is tried again.

        Args:
            notify: is called with a line about each change and each new problem.
        """
        for name, path in self._paths.items():
            change = _last_change(path)
            if change == self._seen[name] and name not in self._problems:
                continue
            self._seen[name] = change
            try:
                self._reload(name, notify)
            except (DnnError, OSError) as error:
                if self._problems.get(name) != str(error):
                    notify(f"warning: {name} stays as it was: {error}")
                self._problems[name] = str(error)
            else:
                self._problems.pop(name, None)

    def _reload(self, name: str, notify: Callable[[str], None]) -> None:
        old = self._models[name]
        source = model_source.find_model(self._paths[name], self._checkpoint)
        if files.sha256(source.file) == old.digest and source.calibration == old.source.calibration:
            return
        self._models[name] = load(self._paths[name], self._checkpoint, int(old.version) + 1)
        notify(f"{name} has changed: version {self._models[name].version} is served")

    def close(self) -> None:
        """Stop the workers."""
        self._pool.shutdown()


def _last_change(path: Path) -> object:
    """Return a value that changes when a file or anything in a run is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
