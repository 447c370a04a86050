"""What the hidden layers of a network do with given images: how many units are dead, how much is saturated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli.engines.numpy.build import rows_of
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.typing import Array

# What an activation comes near but not beyond, where its slope is next to nothing, and its range. The zero of relu6 is
# not there: it is a unit's rest, as that of ReLU is, and is counted by itself.
BOUNDS: dict[str, tuple[tuple[float, ...], float]] = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "sparse_sigmoid"), ((0.0, 1.0), 1.0)),
    **dict.fromkeys(("tanh", "hard_tanh", "softsign"), ((-1.0, 1.0), 2.0)),
    "relu6": ((6.0,), 6.0),
}
CLOSE = 0.01  # to a bound, as a share of the range: a sigmoid or a tanh has 4 % of its greatest slope there
BINS = 40


@dataclass(frozen=True)
class LayerActivity:
    """The outputs of one hidden block's activation over all images that were given.

    Attributes:
        name: the block, as the config has it: ``model.layers[0]``.
        activation: Keras's name of it.
        units: how many.
        dead: the share of units, in [0, 1], whose output is zero for every image.
        saturated: the share of outputs, in [0, 1], within `CLOSE` of one of `BOUNDS`; 0 where the
            activation has none (after Glorot & Bengio 2010, who look for sigmoids stuck at their bounds).
        zero: the share of outputs, in [0, 1], that are zero.
        mean: of the outputs.
        counts: how many outputs are between two neighbours of `edges`; those beyond count in the outermost.
        edges: of the histogram, one more than `counts`; they span the outputs of the first batch.
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


def measure(network: Network, images: Array, batch: int) -> list[LayerActivity]:
    """The activity of each hidden block, from the bottom up.

    Args:
        network: as `numpy_file.load` gives it.
        images: (n, ...) of uint8 in 0..255 or of floats in [0, 1]; n > 0.
        batch: how many of them the network may be given at once.
    """
    tallies = [_Tally(activation) for activation in _hidden(network.layers)]
    with np.errstate(all="ignore"):
        for start in range(0, len(images), batch):
            network.forward(rows_of(images[start : start + batch]))
            for tally in tallies:
                tally.add()
    return [tally.result(f"model.layers[{index}]") for index, tally in enumerate(tallies)]


def _hidden(layers: Sequence[Layer]) -> Iterator[Activation]:
    """The activation of each block: the last before the next Dense layer, which may stand by itself."""
    latest: Activation | None = None
    for layer in layers:
        if isinstance(layer, Dense):
            if latest is not None:
                yield latest
            latest = layer.activation
        elif isinstance(layer, Activation):
            latest = layer


class _Tally:
    """Counts the outputs of an activation as the network sees batch after batch."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._bounds, self._range = BOUNDS.get(activation.name, ((), 0.0))
        self._outputs, self._zeros, self._close, self._sum = 0, 0, 0, 0.0
        self._alive: Array = np.empty(0, bool)
        self._edges: Array = np.empty(0)
        self._counts: Array = np.zeros(BINS, int)

    def add(self) -> None:
        """Take in what the last `forward` gave."""
        a = self._activation.a
        if not self._outputs:
            self._alive = np.zeros(a.shape[1], bool)
            self._edges = np.histogram_bin_edges(a, BINS)
        self._outputs += a.size
        self._alive |= a.any(axis=0)
        self._zeros += a.size - int(np.count_nonzero(a))
        for bound in self._bounds:
            self._close += int(np.count_nonzero(np.abs(a - bound) <= CLOSE * self._range))
        self._sum += float(a.sum(dtype=np.float64))
        low, high = self._edges[0], self._edges[-1]
        self._counts += np.histogram(np.clip(a, low, high), BINS, (low, high))[0]

    def result(self, name: str) -> LayerActivity:
        """What it came to."""
        return LayerActivity(
            name,
            self._activation.name,
            len(self._alive),
            float(1 - self._alive.mean()),
            self._close / self._outputs,
            self._zeros / self._outputs,
            self._sum / self._outputs,
            tuple(self._counts.tolist()),
            tuple(self._edges.tolist()),
        )
