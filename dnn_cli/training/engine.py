"""The engines behind one interface: Keras on TensorFlow, or plain NumPy; each is imported only when it is used."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from threadpoolctl import threadpool_limits

from dnn_cli import confusion_matrix
from dnn_cli.runs.partial import Partial
from dnn_cli.training.plan import TrainingPlan
from dnn_cli.typing import Array, ChunkCallback, Logs

if TYPE_CHECKING:
    import keras

Callbacks = Sequence["keras.callbacks.Callback"]
Warn = Callable[[str], None]

VALIDATION_BATCH = 1000  # images that the NumPy engine validates at once


class CheckpointWriter(Protocol):
    """Saves a network.

    Attributes:
        description: Keras's description of the network, JSON.
    """

    description: str

    def snapshot(self) -> Any:
        """Return copies of all values to save, as they are now."""

    def write(self, values: Any, path: Path) -> None:
        """Write a `.keras` file with the values of a snapshot."""

    def weights(self, values: Any) -> dict[str, Array]:
        """Return the arrays of a snapshot that belong to layers, by layer and variable: ``dense_1/kernel``."""


class Engine(Protocol):
    """A network with everything that trains it.

    Attributes:
        count: images in an epoch.
        steps: steps in an epoch.
        checkpoint_writer: saves the network.
    """

    count: int
    steps: int
    checkpoint_writer: CheckpointWriter

    def prepare(self) -> bool | None:
        """Prepare the training steps.

        Returns:
            Whether XLA compiled them; None for an engine without XLA.

        Raises:
            TrainingError: XLA failed.
        """

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step, with the precision of float32."""

    @property
    def stop_requested(self) -> bool:
        """True if a callback asked to stop after this epoch."""

    def run(self, epoch: int, on_chunk: ChunkCallback, partial: Partial | None = None) -> Logs:
        """Train for one epoch, numbered from 0, and return its metrics.

        `on_chunk` is called a few times a second with the first step, the step after the last, and the metrics of the
        epoch so far. An exception that it raises ends the epoch. With `partial`, the place in this epoch at which the
        network was saved, only the rest is trained.
        """

    def metric_sums(self) -> tuple[float, ...]:
        """Return the sums from which the metrics of the epoch under way are computed."""

    def validate(self) -> Logs:
        """Return the metrics on the held-out images, none if no images are held out."""

    def notify(self, event: str, *details: Any) -> None:
        """Notify the callbacks of an event, for example ``notify("epoch_end", epoch, logs)``."""


class EngineFactory(Protocol):
    """Constructor of an engine."""

    def __call__(
        self,
        plan: TrainingPlan,
        *,
        checkpoint: Path | None = None,
        callbacks: Callbacks = (),
        warn: Warn = print,
    ) -> Engine:
        """Return the engine for a plan.

        Args:
            plan: the training.
            checkpoint: file to resume from; None for a new network.
            callbacks: Keras callbacks that are notified when training and epochs begin and end.
            warn: is called with a message for the user.

        Raises:
            ValueError: the engine does not support something that the arguments need.
        """


class KerasEngine:
    """Keras's own network, trained by the compiled epoch."""

    def __init__(
        self, plan: TrainingPlan, *, checkpoint: Path | None = None, callbacks: Callbacks = (), warn: Warn = print
    ) -> None:
        from keras.callbacks import CallbackList

        from dnn_cli.engines.keras import build
        from dnn_cli.engines.keras.augmentation import Augmenter
        from dnn_cli.engines.keras.checkpoint_writer import KerasCheckpointWriter
        from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation

        settings, images, labels = plan.config.training, plan.data.training.images, plan.data.training.labels
        network = _keras_network(plan, checkpoint)
        self._epoch = CompiledEpoch(
            network,
            images,
            labels,
            batch_size=settings.batch_size,
            seed=plan.config.seed,
            augmenter=Augmenter(settings.augmentation, images.shape[1:]) if settings.augmentation.is_on else None,
            class_weights=plan.class_weights,
            rate_factors=plan.transfer.rate_factors(plan.config.model.learning_rate_factor) if plan.transfer else {},
            jit_compile=settings.jit_compile,
            warn=warn,
        )
        held_out = plan.data.held_out
        self._validate = Evaluation(network, held_out.images, held_out.labels).run if held_out else dict
        self._figures = _ValidationFigures(plan, lambda images: build.predict(network, images))
        self._network = network
        self.count, self.steps = self._epoch.count, self._epoch.steps
        self.checkpoint_writer: CheckpointWriter = KerasCheckpointWriter(network, plan.data.class_names)
        self._callbacks = CallbackList(list(callbacks), model=network, epochs=settings.epochs, steps=self.steps)

    def prepare(self) -> bool:
        """See `Engine`."""
        self._epoch.prepare()
        return self._epoch.compiled

    @property
    def learning_rate(self) -> float:
        """See `Engine`."""
        return _to_float32_precision(float(self._network.optimizer.learning_rate))

    @property
    def stop_requested(self) -> bool:
        """See `Engine`."""
        return bool(getattr(self._network, "stop_training", False))

    def run(self, epoch: int, on_chunk: ChunkCallback, partial: Partial | None = None) -> Logs:
        """See `Engine`."""
        return self._epoch.run(epoch, on_chunk, **_rest(partial))

    def metric_sums(self) -> tuple[float, ...]:
        """See `Engine`."""
        return self._epoch.metric_sums()

    def validate(self) -> Logs:
        """See `Engine`."""
        return self._validate() | self._figures()

    def notify(self, event: str, *details: Any) -> None:
        """See `Engine`."""
        getattr(self._callbacks, f"on_{event}")(*details)


