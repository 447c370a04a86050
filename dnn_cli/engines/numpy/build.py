"""Build the NumPy network of a spec and the optimizer of a config, and convert images and labels for them.

The initial weights are those that Keras draws from the same seed.
"""

from math import prod
from typing import Any

import numpy as np

from dnn_cli.config.optimizers import OptimizerSection
from dnn_cli.data.pixels import to_unit_range
from dnn_cli.engines import network_spec
from dnn_cli.engines.network_spec import NetworkSpec
from dnn_cli.engines.numpy import initializers, optimizers
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.engines.numpy.optimizers import Optimizer
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.typing import Array


def build(spec: NetworkSpec, *, rows: int, dtype: Any = np.float32) -> Network:
    """Return the network that the Keras engine builds from the same spec, with the same initial weights.

    Its last layer returns logits; the softmax is part of its loss.

    Args:
        spec: the network.
        rows: largest number of images in a batch.
        dtype: floating-point type of all arrays.
    """
    network = assemble(spec, rows=rows, dtype=dtype)
    for described, layer in zip(spec.layers[1:], network.layers, strict=True):
        if isinstance(layer, Dense):
            inputs, units = layer.weights.shape
            layer.weights.value[:] = initializers.kernel(described.initializer, (inputs, units), described.seed)
    return network


def assemble(spec: NetworkSpec, *, rows: int, dtype: Any = np.float32) -> Network:
    """Return the network of a spec with all weights at zero; the arguments are those of `build`."""
    flatten, *layers = spec.layers
    return Network([_layer(layer) for layer in layers], flatten.units, rows=rows, dtype=dtype)


def _layer(described: network_spec.Layer) -> Layer:
    arguments = described.arguments
    match described.kind:
        case "Dense":
            # The softmax is computed by the loss: together with the logarithm it loses no precision.
            activation = "linear" if arguments["activation"] == "softmax" else arguments["activation"]
            l1, l2 = described.penalties
            return Dense(described.units, activation, use_bias=arguments["use_bias"], l1=l1, l2=l2)
        case "BatchNormalization":
            return BatchNormalization(arguments["momentum"], arguments["epsilon"])
        case "Activation":
            return Activation(arguments["activation"])
        case "Dropout":
            return Dropout(arguments["rate"])
    raise ValueError(f"the NumPy network has no {described.kind}")


def optimizer(section: OptimizerSection) -> Optimizer:
    """Return the optimizer of a config that `numpy_support` accepts."""
    kind: type[Optimizer] = getattr(optimizers, type(section).__name__)
    known = {"learning_rate", "weight_decay", "momentum", "nesterov", "rho", "beta_1", "beta_2", "epsilon"}
    return kind(**{key: value for key, value in section if key in known})


def rows_of(images: Array, dtype: Any = np.float32) -> Array:
    """Return images (n, ...) of uint8 in 0..255 or of floats in [0, 1] as rows (n, pixels) in [0, 1]."""
    return to_unit_range(images.reshape(len(images), prod(images.shape[1:])), dtype)


def targets(labels: Array, classes: int, smoothing: float = 0.0, dtype: Any = np.float32) -> Array:
    """Return labels (n,) as rows (n, classes) that sum to one.

    Each class gets smoothing / classes, and the label gets 1 - smoothing in addition.
    """
    rows = np.full((len(labels), classes), smoothing / classes, dtype)
    rows[np.arange(len(labels)), labels] += 1 - smoothing
    return rows


def predict(network: Network, images: Array, batch: int) -> Array:
    """Return the network's probabilities (n, classes), float32, for `images`, computed `batch` images at a time."""
    starts = range(0, len(images), batch)
    with np.errstate(all="ignore"):  # the caller checks the outputs
        return np.concatenate([network.forward(rows_of(images[start : start + batch])).copy() for start in starts])
