"""The trace of one training step in NumPy: every quantity that is computed, with its formula.

It is the first step of a training, but in float64, so that the printed numbers do not depend on the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dnn_cli import seeds
from dnn_cli.config import numpy_support
from dnn_cli.config.schema import Config
from dnn_cli.data import selection
from dnn_cli.data.datasets import Split
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network, Parameter
from dnn_cli.engines.numpy.optimizers import SGD, Adam, Optimizer, RMSprop
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.errors import UsageError
from dnn_cli.seeds import Purpose
from dnn_cli.typing import Array


@dataclass(frozen=True)
class Quantity:
    """A quantity that is computed in a step.

    Attributes:
        name: its name in the formulas, such as ``z[1]``.
        formula: its formula.
        values: its values, an array of any shape.
        pixels: the axis of `values` that counts pixels; None if there is no such axis.
    """

    name: str
    formula: str
    values: Array
    pixels: int | None = None


@dataclass(frozen=True)
class Trace:
    """A training step, its quantities in the order in which they are computed.

    Attributes:
        dataset: the dataset of the images.
        note: a warning about the dataset; "" if there is none.
        images: the indices of the images in the training split.
        labels: the classes of the images.
        widths: the numbers of units d[0] to d[L], from the pixels to the output layer.
        forward: the quantities of the forward pass.
        backward: the quantities of the backward pass.
        rule: the optimizer's formula for a parameter w with the gradient g.
        update: the parameters after the step, and the loss of the same batch with them.
    """

    dataset: str
    note: str
    images: list[int]
    labels: list[int]
    widths: list[int]
    forward: list[Quantity]
    backward: list[Quantity]
    rule: str
    update: list[Quantity]


def trace(config: Config, index: int | None = None) -> Trace:
    """Trace the first step of a training.

    Args:
        config: the config of the training; the NumPy network must support it.
        index: the index of the first image of the batch in the training split; None for the batch that a training takes
            first.

    Raises:
        UsageError: the NumPy network does not support the config, or `index` is out of range.
        DataError: the dataset is missing, damaged, or has too few images.
    """
    numpy_support.check(config)
    dataset = selection.find_dataset(config.data, config.seed)
    material = selection.select_training_data(dataset, config.data, config.seed)
    split, classes = material.training, material.classes
    chosen = _batch(config, split, index)
    x, labels = build.rows_of(split.images[chosen], np.float64), split.labels[chosen]
    network = build.build(network_spec(config, split.images.shape[1:], classes), rows=len(x), dtype=np.float64)
    optimizer = build.optimizer(config.optimizer)
    optimizer.build(network.parameters)
    targets = build.targets(labels, classes, config.training.label_smoothing, np.float64)
    named = _with_names(network.layers)
    _seed_dropout(network, config.seed)
    forward = list(_forward(network, named, x, targets, config.training.label_smoothing))
    backward = list(_backward(network, named, targets))
    optimizer.step(network.parameters, network.gradients)
    _seed_dropout(network, config.seed)
    network.forward(x, training=True)
    return Trace(
        material.dataset.name,
        material.dataset.note,
        chosen.tolist(),
        labels.tolist(),
        [x.shape[1], *(layer.units for layer in network.layers if isinstance(layer, Dense))],
        forward,
        backward,
        _rule(optimizer),
        [*_update(named), Quantity("E", "of the same images after the step", np.array(network.cost(targets)))],
    )


def _batch(config: Config, split: Split, index: int | None) -> Array:
    """Return the indices of the images of the batch."""
    count, size = len(split.labels), config.training.batch_size
    if index is None:
        return seeds.order(count, config.seed, 0)[:size]
    if index >= count:
        raise UsageError(f"--index {index}: there are {count:,} training images, from 0 to {count - 1}")
    return np.arange(index, min(index + size, count))


def _seed_dropout(network: Network, seed: int) -> None:
    """Seed each Dropout layer, so that it draws the first random numbers of a training."""
    for number, layer in enumerate(layer for layer in network.layers if isinstance(layer, Dropout)):
        layer.random = seeds.generator(seed, Purpose.DROPOUT, number, 0)


@dataclass(frozen=True)
class _Named:
    """A layer, the number of its Dense layer from 1, and the names of its input and output in the formulas."""

    layer: Layer
    number: int
    input: str
    output: str

    @property
    def parameters(self) -> list[tuple[str, Parameter]]:
        """The parameters and their names in the formulas."""
        names = ("gamma", "beta") if isinstance(self.layer, BatchNormalization) else ("W", "b")
        named = zip(names, self.layer.parameters, strict=False)  # a Dense layer may have no b
        return [(f"{name}[{self.number}]", parameter) for name, parameter in named]


def _with_names(layers: Sequence[Layer]) -> list[_Named]:
    """Return the layers with the names of their inputs and outputs."""
    named: list[_Named] = []
    number, name = 0, "a[0]"
    for layer in layers:
        number += isinstance(layer, Dense)
        match layer:
            case Dropout():
                letter = "r"
            case BatchNormalization():
                letter = "y"
            case Dense() if layer.activation.name == "linear":
                letter = "z"
            case _:
                letter = "a"
        before, name = name, f"{letter}[{number}]"
        named.append(_Named(layer, number, before, name))
    return named


def _forward(network: Network, named: list[_Named], x: Array, targets: Array, smoothing: float) -> Iterator[Quantity]:
    yield Quantity("a[0]", "the pixels, from 0 to 1", x, pixels=1)
    for each in named:
        for name, parameter in each.parameters:
            yield Quantity(name, "as it starts", parameter.value.copy(), 0 if name == "W[1]" else None)
        x = each.layer.forward(x, training=True)
        yield from _forward_of(each, x)
    yield Quantity("p", f"softmax({named[-1].output})", network.loss.forward(x).copy())
    meaning = f"{1 - smoothing:g} for the label, else 0" + f"; and {smoothing:g} / {targets.shape[1]} each" * bool(
        smoothing
    )
    yield Quantity("t", meaning, targets)
    yield Quantity("E", f"-sum(t * log(p)) / n{_penalties(named)}", np.array(network.cost(targets)))


def _forward_of(each: _Named, x: Array) -> Iterator[Quantity]:
    layer, k, pixels = each.layer, each.number, None if each.number else 1
    match layer:
        case Dense():
            yield Quantity(f"z[{k}]", f"{each.input} @ W[{k}]{f' + b[{k}]' * layer.use_bias}", layer.z.copy())
            if layer.activation.name != "linear":
                yield Quantity(each.output, f"{layer.activation.name}(z[{k}])", x.copy())
        case Activation():
            yield Quantity(each.output, f"{layer.name}({each.input})", x.copy())
        case BatchNormalization():
            yield Quantity(f"h[{k}]", f"(z[{k}] - mean) / sqrt(variance + {layer.epsilon:g})", layer.h.copy())
            yield Quantity(each.output, f"gamma[{k}] * h[{k}] + beta[{k}]", x.copy())
        case Dropout():
            yield Quantity(f"factor[{k}]", f"0 or 1 / (1 - {layer.rate:g})", layer.factor.copy(), pixels)
            yield Quantity(each.output, f"{each.input} * factor[{k}]", x.copy(), pixels)


def _backward(network: Network, named: list[_Named], targets: Array) -> Iterator[Quantity]:
    error = network.loss.error(targets)
    trained = [each for each in named if each.number]  # without a Dropout before the first Dense layer
    for each in reversed(trained):
        top, to_input = each is named[-1], each is not trained[0]
        error = each.layer.backward(error, to_input)
        yield from _backward_of(each, "(p - t) / n" if top else f"dE/d{each.output}")
        if to_input:
            yield Quantity(f"dE/d{each.input}", _back_formula(each), error.copy())


def _backward_of(each: _Named, error: str) -> Iterator[Quantity]:
    """Yield the gradients of a layer's parameters; `error` is the formula of the gradient of its output."""
    layer, k = each.layer, each.number
    if isinstance(layer, Dense):
        name = layer.activation.name
        slope = "" if name == "linear" else f" * {name}'(z[{k}])"
        yield Quantity(f"delta[{k}]", f"{error}{slope}", layer.delta.copy())
        formulas = [
            f"{each.input}.T @ delta[{k}]{_penalty_gradients(layer, k)}",
            f"the sum of delta[{k}] over the rows",
        ]
    else:
        formulas = [f"the sum of {error} * h[{k}] over the rows", f"the sum of {error} over the rows"]
    for (name, parameter), formula in zip(each.parameters, formulas, strict=False):
        yield Quantity(f"dE/d{name}", formula, parameter.gradient.copy(), 0 if name == "W[1]" else None)


