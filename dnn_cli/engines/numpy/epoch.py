"""The training epoch and the evaluation in plain NumPy: the counterparts of `engines.keras.epoch`.

The images stay in memory as stored. Each batch is gathered in the epoch's order, which is the same as Keras's, and
scaled to [0, 1]. An epoch is a pure function of the network's state and of (seed, epoch).
"""

import time
from collections.abc import Sequence

import numpy as np

from dnn_cli import seeds
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.network import Network
from dnn_cli.engines.numpy.optimizers import Optimizer
from dnn_cli.engines.numpy.regularization import Dropout
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array, ChunkCallback, Logs

CHUNK_SECONDS = 0.25  # time between two progress reports


class Batches:
    """Images and labels in memory, with buffers for one batch of them.

    Args:
        images: (n, height, width[, channels]), uint8 in 0..255 or float32 in [0, 1].
        labels: (n,) integers in [0, classes).
        classes: number of classes.
        size: largest number of images in a batch.
        smoothing: share of each label that is spread over all classes.
        class_weights: (classes,) float32, the factor on the loss of each class; None for no factors.
    """

    def __init__(
        self,
        images: Array,
        labels: Array,
        classes: int,
        size: int,
        smoothing: float = 0.0,
        *,
        class_weights: Array | None = None,
    ) -> None:
        self._class_weights = class_weights
        self.size, self.count = size, len(images)
        self._images, self._labels = images.reshape(len(images), -1), labels
        self._of_class = build.targets(np.arange(classes), classes, smoothing)
        self._gathered = np.empty((size, self._images.shape[1]), images.dtype)
        self._x = np.empty((size, self._images.shape[1]), np.float32)
        self._targets = np.empty((size, classes), np.float32)

    def take(self, chosen: Array) -> tuple[Array, Array, Array]:
        """Return the images with the indices `chosen`: rows (k, pixels) in [0, 1], targets (k, classes), labels (k,).

        The next call overwrites rows and targets.
        """
        k = len(chosen)
        labels: Array = self._labels[chosen]
        gathered, x, targets = self._gathered[:k], self._x[:k], self._targets[:k]
        # With "clip" NumPy writes straight to `out`; no index is out of bounds.
        np.take(self._images, chosen, axis=0, out=gathered, mode="clip")
        to_unit_range(gathered, out=x)
        np.take(self._of_class, labels, axis=0, out=targets, mode="clip")
        return x, targets, labels

    def weights(self, labels: Array) -> Array | None:
        """Return the factor on the loss of each image, (k, 1); None for no factors."""
        return None if self._class_weights is None else self._class_weights[labels, None]


class NumpyEpoch:
    """Trains a network on images in memory, one epoch at a time.

    Args:
        network: float32, with room for a batch.
        optimizer: built for the network's parameters.
        batches: training images; the last step of an epoch takes the remaining images.
        seed: seed of the order of the images and of the noise of Dropout.

    Attributes:
        count: images in an epoch.
        steps: steps in an epoch.
    """

    def __init__(self, network: Network, optimizer: Optimizer, batches: Batches, *, seed: int) -> None:
        self.network = network
        self.optimizer = optimizer
        self.batches = batches
        self.seed = seed
        self.count = batches.count
        self.steps = -(-batches.count // batches.size)
        self._metrics = MetricAccumulator()

    def run(
        self,
        epoch: int,
        on_chunk: ChunkCallback = lambda *_: None,
        *,
        done: int = 0,
        metric_sums: Sequence[float] = (),
    ) -> Logs:
        """Train for one epoch; arguments and result are those of `CompiledEpoch.run`."""
        order, size = seeds.order(self.count, self.seed, epoch), self.batches.size
        self._seed_dropout(epoch, done * size)
        self._metrics, first, reported = MetricAccumulator(*metric_sums), done, time.perf_counter()
        with np.errstate(all="ignore"):  # the caller checks the loss
            for step in range(done, self.steps):
                self._step(order[step * size : (step + 1) * size])
                if time.perf_counter() - reported > CHUNK_SECONDS or step == self.steps - 1:
                    on_chunk(first, step + 1, self._metrics.means())
                    first, reported = step + 1, time.perf_counter()
        return self._metrics.means()

    def metric_sums(self) -> tuple[float, ...]:
        """Return the sums from which the metrics of the epoch under way are computed, for `run`."""
        return self._metrics.sums()

    def _step(self, chosen: Array) -> None:
        network = self.network
        x, targets, labels = self.batches.take(chosen)
        outputs = network.forward(x, training=True)
        weights = self.batches.weights(labels)
        self._metrics.add(network.cost(targets, weights), outputs, labels)
        network.backward(targets, weights)
        self.optimizer.step(network.parameters, network.gradients)

    def _seed_dropout(self, epoch: int, rows: int) -> None:
        """Give each Dropout layer the generator that it has after `rows` images of the epoch."""
        dropouts = [layer for layer in self.network.layers if isinstance(layer, Dropout)]
        for index, layer in enumerate(dropouts):
            layer.random = seeds.generator(self.seed, Purpose.DROPOUT, index, epoch)
            layer.skip(rows)


class MetricAccumulator:
    """Accumulates loss and accuracy over batches.

    Args:
        cost: sum of the losses of the images so far.
        correct: number of images so far that are classified correctly.
        count: number of images so far.
    """

    def __init__(self, cost: float = 0.0, correct: float = 0, count: float = 0) -> None:
        self._cost, self._correct, self._count = cost, correct, count

    def add(self, cost: float, outputs: Array, labels: Array) -> None:
        """Add a batch with its mean loss, its outputs (k, classes) and its labels (k,)."""
        self._cost += cost * len(labels)
        self._correct += int(np.count_nonzero(outputs.argmax(axis=1) == labels))
        self._count += len(labels)

    def sums(self) -> tuple[float, ...]:
        """Return the sums so far, the arguments of the constructor."""
        return self._cost, self._correct, self._count

    def means(self) -> Logs:
        """Return loss and accuracy, each the mean over the images so far."""
        return {"loss": self._cost / self._count, "accuracy": self._correct / self._count}


def evaluate(network: Network, batches: Batches) -> Logs:
    """Return the network's metrics by Keras's names over all images; the network needs room for a batch."""
    metrics = MetricAccumulator()
    with np.errstate(all="ignore"):
        for start in range(0, batches.count, batches.size):
            x, targets, labels = batches.take(np.arange(start, min(start + batches.size, batches.count)))
            outputs = network.forward(x)
            metrics.add(network.cost(targets), outputs, labels)
    return metrics.means()
