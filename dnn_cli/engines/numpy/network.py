"""The textbook's network made right, in plain NumPy: forward, backward by the chain rule, ready for the update.

A batch has n rows. Layer l takes a[l-1] of shape (n, d[l-1]) and gives a[l] of shape (n, d[l]); its weights W[l] are
(d[l-1], d[l]), its biases b[l] are (d[l],). E is the loss, a mean over the batch, plus the penalties on the weights;
delta[l] is dE/dz[l]. In the formulas @ is the product of matrices, and * goes element by element.

Every array that a step needs is made once, with the network, and written in place ever after: what `forward` and
`backward` give is overwritten by the next call. float32 is for training, float64 for checking. What Keras defines too,
defaults and the places of the epsilons, is as Keras has it.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.typing import Array


class Parameter:
    """Numbers that training changes, and how E changes with them.

    Attributes:
        value: of `shape`, filled with `start`; a view of the network's `parameters`.
        gradient: dE/dvalue, of the same shape; a view of the network's `gradients`.
    """

    def __init__(self, *shape: int, start: float = 0.0) -> None:
        self.shape, self.start = shape, start
        self.value = self.gradient = np.empty(0)


class Layer:
    """One step of the way from the pixels to the loss; here, one that changes nothing."""

    parameters: Sequence[Parameter] = ()

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Make room for up to `rows` rows of `inputs` numbers; returns how many numbers a row of the output has."""
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """The output (n, units) for the input x (n, inputs)."""
        return x

    def backward(self, error: Array, to_input: bool) -> Array:
        """Note the gradients, and give dE/dx (n, inputs) if `to_input`; dE/doutput (n, units) is overwritten."""
        return error

    def penalty(self) -> float:
        """What the layer adds to E besides the loss."""
        return 0.0


