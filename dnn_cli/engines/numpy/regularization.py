"""Layers of the NumPy network that differ between training and prediction: batch normalization and dropout."""

from typing import Any

import numpy as np

from dnn_cli.engines.numpy.network import Layer, Parameter
from dnn_cli.typing import Array


class BatchNormalization(Layer):
    """Batch normalization of each column (Ioffe & Szegedy 2015).

    y = gamma * h + beta, h = (x - mean) / sqrt(variance + epsilon). In training, mean and variance are those of the
    batch; in prediction, moving averages of them, which keep the share `momentum` of their value at every step.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 0.001) -> None:
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Allocate arrays, see `Layer.build`."""
        self.gamma, self.beta = self.parameters = Parameter(inputs, start=1.0), Parameter(inputs)
        self.moving_mean, self.moving_variance = np.zeros(inputs, dtype), np.ones(inputs, dtype)
        self._h, self._y = np.empty((2, rows, inputs), dtype)
        self._mean, self._variance, self._deviation = np.empty((3, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """Return y = gamma * (x - mean) / sqrt(variance + epsilon) + beta."""
        self.h = self._h[: len(x)]
        y: Array = self._y[: len(x)]
        mean, variance = (self._mean, self._variance) if training else (self.moving_mean, self.moving_variance)
        if training:
            np.mean(x, axis=0, out=mean)
        np.subtract(x, mean, out=self.h)
        if training:
            np.mean(np.square(self.h, out=y), axis=0, out=variance)
            self.moving_mean *= self.momentum
            self.moving_mean += np.multiply(mean, 1 - self.momentum, out=self._deviation)
            self.moving_variance *= self.momentum
            self.moving_variance += np.multiply(variance, 1 - self.momentum, out=self._deviation)
        np.sqrt(np.add(variance, self.epsilon, out=self._deviation), out=self._deviation)
        self.h /= self._deviation
        np.multiply(self.h, self.gamma.value, out=y)
        y += self.beta.value
        return y

    def backward(self, error: Array, to_input: bool) -> Array:
        """Return dE/dx, which includes the effect of each row on the others through the batch's mean and variance.

        dE/dgamma = the sum of dE/dy * h over the rows; dE/dbeta = the sum of dE/dy over the rows;
        dE/dx = gamma / sqrt(variance + epsilon) * (dE/dy - (dE/dbeta + dE/dgamma * h) / n).
        """
        product = self._y[: len(error)]
        np.add.reduce(np.multiply(error, self.h, out=product), axis=0, out=self.gamma.gradient)
        np.add.reduce(error, axis=0, out=self.beta.gradient)
        np.multiply(self.h, self.gamma.gradient, out=product)
        product += self.beta.gradient
        product /= len(error)
        error -= product
        error *= np.divide(self.gamma.value, self._deviation, out=self._deviation)
        return error


class Dropout(Layer):
    """Dropout: in training, each number is set to 0 with probability `rate` or else divided by 1 - rate.

    Attributes:
        random: generator of the noise, set at the beginning of each epoch.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.random = rate, np.random.default_rng(0)

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """Allocate arrays, see `Layer.build`."""
        self._factor, self._y = np.empty((2, rows, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """Return y = x * factor, factor = floor(u + 1 - rate) / (1 - rate), u uniform in [0, 1)."""
        if not training:
            return x
        self.factor = self._factor[: len(x)]
        self.random.random(out=self.factor, dtype=self.factor.dtype.type)
        self.factor += 1 - self.rate
        np.floor(self.factor, out=self.factor)
        self.factor /= 1 - self.rate
        y: Array = self._y[: len(x)]
        np.multiply(x, self.factor, out=y)
        return y

    def skip(self, rows: int) -> None:
        """Move the generator to where it is after `rows` rows of training, without drawing their noise.

        A float32 takes half of one of the generator's 64-bit numbers; the other half is kept for the next.
        """
        numbers, bits = rows * self._factor.shape[1], self.random.bit_generator
        assert isinstance(bits, np.random.PCG64)
        bits.advance(numbers // 2)
        self.random.random(numbers % 2, dtype=np.float32)

    def backward(self, error: Array, to_input: bool) -> Array:
        """Return dE/dx = dE/dy * factor."""
        error *= self.factor
        return error
