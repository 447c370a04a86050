"""A feedforward network in plain NumPy: forward pass, backpropagation by the chain rule, and the loss.

A batch has n rows. Layer l takes a[l-1] of shape (n, d[l-1]) and returns a[l] of shape (n, d[l]); its weights W[l] are
(d[l-1], d[l]), its biases b[l] are (d[l],). E is the loss, a mean over the batch, plus the penalties on the weights;
delta[l] is dE/dz[l]. In the formulas @ is the matrix product, and * is elementwise.

All arrays that a step needs are allocated once, with the network, and then written in place: the next call overwrites
what `forward` and `backward` return. float32 is for training, float64 for checking. Defaults and the places of the
epsilons are Keras's.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.typing import Array


class Parameter:
    """An array that training changes, and its gradient.

    Attributes:
        value: of `shape`, filled with `start`; a view of the network's `parameters`.
        gradient: dE/dvalue, of the same shape; a view of the network's `gradients`.
    """

    def __init__(self, *shape: int, start: float = 0.0) -> None:
        self.shape, self.start = shape, start
        self.value = self.gradient = np.empty(0)


class Layer:
    """Base class of layers; this one is the identity."""

    parameters: Sequence[Parameter] = ()

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Allocate arrays for batches of up to `rows` rows of `inputs` numbers; return the length of an output row."""
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """Return the output (n, units) for the input x (n, inputs)."""
        return x

    def backward(self, error: Array, to_input: bool) -> Array:
        """Store the gradients, and return dE/dx (n, inputs) if `to_input`; dE/doutput (n, units) is overwritten."""
        return error

    def penalty(self) -> float:
        """Return the layer's contribution to E in addition to the loss."""
        return 0.0


class Activation(Layer):
    """Activation layer: a = f(z) for one of `FUNCTIONS`."""

    a: Array

    def __init__(self, name: str) -> None:
        self.name, self.function = name, FUNCTIONS[name]

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Allocate arrays, see `Layer.build`."""
        self._a, self._slope = np.empty((2, rows, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """Return a = f(z)."""
        self.z, self.a = x, self._a[: len(x)]
        self.function.value(self.z, self.a)
        return self.a

    def backward(self, error: Array, to_input: bool) -> Array:
        """Return dE/dz = dE/da * f'(z)."""
        slope: Array = self._slope[: len(error)]
        self.function.slope(self.z, self.a, slope)
        error *= slope
        return error


class Dense(Layer):
    """Fully connected layer: z = x @ W + b, a = f(z), with the penalty l1 sum |W| + l2 sum W^2."""

    def __init__(
        self, units: int, activation: str = "relu", *, use_bias: bool = True, l1: float = 0.0, l2: float = 0.0
    ) -> None:
        self.units, self.use_bias, self.l1, self.l2 = units, use_bias, l1, l2
        self.activation = Activation(activation)

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Allocate arrays, see `Layer.build`."""
        self.weights, self.bias = Parameter(inputs, self.units), Parameter(self.units)
        self.parameters = [self.weights, self.bias][: 1 + self.use_bias]
        self._z, self._error = np.empty((rows, self.units), dtype), np.empty((rows, inputs), dtype)
        self._scratch = np.empty(self.weights.shape if self.l1 or self.l2 else (), dtype)
        return self.activation.build(self.units, rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """Return a[l] = f(z[l]), z[l] = a[l-1] @ W[l] + b[l]."""
        self.x, self.z = x, self._z[: len(x)]
        np.matmul(x, self.weights.value, out=self.z)
        if self.use_bias:
            self.z += self.bias.value
        return self.activation.forward(self.z, training)

    def backward(self, error: Array, to_input: bool) -> Array:
        """Compute dE/da[l-1] and the gradients from dE/da[l] by the chain rule.

        delta[l] = dE/da[l] * f'(z[l]); dE/dW[l] = a[l-1].T @ delta[l] + l1 sign(W[l]) + 2 l2 W[l];
        dE/db[l] = the sum of delta[l] over the rows; dE/da[l-1] = delta[l] @ W[l].T.
        """
        self.delta = self.activation.backward(error, to_input=True)
        weights, gradient = self.weights.value, self.weights.gradient
        np.matmul(self.x.T, self.delta, out=gradient)
        if self.l1:
            gradient += np.multiply(np.sign(weights, out=self._scratch), self.l1, out=self._scratch)
        if self.l2:
            gradient += np.multiply(weights, 2 * self.l2, out=self._scratch)
        if self.use_bias:
            np.add.reduce(self.delta, axis=0, out=self.bias.gradient)
        return np.matmul(self.delta, weights.T, out=self._error[: len(error)]) if to_input else error

    def penalty(self) -> float:
        """Return l1 sum |W| + l2 sum W^2."""
        weights, sizes, squares = self.weights.value, 0.0, 0.0
        if self.l1:
            sizes = float(np.abs(weights, out=self._scratch).sum())
        if self.l2:
            squares = float(np.vdot(weights, weights))
        return self.l1 * sizes + self.l2 * squares


class CrossEntropy:
    """Softmax with cross-entropy: p = e^z / sum e^z, E = -(1 / n) sum t log p, for target rows t that sum to one."""

    p: Array

    def build(self, units: int, rows: int, dtype: Any) -> None:
        """Allocate arrays for batches (rows, units)."""
        self._shifted, self._p, self._error = np.empty((3, rows, units), dtype)
        self._highest, self._sum = np.empty((2, rows, 1), dtype)

    def forward(self, z: Array) -> Array:
        """Return the probabilities p (n, classes); the maximum of each row of z is subtracted to prevent overflow."""
        n = len(z)
        self.shifted, self.p, self.sum = self._shifted[:n], self._p[:n], self._sum[:n]
        np.subtract(z, np.maximum.reduce(z, axis=1, keepdims=True, out=self._highest[:n]), out=self.shifted)
        np.add.reduce(np.exp(self.shifted, out=self.p), axis=1, keepdims=True, out=self.sum)
        self.p /= self.sum
        return self.p

    def value(self, targets: Array, weights: Array | None = None) -> float:
        """Return E, with log p = z - log sum e^z, which is finite even if p underflows to 0.

        With weights w (n, 1), E = -(1 / n) sum w t log p.
        """
        if weights is not None:
            losses = np.log(self.sum) - (targets * self.shifted).sum(axis=1, keepdims=True)
            return float(np.vdot(weights, losses)) / len(targets)
        logarithms = float(np.log(self.sum, out=self._highest[: len(targets)]).sum())
        return (logarithms - float(np.vdot(targets, self.shifted))) / len(targets)

    def error(self, targets: Array, weights: Array | None = None) -> Array:
        """Return dE/dz = (p - t) / n, times the weights (n, 1)."""
        error: Array = np.subtract(self.p, targets, out=self._error[: len(targets)])
        if weights is not None:
            error *= weights
        error /= len(targets)
        return error


class SquaredError:
    """Keras's mean squared error: E = 1 / (n k) sum (a - t)^2 over rows of k numbers."""

    def build(self, units: int, rows: int, dtype: Any) -> None:
        """Allocate arrays for batches (rows, units)."""
        self._difference, self._error = np.empty((2, rows, units), dtype)

    def forward(self, a: Array) -> Array:
        """Return the last layer's output unchanged."""
        self.a = a
        return a

    def value(self, targets: Array, weights: Array | None = None) -> float:
        """Return E; with weights w (n, 1), each square is multiplied by them."""
        difference: Array = np.subtract(self.a, targets, out=self._difference[: len(targets)])
        if weights is not None:
            return float(np.vdot(weights * difference, difference)) / difference.size
        return float(np.vdot(difference, difference)) / difference.size

    def error(self, targets: Array, weights: Array | None = None) -> Array:
        """Return dE/da = 2 (a - t) / (n k), times the weights (n, 1)."""
        error: Array = np.subtract(self.a, targets, out=self._error[: len(targets)])
        if weights is not None:
            error *= weights
        error *= 2 / error.size
        return error


