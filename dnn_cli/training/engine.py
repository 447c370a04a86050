"""Who trains: Keras on TensorFlow, or plain NumPy, imported only when asked for; the same to the story in `train`."""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from threadpoolctl import threadpool_limits

from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import xla_cache
from dnn_cli.training.transfer import TransferPlan
from dnn_cli.typing import Array, Logs

if TYPE_CHECKING:
    import keras

Callbacks = Sequence["keras.callbacks.Callback"]
OnChunk = Callable[[int, int, Logs], None]

JUDGED_AT_ONCE = 1000  # images of a hold-out


class Archive(Protocol):
    """How a network is saved.

    Attributes:
        network: Keras's description of the network, in JSON.
    """

    network: str

    def values(self) -> Any:
        """Copies of all that is to be saved, as it is now."""

    def write(self, values: Any, path: Path) -> None:
        """Write a `.keras` file with these values."""

    def weights(self, values: Any) -> dict[str, Array]:
        """The network's arrays among these values, by layer and name: ``dense_1/kernel``."""


class Engine(Protocol):
    """A network and what trains it.

    Attributes:
        count: images in an epoch.
        steps: steps in an epoch.
        parameters: how many numbers the network holds.
        archive: how it is saved.
    """

    count: int
    steps: int
    parameters: int
    archive: Archive

    @property
    def learning_rate(self) -> float:
        """Of the next step, as precisely as float32 tells it."""

    @property
    def stopped(self) -> bool:
        """Whether a callback wants no further epoch."""

    def run(self, epoch: int, on_chunk: OnChunk) -> Logs:
        """Train for one epoch, numbered from 0, whose figures are returned; what `on_chunk` raises ends it."""

    def judge(self) -> Logs:
        """The figures of the hold-out, none where nothing is held out."""

    def tell(self, event: str, *details: Any) -> None:
        """Let the callbacks know, for example ``tell("epoch_end", epoch, logs)``."""


class KerasEngine:
    """Keras's own network, trained by the compiled epoch.

    Args:
        config: what to train.
        training: the images to train on.
        held_out: those to judge by.
        classes: labels are less than that.
        origin: the trained weights that a new network starts from, if any.
        checkpoint: the file to go on from; None for a new network.
        callbacks: Keras callbacks, called where an epoch begins and ends.
        warn: takes a sentence for the user.
    """

    def __init__(
        self,
        config: Config,
        training: Split,
        held_out: Split | None,
        classes: int,
        *,
        origin: TransferPlan | None = None,
        checkpoint: Path | None = None,
        callbacks: Callbacks = (),
        warn: Callable[[str], None] = print,
    ) -> None:
        from keras.callbacks import CallbackList

        from dnn_cli.engines.keras import build
        from dnn_cli.engines.keras import epoch as epochs
        from dnn_cli.engines.keras.augmentation import Augmenter
        from dnn_cli.engines.keras.checkpoint_writer import Archive as KerasArchive

        if checkpoint:
            network = build.load(checkpoint)
        else:
            steps = ceil(len(training.labels) / config.training.batch_size)
            network = build.build(config, training.images.shape[1:], classes, steps)
            if origin is not None:
                origin.load_into(network)
        augmentation = config.training.augmentation
        self._trainer = epochs.CompiledEpoch(
            network,
            training.images,
            training.labels,
            batch_size=config.training.batch_size,
            seed=config.seed,
            deformation=Augmenter(augmentation, training.images.shape[1:]) if augmentation.is_on else None,
            rate_factors=origin.rate_factors(config.model.learning_rate_factor) if origin else {},
            jit_compile=config.training.jit_compile,
            warn=warn,
        )
        self._judge = epochs.Evaluation(network, held_out.images, held_out.labels).run if held_out else dict
        self._network = network
        self._is_compiled = False
        self.count, self.steps = self._trainer.count, self._trainer.steps
        self.parameters = network.count_params()
        self.archive: Archive = KerasArchive(network)
        self._callbacks = CallbackList(
            list(callbacks), model=network, epochs=config.training.epochs, steps=self._trainer.steps
        )

    @property
    def learning_rate(self) -> float:
        """As in `Engine`."""
        return _as_float32_tells(float(self._network.optimizer.learning_rate))

    @property
    def stopped(self) -> bool:
        """As in `Engine`."""
        return bool(getattr(self._network, "stop_training", False))

    def run(self, epoch: int, on_chunk: OnChunk) -> Logs:
        """As in `Engine`."""
        logs = self._trainer.run(epoch, on_chunk)
        if not self._is_compiled:
            xla_cache.record_cache()
            self._is_compiled = True
        return logs

    def judge(self) -> Logs:
        """As in `Engine`."""
        return self._judge()

    def tell(self, event: str, *details: Any) -> None:
        """As in `Engine`."""
        getattr(self._callbacks, f"on_{event}")(*details)


class NumpyEngine:
    """The reference network, trained without TensorFlow; its arguments are those of `KerasEngine`.

    It works on one thread: its matrices are too small for two to gain much, they wait for each other wherever another
    program takes one of them away, and the bits would depend on how many there are.
    """

    stopped = False

    def __init__(
        self,
        config: Config,
        training: Split,
        held_out: Split | None,
        classes: int,
        *,
        checkpoint: Path | None = None,
    ) -> None:
        from dnn_cli.engines.network_spec import count_parameters, network_spec
        from dnn_cli.engines.numpy import build as models
        from dnn_cli.engines.numpy import epoch as numpy_epoch
        from dnn_cli.engines.numpy.keras_format import NumpyFile

        shape, chosen = training.images.shape[1:], config.training
        size, smoothing = chosen.batch_size, chosen.label_smoothing
        network = models.build(config, shape, classes, rows=max(size, JUDGED_AT_ONCE) if held_out else size)
        optimizer = models.optimizer(config.optimizer)
        optimizer.build(network.parameters)
        archive = NumpyFile(config, shape, classes, network, optimizer)
        if checkpoint:
            archive.read(checkpoint)
        batches = numpy_epoch.Batches(training.images, training.labels, classes, size, smoothing)
        self._trainer = numpy_epoch.NumpyEpoch(network, optimizer, batches, seed=config.seed)
        self.count, self.steps = self._trainer.count, self._trainer.steps
        self.parameters = count_parameters(network_spec(config, shape, classes))
        self.archive: Archive = archive
        self.learning_rate = _as_float32_tells(optimizer.learning_rate)
        self._judge: Callable[[], Logs] = dict
        if held_out:
            judged = numpy_epoch.Batches(held_out.images, held_out.labels, classes, JUDGED_AT_ONCE, smoothing)
            self._judge = partial(numpy_epoch.evaluate, network, judged)

    def run(self, epoch: int, on_chunk: OnChunk) -> Logs:
        """As in `Engine`."""
        with threadpool_limits(1, user_api="blas"):
            return self._trainer.run(epoch, on_chunk)

    def judge(self) -> Logs:
        """As in `Engine`."""
        with threadpool_limits(1, user_api="blas"):
            return self._judge()

    def tell(self, event: str, *details: Any) -> None:
        """Nobody listens."""


def _as_float32_tells(rate: float) -> float:
    return float(f"{rate:.7g}")
