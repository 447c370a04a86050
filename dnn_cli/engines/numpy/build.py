"""`Config` → the same network in plain NumPy: its layers from the blueprint, its optimizer, and what both take.

Needs no TensorFlow. The initial weights are those that Keras would draw.
"""

from math import prod
from typing import Any

import numpy as np

from dnn_cli.config.optimizers import OptimizerSection
from dnn_cli.config.schema import Config
from dnn_cli.engines import network_spec
from dnn_cli.engines.numpy import initializers, optimizers
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.engines.numpy.optimizers import Optimizer
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.typing import Array


def build(config: Config, image_shape: tuple[int, ...], classes: int, *, rows: int, dtype: Any = np.float32) -> Network:
    """The network that `model.build` makes of the same arguments, with the same initial weights.

    It takes `rows_of` at most `rows` images of `image_shape`. Its last layer gives logits, its loss the softmax.
    """
    planned = network_spec.network_spec(config, image_shape, classes)
    network = assemble(planned, rows=rows, dtype=dtype)
    for plan, layer in zip(planned[1:], network.layers, strict=True):
        if isinstance(layer, Dense):
            inputs, units = layer.weights.shape
            layer.weights.value[:] = initializers.kernel(plan.initializer, (inputs, units), plan.seed)
    return network


def assemble(planned: list[network_spec.Layer], *, rows: int, dtype: Any = np.float32) -> Network:
    """The network of a blueprint, which begins with Flatten, with all weights at zero."""
    return Network([_layer(plan) for plan in planned[1:]], planned[0].units, rows=rows, dtype=dtype)


def _layer(plan: network_spec.Layer) -> Layer:
    arguments = plan.arguments
    match plan.kind:
        case "Dense":
            # The softmax is the loss's: together with the logarithm it loses no digits.
            activation = "linear" if arguments["activation"] == "softmax" else arguments["activation"]
            l1, l2 = plan.penalties
            return Dense(plan.units, activation, use_bias=arguments["use_bias"], l1=l1, l2=l2)
        case "BatchNormalization":
            return BatchNormalization(arguments["momentum"], arguments["epsilon"])
        case "Activation":
            return Activation(arguments["activation"])
        case "Dropout":
            return Dropout(arguments["rate"])
    raise ValueError(f"the NumPy network has no {plan.kind}")


def optimizer(section: OptimizerSection) -> Optimizer:
    """The optimizer of a config that `limits.of_training` has nothing against."""
    kind: type[Optimizer] = getattr(optimizers, type(section).__name__)
    known = {"learning_rate", "weight_decay", "momentum", "nesterov", "rho", "beta_1", "beta_2", "epsilon"}
    return kind(**{key: value for key, value in section if key in known})


def rows_of(images: Array, dtype: Any = np.float32) -> Array:
    """Images (n, ...) of uint8 in 0..255 or of floats in [0, 1] as rows (n, pixels) in [0, 1]."""
    rows = images.reshape(len(images), prod(images.shape[1:])).astype(dtype)
    return rows / dtype(255) if images.dtype == np.uint8 else rows


def targets(labels: Array, classes: int, smoothing: float = 0.0, dtype: Any = np.float32) -> Array:
    """Labels (n,) as rows (n, classes): 1 - smoothing for the label, and smoothing / classes more for every class."""
    rows = np.full((len(labels), classes), smoothing / classes, dtype)
    rows[np.arange(len(labels)), labels] += 1 - smoothing
    return rows


def predict(network: Network, images: Array, batch: int) -> Array:
    """The network's probabilities for `images`, (n, classes) float32, `batch` images at a time."""
    starts = range(0, len(images), batch)
    with np.errstate(all="ignore"):  # whoever asked judges the outputs
        return np.concatenate([network.forward(rows_of(images[start : start + batch])).copy() for start in starts])
