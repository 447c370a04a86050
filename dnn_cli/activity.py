"""What the hidden layers of a network do with given images: how many units are dead, how much is saturated."""

from dataclasses import dataclass

from dnn_cli.reference import Array, Network


@dataclass(frozen=True)
class LayerActivity:
    """The outputs of one hidden block's activation over all images that were given.

    Attributes:
        name: the block, as the config has it: ``model.layers[0]``.
        activation: Keras's name of it.
        units: how many.
        dead: the share of units, in [0, 1], whose output is zero for every image.
        saturated: the share of outputs, in [0, 1], close to a bound of the activation; 0 where it has none.
        zero: the share of outputs, in [0, 1], that are zero.
        mean: of the outputs.
        counts: how many outputs are between two neighbours of `edges`; those beyond count in the outermost.
        edges: of the histogram, one more than `counts`.
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
    raise NotImplementedError
