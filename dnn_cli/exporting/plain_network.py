"""A trained network as the few numbers that an export needs: matrix products, biases and activation functions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnn_cli.engines.numpy import keras_format
from dnn_cli.engines.numpy.network import Activation, Dense
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.errors import RunError
from dnn_cli.typing import Array


@dataclass(frozen=True)
class Step:
    """One layer: ``f(x @ weights + bias)``.

    Attributes:
        weights: (inputs, units) float32.
        bias: (units,) float32; zeros if the layer has none.
        activation: Keras's name of f; ``softmax`` in the last step.
    """

    weights: Array
    bias: Array
    activation: str


@dataclass(frozen=True)
class PlainNetwork:
    """A network whose input is the flattened image, with values in [0, 1].

    Attributes:
        image_shape: (height, width[, channels]) of an image.
        steps: the layers in order.
    """

    image_shape: tuple[int, ...]
    steps: tuple[Step, ...]

    @property
    def classes(self) -> int:
        """The number of outputs."""
        return len(self.steps[-1].bias)


def load(file: Path, temperature: float = 1.0) -> PlainNetwork:
    """Read the network of a ``.keras`` file.

    Dropout is left out. Batch normalization after a linear layer is part of that layer: with running mean m and
    variance v, gamma ((x @ W + b) - m) / sqrt(v + epsilon) + beta is linear in x. So are the logits divided by the
    temperature.

    Args:
        file: the file.
        temperature: of the calibration; 1 leaves the probabilities as they are.

    Raises:
        RunError: the file is damaged, or its network is not one that dnn builds.
    """
    loaded = keras_format.load(file)
    steps: list[Step] = []
    for layer in loaded.network.layers:
        match layer:
            case Dense():
                steps.append(Step(layer.weights.value, _bias(layer), layer.activation.name))
            case Activation() if steps and steps[-1].activation == "linear":
                steps[-1] = Step(steps[-1].weights, steps[-1].bias, layer.name)
            case BatchNormalization() if steps and steps[-1].activation == "linear":
                steps[-1] = _normalized(steps[-1], layer)
            case Dropout():
                continue
            case _:
                raise RunError(f"{file} holds a network that cannot be exported: {type(layer).__name__} without Dense")
    last = steps[-1]
    steps[-1] = Step(_float32(last.weights / temperature), _float32(last.bias / temperature), "softmax")
    return PlainNetwork(loaded.image_shape, tuple(steps))


def _bias(layer: Dense) -> Array:
    return layer.bias.value if layer.use_bias else np.zeros(layer.units, np.float32)


def _normalized(step: Step, layer: BatchNormalization) -> Step:
    gamma, beta = (parameter.value.astype(np.float64) for parameter in layer.parameters)
    scale = gamma / np.sqrt(layer.moving_variance.astype(np.float64) + layer.epsilon)
    bias = (step.bias - layer.moving_mean.astype(np.float64)) * scale + beta
    return Step(_float32(step.weights * scale), _float32(bias), "linear")


def _float32(values: Array) -> Array:
    return np.ascontiguousarray(values, np.float32)
