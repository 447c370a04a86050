"""The reference network's layers that know training from prediction: batch normalization and dropout."""

from typing import Any

import numpy as np

from dnn_cli.engines.numpy.network import Layer, Parameter
from dnn_cli.typing import Array


class BatchNormalization(Layer):
    """y = gamma * h + beta, h = (x - mean) / sqrt(variance + epsilon), each column by itself (Ioffe & Szegedy 2015).

    Mean and variance are those of the batch in training, and of both a running mean otherwise, which keeps the share
    `momentum` of itself at every step.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 0.001) -> None:
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """As in `Layer`."""
        self.gamma, self.beta = self.parameters = Parameter(inputs, start=1.0), Parameter(inputs)
        self.moving_mean, self.moving_variance = np.zeros(inputs, dtype), np.ones(inputs, dtype)
        self._h, self._y = np.empty((2, rows, inputs), dtype)
        self._mean, self._variance, self._deviation = np.empty((3, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta."""
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
        """Also by way of the batch's mean and variance, through which every row acts on all others.

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
    """In training each number becomes 0 with probability `rate`, and 1 / (1 - rate) times itself otherwise.

    Attributes:
        random: what is drawn from; whoever trains sets it.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.random = rate, np.random.default_rng(0)

    def build(self, inputs: int, rows: int, dtype: Any) -> int:
        """As in `Layer`."""
        self._factor, self._y = np.empty((2, rows, inputs), dtype)
        return inputs

    def forward(self, x: Array, training: bool) -> Array:
        """y = x * factor, with factor = floor(u + 1 - rate) / (1 - rate) and u uniform in [0, 1)."""
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

    def backward(self, error: Array, to_input: bool) -> Array:
        """dE/dx = dE/dy * factor."""
        error *= self.factor
        return error