class Network:
    """A sequence of layers and a loss.

    Args:
        layers: in order; at least one has parameters. The last returns logits if the loss is `CrossEntropy`.
        inputs: d[0], the length of an input row.
        loss: the function to minimize, by default `CrossEntropy`.
        rows: largest number of rows in a batch.
        dtype: floating-point type of all arrays, inputs and targets included.

    Attributes:
        parameters: (p,) all trained values: each layer's W and b, or gamma and beta, in order.
        gradients: (p,) dE/dparameters, filled by `backward`.
        trained: the same as one `Parameter` for each array.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: int,
        loss: CrossEntropy | SquaredError | None = None,
        *,
        rows: int = 32,
        dtype: Any = np.float32,
    ) -> None:
        self.layers, self.loss = layers, loss or CrossEntropy()
        for layer in layers:
            inputs = layer.build(inputs, rows, dtype)
        self.loss.build(inputs, rows, dtype)
        self._lowest = next(index for index, layer in enumerate(layers) if layer.parameters)
        self.trained = [parameter for layer in layers for parameter in layer.parameters]
        self.parameters, self.gradients = np.zeros((2, sum(prod(each.shape) for each in self.trained)), dtype)
        for each, value, gradient in zip(
            self.trained, self.views(self.parameters), self.views(self.gradients), strict=True
        ):
            each.value, each.gradient = value, gradient
            value.fill(each.start)

    def views(self, flat: Array) -> list[Array]:
        """Return views of an array (p,) in the shapes of the parameters."""
        ends = np.cumsum([prod(each.shape) for each in self.trained])[:-1]
        return [part.reshape(each.shape) for part, each in zip(np.split(flat, ends), self.trained, strict=True)]

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """Return the outputs (n, d[L]) for rows x (n, d[0]): a[0] = x, then each layer, then the loss's softmax."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return self.loss.forward(x)

    def cost(self, targets: Array, weights: Array | None = None) -> float:
        """Return E of the last `forward`, penalties included, for targets (n, d[L]) and factors on them (n, 1)."""
        return self.loss.value(targets, weights) + sum(layer.penalty() for layer in self.layers)

    def backward(self, targets: Array, weights: Array | None = None) -> None:
        """Fill `gradients` with dE/dparameters of the last `forward`, which must have been with ``training=True``."""
        error = self.loss.error(targets, weights)
        for layer in reversed(self.layers[self._lowest :]):
            error = layer.backward(error, to_input=layer is not self.layers[self._lowest])