class NumpyEngine:
    """The NumPy network, trained without TensorFlow; it supports neither callbacks nor transferred weights.

    It uses one thread: its matrices are too small to gain much from two, the threads wait for each other when another
    program takes a processor, and the last bits would depend on their number.
    """

    stop_requested = False

    def __init__(
        self, plan: TrainingPlan, *, checkpoint: Path | None = None, callbacks: Callbacks = (), warn: Warn = print
    ) -> None:
        from dnn_cli.engines.numpy import build
        from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch, evaluate
        from dnn_cli.engines.numpy.keras_format import NumpyCheckpointWriter

        if callbacks or plan.transfer:
            raise ValueError("callbacks and model.init_from need engine: keras")
        data, classes = plan.data, plan.spec.classes
        size, smoothing = plan.config.training.batch_size, plan.config.training.label_smoothing
        network = build.build(plan.spec, rows=max(size, VALIDATION_BATCH) if data.held_out else size)
        optimizer = build.optimizer(plan.config.optimizer)
        optimizer.build(network.parameters)
        writer = NumpyCheckpointWriter(plan.config, plan.spec, network, optimizer, data.class_names)
        if checkpoint:
            writer.read(checkpoint)
        batches = Batches(
            data.training.images, data.training.labels, classes, size, smoothing, class_weights=plan.class_weights
        )
        self._epoch = NumpyEpoch(network, optimizer, batches, seed=plan.config.seed)
        self.count, self.steps = self._epoch.count, self._epoch.steps
        self.checkpoint_writer: CheckpointWriter = writer
        self.learning_rate = _to_float32_precision(optimizer.learning_rate)
        self._validate: Callable[[], Logs] = dict
        if data.held_out:
            validation = Batches(data.held_out.images, data.held_out.labels, classes, VALIDATION_BATCH, smoothing)
            self._validate = partial(evaluate, network, validation)
        self._figures = _ValidationFigures(plan, lambda images: build.predict(network, images, VALIDATION_BATCH))

    def prepare(self) -> None:
        """See `Engine`; there is nothing to prepare."""

    def run(self, epoch: int, on_chunk: ChunkCallback, partial: Partial | None = None) -> Logs:
        """See `Engine`."""
        with threadpool_limits(1, user_api="blas"):
            return self._epoch.run(epoch, on_chunk, **_rest(partial))

    def metric_sums(self) -> tuple[float, ...]:
        """See `Engine`."""
        return self._epoch.metric_sums()

    def validate(self) -> Logs:
        """See `Engine`."""
        with threadpool_limits(1, user_api="blas"):
            return self._validate() | self._figures()

    def notify(self, event: str, *details: Any) -> None:
        """No-op: this engine has no callbacks."""


class _ValidationFigures:
    """Figures of the validation images that Keras does not compute, for those that the config monitors.

    Args:
        plan: the training.
        predict: returns the outputs (n, classes) of the network for images.
    """

    def __init__(self, plan: TrainingPlan, predict: Callable[[Array], Array]) -> None:
        self._wanted, self._held_out = plan.config.validation_figures, plan.data.held_out
        self._classes, self._predict = plan.spec.classes, predict

    def __call__(self) -> Logs:
        """Return the figures by their names in the history, without ``val_``; none if none are monitored."""
        if not self._wanted or self._held_out is None:
            return {}
        predicted = self._predict(self._held_out.images).argmax(axis=1)
        confusion = confusion_matrix.matrix(self._held_out.labels, predicted, self._classes)
        figures = {"balanced_accuracy": confusion_matrix.balanced_accuracy, "macro_f1": confusion_matrix.macro_f1}
        return {name: figure(confusion) for name, figure in figures.items() if f"val_{name}" in self._wanted}


ENGINES: Mapping[str, EngineFactory] = {"keras": KerasEngine, "numpy": NumpyEngine}


def _keras_network(plan: TrainingPlan, checkpoint: Path | None) -> "keras.Sequential":
    """Return the network from a checkpoint, or a new one with the weights that the plan transfers."""
    from dnn_cli.engines.keras import build

    if checkpoint:
        return build.load(checkpoint)
    steps = ceil(len(plan.data.training.labels) / plan.config.training.batch_size)
    network = build.build(plan.spec, plan.config, steps)
    if plan.transfer is not None:
        plan.transfer.load_into(network)
    return network


def _rest(partial: Partial | None) -> dict[str, Any]:
    """Return the arguments of an engine's epoch for what is left after `partial`."""
    return {"done": partial.step, "metric_sums": partial.metric_sums} if partial else {}


def _to_float32_precision(rate: float) -> float:
    """Return `rate` rounded to seven significant digits, the precision of float32."""
    return float(f"{rate:.7g}")
