"""The activity of the hidden layers for given images: dead units, saturated outputs, and a histogram of the outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.engines.numpy.build import rows_of
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.typing import Array

# The bounds near which an activation is saturated, because its slope almost vanishes there, and the width of its range.
# The zero of relu6 is no such bound: as with relu, a zero means that the unit is inactive, and is counted separately.
BOUNDS: dict[str, tuple[tuple[float, ...], float]] = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "sparse_sigmoid"), ((0.0, 1.0), 1.0)),
    **dict.fromkeys(("tanh", "hard_tanh", "softsign"), ((-1.0, 1.0), 2.0)),
    "relu6": ((6.0,), 6.0),
}
# An output is saturated within this share of the range from a bound. A sigmoid or a tanh has 4 % of its steepest slope
# there.
SATURATION_MARGIN = 0.01
HISTOGRAM_BINS = 40


@dataclass(frozen=True)
class LayerActivity:
    """The outputs of the activation of one hidden layer, over all images.

    Attributes:
        name: the layer's key in the config, such as ``model.layers[0]``.
        activation: Keras's name of the activation.
        units: the number of units.
        dead: the share of units, in [0, 1], whose output is zero for every image.
        saturated: the share of outputs, in [0, 1], within `SATURATION_MARGIN` of one of the `BOUNDS`; 0 if the
            activation has none (after Glorot & Bengio 2010, who look for sigmoids stuck at their bounds).
        zero: the share of outputs, in [0, 1], that are zero.
        mean: the mean of the outputs.
        counts: the number of outputs in each bin of a histogram; the outermost bins include all outputs beyond them.
        edges: the edges of the bins, one more than `counts`; they span the outputs of the first batch.
        dead_units: the indices of the units whose output is zero for every image.
    """

    name: str
    activation: str
    units: int
    dead: float
    saturated: float
    zero: float
    mean: float
    counts: tuple[int, ...]
    edges: tuple[float, ...]
    dead_units: tuple[int, ...] = ()


def measure(network: Network, images: Array, batch: int) -> list[LayerActivity]:
    """Measure the activity of each hidden layer, in the order of the layers.

    Args:
        network: a network as `keras_format.load` returns it.
        images: (n, ...) of uint8 in 0..255 or of floats in [0, 1]; n > 0.
        batch: the number of images that the network takes at once.
    """
    counters = [_OutputCounter(activation) for activation in _hidden_activations(network.layers)]
    with np.errstate(all="ignore"):
        for start in range(0, len(images), batch):
            network.forward(rows_of(images[start : start + batch]))
            for counter in counters:
                counter.add()
    return [counter.result(f"model.layers[{index}]") for index, counter in enumerate(counters)]


def _hidden_activations(layers: Sequence[Layer]) -> Iterator[Activation]:
    """Yield the last activation before each Dense layer: its own, or an Activation layer that follows it."""
    latest: Activation | None = None
    for layer in layers:
        if isinstance(layer, Dense):
            if latest is not None:
                yield latest
            latest = layer.activation
        elif isinstance(layer, Activation):
            latest = layer


class _OutputCounter:
    """Counts the outputs of an activation, batch after batch."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._bounds, self._range = BOUNDS.get(activation.name, ((), 0.0))
        self._outputs, self._zeros, self._saturated, self._sum = 0, 0, 0, 0.0
        self._alive: Array = np.empty(0, bool)
        self._edges: Array = np.empty(0)
        self._counts: Array = np.zeros(HISTOGRAM_BINS, int)

    def add(self) -> None:
        """Count the outputs of the last forward pass."""
        a = self._activation.a
        if not self._outputs:
            self._alive = np.zeros(a.shape[1], bool)
            self._edges = np.histogram_bin_edges(a, HISTOGRAM_BINS)
        self._outputs += a.size
        self._alive |= a.any(axis=0)
        self._zeros += a.size - int(np.count_nonzero(a))
        for bound in self._bounds:
            self._saturated += int(np.count_nonzero(np.abs(a - bound) <= SATURATION_MARGIN * self._range))
        self._sum += float(a.sum(dtype=np.float64))
        low, high = self._edges[0], self._edges[-1]
        self._counts += np.histogram(np.clip(a, low, high), HISTOGRAM_BINS, (low, high))[0]

    def result(self, name: str) -> LayerActivity:
        """Return the activity of the layer `name` over all batches."""
        return LayerActivity(
            name,
            self._activation.name,
            len(self._alive),
            float(1 - self._alive.mean()),
            self._saturated / self._outputs,
            self._zeros / self._outputs,
            self._sum / self._outputs,
            tuple(self._counts.tolist()),
            tuple(self._edges.tolist()),
            tuple(np.flatnonzero(~self._alive).tolist()),
        )