class Activation(Layer):
    """a = f(z) for one of `FUNCTIONS`."""

    a: Array

    def __init__(self, name: str) -> None:
        self.name, self.function = name, FUNCTIONS[name]

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """As in `Layer`."""
        self._a, self._slope = np.empty((2, rows, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """a = f(z)."""
        self.z, self.a = x, self._a[: len(x)]
        self.function.value(self.z, self.a)
        return self.a

    def backward(self, error: Array, to_input: bool) -> Array:
        """dE/dz = dE/da * f'(z)."""
        slope: Array = self._slope[: len(error)]
        self.function.slope(self.z, self.a, slope)
        error *= slope
        return error


class Dense(Layer):
    """z = x @ W + b, a = f(z); the weights cost l1 sum |W| + l2 sum W^2."""

    def __init__(
        self, units: int, activation: str = "relu", *, use_bias: bool = True, l1: float = 0.0, l2: float = 0.0
    ) -> None:
        self.units, self.use_bias, self.l1, self.l2 = units, use_bias, l1, l2
        self.activation = Activation(activation)

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """As in `Layer`."""
        self.weights, self.bias = Parameter(inputs, self.units), Parameter(self.units)
        self.parameters = [self.weights, self.bias][: 1 + self.use_bias]
        self._z, self._error = np.empty((rows, self.units), dtype), np.empty((rows, inputs), dtype)
        self._scratch = np.empty(self.weights.shape if self.l1 or self.l2 else (), dtype)
        return self.activation.build(self.units, rows, dtype)

    def forward(self, x: Array, training: bool) -> Array:
        """z[l] = a[l-1] @ W[l] + b[l]; a[l] = f(z[l])."""
        self.x, self.z = x, self._z[: len(x)]
        np.matmul(x, self.weights.value, out=self.z)
        if self.use_bias:
            self.z += self.bias.value
        return self.activation.forward(self.z, training)

    def backward(self, error: Array, to_input: bool) -> Array:
        """From dE/da[l] to dE/da[l-1] by the chain rule.

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
        """l1 sum |W| + l2 sum W^2."""
        weights, sizes, squares = self.weights.value, 0.0, 0.0
        if self.l1:
            sizes = float(np.abs(weights, out=self._scratch).sum())
        if self.l2:
            squares = float(np.vdot(weights, weights))
        return self.l1 * sizes + self.l2 * squares


class CrossEntropy:
    """Softmax and cross-entropy together: p = e^z / sum e^z, E = -(1 / n) sum t log p, for rows t that sum to one."""

    p: Array

    def build(self, units: int, rows: int, dtype: Any) -> None:
        """Make room for batches (rows, units)."""
        self._shifted, self._p, self._error = np.empty((3, rows, units), dtype)
        self._highest, self._sum = np.empty((2, rows, 1), dtype)

    def forward(self, z: Array) -> Array:
        """The probabilities p (n, classes); the highest z of each row is taken off first, lest e^z overflows."""
        n = len(z)
        self.shifted, self.p, self.sum = self._shifted[:n], self._p[:n], self._sum[:n]
        np.subtract(z, np.maximum.reduce(z, axis=1, keepdims=True, out=self._highest[:n]), out=self.shifted)
        np.add.reduce(np.exp(self.shifted, out=self.p), axis=1, keepdims=True, out=self.sum)
        self.p /= self.sum
        return self.p

    def value(self, targets: Array) -> float:
        """E, where log p = z - log sum e^z stays finite although p may have become 0."""
        logarithms = float(np.log(self.sum, out=self._highest[: len(targets)]).sum())
        return (logarithms - float(np.vdot(targets, self.shifted))) / len(targets)

    def error(self, targets: Array) -> Array:
        """dE/dz = (p - t) / n."""
        error: Array = np.subtract(self.p, targets, out=self._error[: len(targets)])
        error /= len(targets)
        return error


class SquaredError:
    """E = 1 / (n k) sum (a - t)^2 over rows of k numbers: Keras's mean squared error."""

    def build(self, units: int, rows: int, dtype: Any) -> None:
        """Make room for batches (rows, units)."""
        self._difference, self._error = np.empty((2, rows, units), dtype)

    def forward(self, a: Array) -> Array:
        """The last layer's output as it is."""
        self.a = a
        return a

    def value(self, targets: Array) -> float:
        """E."""
        difference: Array = np.subtract(self.a, targets, out=self._difference[: len(targets)])
        return float(np.vdot(difference, difference)) / difference.size

    def error(self, targets: Array) -> Array:
        """dE/da = 2 (a - t) / (n k)."""
        error: Array = np.subtract(self.a, targets, out=self._error[: len(targets)])
        error *= 2 / error.size
        return error


class Network:
    """Layers one after the other, and the loss at their end.

    Args:
        layers: in order; at least one has parameters. The last gives the logits if the loss is `CrossEntropy`.
        inputs: d[0], the numbers in a row of the input.
        loss: what is made small.
        rows: the most rows that a batch may have.
        dtype: of every array here and of those that are given.

    Attributes:
        parameters: (p,) everything that training changes: each layer's W and b, or gamma and beta, in order.
        gradients: (p,) dE/dparameters, after `backward`.
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
        """An array (p,) in the shapes of the parameters, without a copy."""
        ends = np.cumsum([prod(each.shape) for each in self.trained])[:-1]
        return [part.reshape(each.shape) for part, each in zip(np.split(flat, ends), self.trained, strict=True)]

    def forward(self, x: Array, *, training: bool = False) -> Array:
        """The outputs (n, d[L]) for the rows x (n, d[0]): a[0] = x, then layer by layer, then the loss's softmax."""
        for layer in self.layers:
            x = layer.forward(x, training)
        return self.loss.forward(x)

    def cost(self, targets: Array) -> float:
        """E of the last `forward`, penalties included, for targets (n, d[L])."""
        return self.loss.value(targets) + sum(layer.penalty() for layer in self.layers)

    def backward(self, targets: Array) -> None:
        """Fill `gradients` with dE/dparameters of the last `forward`, which was in training, from the top down."""
        error = self.loss.error(targets)
        for layer in reversed(self.layers[self._lowest :]):
            error = layer.backward(error, to_input=layer is not self.layers[self._lowest])