def _back_formula(each: _Named) -> str:
    """Return the formula of the gradient with respect to a layer's input."""
    k, error = each.number, f"dE/d{each.output}"
    match each.layer:
        case Dense():
            return f"delta[{k}] @ W[{k}].T"
        case BatchNormalization() as layer:
            mean = f"(dE/dbeta[{k}] + dE/dgamma[{k}] * h[{k}]) / n"
            return f"gamma[{k}] / sqrt(variance + {layer.epsilon:g}) * ({error} - {mean})"
        case Activation() as layer:
            return f"{error} * {layer.name}'({each.input})"
        case _:
            return f"{error} * factor[{k}]"


def _penalties(named: list[_Named]) -> str:
    """Return the terms that the penalties add to the loss."""
    dense = [(each.number, each.layer) for each in named if isinstance(each.layer, Dense)]
    l1 = [f" + {layer.l1:g} sum(|W[{k}]|)" for k, layer in dense if layer.l1]
    l2 = [f" + {layer.l2:g} sum(W[{k}]^2)" for k, layer in dense if layer.l2]
    return "".join(l1 + l2)


def _penalty_gradients(layer: Dense, k: int) -> str:
    """Return the terms that the penalties add to dE/dW."""
    return f" + {layer.l1:g} sign(W[{k}])" * bool(layer.l1) + f" + {2 * layer.l2:g} W[{k}]" * bool(layer.l2)


