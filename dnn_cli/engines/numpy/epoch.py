"""An epoch in plain NumPy, and the evaluation of a hold-out: what `epoch` is for Keras, without TensorFlow.

The images stay bytes in memory; each batch is gathered by the epoch's order, which is the one that Keras gets, and
scaled to [0, 1]. As there, an epoch is a pure function of the network's state and of (seed, epoch).
"""

import time
from collections.abc import Callable

import numpy as np

from dnn_cli import seeds
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.network import Network
from dnn_cli.engines.numpy.optimizers import Optimizer
from dnn_cli.engines.numpy.regularization import Dropout
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array, Logs

CHUNK_SECONDS = 0.25  # how often progress moves and signals are heard


class Batches:
    """Resident images and labels, and room for one batch of them at a time.

    Args:
        images: (n, \\*image_shape), uint8 in 0..255 or float32 in [0, 1].
        labels: (n,) integers in [0, classes).
        classes: how many there are.
        size: the most images of a batch.
        smoothing: share of each label that is spread over all classes.
    """

    def __init__(self, images: Array, labels: Array, classes: int, size: int, smoothing: float = 0.0) -> None:
        self.size, self.count = size, len(images)
        self._images, self._labels = images.reshape(len(images), -1), labels
        self._of_class = build.targets(np.arange(classes), classes, smoothing)
        self._gathered = np.empty((size, self._images.shape[1]), images.dtype)
        self._x = np.empty((size, self._images.shape[1]), np.float32)
        self._targets = np.empty((size, classes), np.float32)

    def take(self, chosen: Array) -> tuple[Array, Array, Array]:
        """The images `chosen` (k,): rows x (k, pixels) in [0, 1], targets (k, classes) and labels (k,).

        The first two are overwritten by the next call.
        """
        k = len(chosen)
        labels: Array = self._labels[chosen]
        gathered, x, targets = self._gathered[:k], self._x[:k], self._targets[:k]
        # With "clip" NumPy writes straight to `out`; no index is out of bounds.
        np.take(self._images, chosen, axis=0, out=gathered, mode="clip")
        np.divide(gathered, np.float32(255 if gathered.dtype == np.uint8 else 1), out=x)
        np.take(self._of_class, labels, axis=0, out=targets, mode="clip")
        return x, targets, labels


class NumpyEpoch:
    """Trains a network on resident arrays, an epoch at a time.

    Args:
        network: of float32, with room for a batch.
        optimizer: built for the network's parameters.
        batches: what to train on; the last step of an epoch has what is left over.
        seed: what the order of the images and the noise of Dropout are drawn from.
    """

    def __init__(self, network: Network, optimizer: Optimizer, batches: Batches, *, seed: int) -> None:
        self.network = network
        self.optimizer = optimizer
        self.batches = batches
        self.seed = seed
        self.count = batches.count
        self.steps = -(-batches.count // batches.size)

    def run(self, epoch: int, on_chunk: Callable[[int, int, Logs], None] = lambda *_: None) -> Logs:
        """Train for one epoch; every image counts exactly once.

        Args:
            epoch: its number, from 0; what is drawn in it depends on that.
            on_chunk: called with the first step, the step after the last, and the epoch's figures so far, a few times
                a second; what it raises ends the epoch.

        Returns:
            The epoch's figures by Keras's names, each the mean over all images.
        """
        order, size = seeds.order(self.count, self.seed, epoch), self.batches.size
        self._seed_dropout(epoch)
        tally, first, told = MetricAccumulator(), 0, time.perf_counter()
        with np.errstate(all="ignore"):  # who listens judges the loss itself
            for step in range(self.steps):
                self._step(order[step * size : (step + 1) * size], tally)
                if time.perf_counter() - told > CHUNK_SECONDS or step == self.steps - 1:
                    on_chunk(first, step + 1, tally.means())
                    first, told = step + 1, time.perf_counter()
        return tally.means()

    def _step(self, chosen: Array, tally: "MetricAccumulator") -> None:
        network = self.network
        x, targets, labels = self.batches.take(chosen)
        outputs = network.forward(x, training=True)
        tally.add(network.cost(targets), outputs, labels)
        network.backward(targets)
        self.optimizer.step(network.parameters, network.gradients)

    def _seed_dropout(self, epoch: int) -> None:
        dropouts = [layer for layer in self.network.layers if isinstance(layer, Dropout)]
        for index, layer in enumerate(dropouts):
            layer.random = seeds.generator(self.seed, Purpose.DROPOUT, index, epoch)


class MetricAccumulator:
    """Loss and accuracy so far."""

    def __init__(self) -> None:
        self._cost, self._correct, self._count = 0.0, 0, 0

    def add(self, cost: float, outputs: Array, labels: Array) -> None:
        """Count a batch: its mean loss, the outputs (k, classes) and the labels (k,)."""
        self._cost += cost * len(labels)
        self._correct += int(np.count_nonzero(outputs.argmax(axis=1) == labels))
        self._count += len(labels)

    def means(self) -> Logs:
        """Both, each the mean over the images."""
        return {"loss": self._cost / self._count, "accuracy": self._correct / self._count}


def evaluate(network: Network, batches: Batches) -> Logs:
    """The network's figures by Keras's names over all images of `batches`, for whose size it has room."""
    tally = MetricAccumulator()
    with np.errstate(all="ignore"):
        for start in range(0, batches.count, batches.size):
            x, targets, labels = batches.take(np.arange(start, min(start + batches.size, batches.count)))
            outputs = network.forward(x)
            tally.add(network.cost(targets), outputs, labels)
    return tally.means()
