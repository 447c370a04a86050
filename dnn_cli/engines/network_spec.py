"""Describe the network of a config layer by layer, without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from dnn_cli import seeds
from dnn_cli.config.schema import Block, Config
from dnn_cli.errors import UsageError
from dnn_cli.seeds import Purpose

MAX_PARAMETERS = 200_000_000  # with Adam's two moments that is 2.4 GB of float32
PREDICTION_BATCH = 1000
PREDICTION_PIXELS = 2**25  # limits the batch for large images: at most 128 MiB of float32


@dataclass(frozen=True)
class Layer:
    """One Keras layer of the network.

    Attributes:
        kind: name of the class in `keras.layers`.
        arguments: keyword arguments of the class.
        units: length of the layer's output.
        shapes: shape of each variable of the layer, by Keras's name.
        seed: seed of the initial weights of a Dense layer.
        initializer: Keras's name of the kernel initializer of a Dense layer.
        penalties: L1 and L2 penalty on the kernel.
        max_norm: upper limit of the norm of each column of the kernel, or None.
    """

    kind: str
    arguments: dict[str, Any]
    units: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    initializer: str = ""
    penalties: tuple[float, float] = (0.0, 0.0)
    max_norm: float | None = None

    @property
    def name(self) -> str:
        """Name of the layer in the network."""
        return str(self.arguments["name"])

    @property
    def parameters(self) -> int:
        """Number of values in the layer's variables."""
        return sum(map(prod, self.shapes.values()))


@dataclass(frozen=True)
class NetworkSpec:
    """A network as both engines build it: Flatten, hidden blocks, and a Dense layer with softmax.

    Attributes:
        image_shape: (height, width[, channels]) of the images that the network takes.
        layers: in order, from Flatten to the output.
    """

    image_shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    @property
    def classes(self) -> int:
        """Number of outputs; labels are less than that."""
        return self.layers[-1].units

    @property
    def parameters(self) -> int:
        """Number of values in the network's variables, trainable or not."""
        return sum(layer.parameters for layer in self.layers)


def network_spec(config: Config, image_shape: tuple[int, ...], classes: int) -> NetworkSpec:
    """Return the network of a config for images of `image_shape` and labels less than `classes`.

    Raises:
        UsageError: the network would have more than `MAX_PARAMETERS` parameters.
    """
    layers = [Layer("Flatten", {"name": "flatten"}, prod(image_shape))]
    if config.model.input_dropout:
        layers.append(_dropout(config.model.input_dropout, "input_dropout", layers[-1].units, config.seed, 0))
    for index, block in enumerate(config.model.layers, start=1):
        trainable = index - 1 not in config.model.frozen
        layers += _block(block, index, layers[-1].units, config.seed, trainable=trainable)
    output = Block(units=classes, activation="linear")
    layers.append(_dense(output, "output", layers[-1].units, "softmax", seeds.integer(config.seed, Purpose.WEIGHTS, 0)))
    spec = NetworkSpec(tuple(image_shape), tuple(layers))
    if spec.parameters > MAX_PARAMETERS:
        raise UsageError(
            f"model.layers makes a network of {spec.parameters:,} parameters; at most {MAX_PARAMETERS:,} are allowed"
        )
    return spec


def _block(block: Block, index: int, inputs: int, seed: int, *, trainable: bool) -> list[Layer]:
    weights_seed = seeds.integer(seed, Purpose.WEIGHTS, index)
    name = f"dense_{index}"
    if block.batch_normalization is None:
        layers = [_dense(block, name, inputs, block.activation, weights_seed, trainable=trainable)]
    else:
        normalization = {
            **dict(block.batch_normalization),
            "name": f"batch_normalization_{index}",
            "trainable": trainable,
        }
        shapes = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (block.units,))
        layers = [
            _dense(block, name, inputs, "linear", weights_seed, trainable=trainable),
            Layer("BatchNormalization", normalization, block.units, shapes),
            Layer("Activation", {"activation": block.activation, "name": f"activation_{index}"}, block.units),
        ]
    if block.dropout:
        layers.append(_dropout(block.dropout, f"dropout_{index}", block.units, seed, index))
    return layers


def _dropout(rate: float, name: str, units: int, seed: int, index: int) -> Layer:
    return Layer("Dropout", {"rate": rate, "seed": seeds.integer(seed, Purpose.DROPOUT, index), "name": name}, units)


def _dense(block: Block, name: str, inputs: int, activation: str, seed: int, *, trainable: bool = True) -> Layer:
    arguments = {
        "units": block.units,
        "activation": activation,
        "use_bias": block.use_bias,
        "name": name,
        "trainable": trainable,
    }
    shapes: dict[str, tuple[int, ...]] = {"kernel": (inputs, block.units)}
    if block.use_bias:
        shapes["bias"] = (block.units,)
    penalties = (block.l1, block.l2)
    return Layer("Dense", arguments, block.units, shapes, seed, block.initializer, penalties, block.max_norm)


def prediction_batch(image_shape: tuple[int, ...]) -> int:
    """Return the number of images to predict at once."""
    return max(1, min(PREDICTION_BATCH, PREDICTION_PIXELS // prod(image_shape)))