def _update(named: list[_Named]) -> Iterator[Quantity]:
    for each in named:
        for name, parameter in each.parameters:
            yield Quantity(name, "after the step", parameter.value.copy(), 0 if name == "W[1]" else None)


def _rule(optimizer: Optimizer) -> str:
    """Return the optimizer's formula for a parameter w with the gradient g; m and v are 0 before the step."""
    eta, decay = f"{optimizer.learning_rate:g}", optimizer.weight_decay
    first = f"w = w - {eta} * {decay:g} * w; then " if decay else ""
    match optimizer:
        case SGD(momentum=0.0):
            rule = f"w = w - {eta} * g"
        case SGD(momentum=momentum, nesterov=nesterov):
            step = f"{momentum:g} * m - {eta} * g"
            rule = f"m = {step}; w = w + {step if nesterov else 'm'}"
        case RMSprop(rho=rho, momentum=momentum, epsilon=epsilon):
            step = f"{eta} * g / sqrt(v + {epsilon:g})"
            rest = f"m = {momentum:g} * m + {step}; w = w - m" if momentum else f"w = w - {step}"
            rule = f"v = {rho:g} * v + {1 - rho:g} * g^2; {rest}"
        case Adam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon):
            means = f"m = m + {1 - beta_1:g} * (g - m); v = v + {1 - beta_2:g} * (g^2 - v)"
            alpha = f"{eta} * sqrt(1 - {beta_2:g}^1) / (1 - {beta_1:g}^1)"
            rule = f"{means}; w = w - {alpha} * m / (sqrt(v) + {epsilon:g})"
        case _:
            raise ValueError(f"{type(optimizer).__name__} has no rule")
    return first + rule
