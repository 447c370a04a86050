"""Optimizers in plain NumPy: SGD, momentum, RMSprop, Adam and AdamW, exactly as Keras defines them.

Parameters w and their gradient g are arrays (p,) of one type. The state of all parameters is stored in the rows of one
array, so that a step is a dozen passes over p numbers, in place. Scalars are computed in the type of the parameters, as
in Keras: in float32, 1 - beta_2^t differs from its exact value by more than the last bit in the first steps.
"""

from typing import Any

import numpy as np

from dnn_cli.typing import Array


class Optimizer:
    """Base class of optimizers; eta is the learning rate.

    Attributes:
        names: names of the running means.
        iterations: number of steps so far.
        slots: (k, p) the running means in the order of `names`, zeros at first.
    """

    names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, weight_decay: float | None = None) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.iterations = 0

    def build(self, parameters: Array) -> None:
        """Allocate the running means for `parameters` (p,), the array that every `step` updates."""
        self.slots = np.zeros((len(self.names), parameters.size), parameters.dtype)
        self._scratch = np.empty_like(parameters)

    def step(self, w: Array, g: Array) -> None:
        """Apply weight decay, w -= eta decay w, and then the optimizer's own update; g is overwritten."""
        eta = w.dtype.type(self.learning_rate)
        self.iterations += 1
        if self.weight_decay:  # in two steps: 1 - eta decay would lose most of its precision
            w -= np.multiply(w, eta * w.dtype.type(self.weight_decay), out=self._scratch)
        self._update(w, g, eta)

    def _update(self, w: Array, g: Array, eta: Any) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent: w -= eta g.

    With momentum, m' = momentum m - eta g and w += m'; with Nesterov momentum, w += momentum m' - eta g.
    """

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov
        self.names = ("momentum",) if momentum else ()

    def _update(self, w: Array, g: Array, eta: Any) -> None:
        g *= eta
        if self.momentum:
            (m,) = self.slots
            m *= self.momentum
            m -= g
            if self.nesterov:
                w += np.multiply(m, self.momentum, out=self._scratch)
            else:
                w += m
                return
        w -= g


class RMSprop(Optimizer):
    """RMSprop: v = rho v + (1 - rho) g^2; u = eta g / sqrt(v + epsilon); w -= u.

    With momentum, m = momentum m + u and w -= m.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.names = ("velocity", "momentum") if momentum else ("velocity",)

    def _update(self, w: Array, g: Array, eta: Any) -> None:
        v, scratch = self.slots[0], self._scratch
        v *= self.rho
        np.square(g, out=scratch)
        scratch *= 1 - self.rho
        v += scratch
        np.sqrt(np.add(v, self.epsilon, out=scratch), out=scratch)
        g *= eta
        g /= scratch
        if self.momentum:
            m = self.slots[1]
            m *= self.momentum
            m += g
            w -= m
        else:
            w -= g


class Adam(Optimizer):
    """Adam: m += (1 - beta_1) (g - m); v += (1 - beta_2) (g^2 - v); w -= alpha m / (sqrt(v) + epsilon).

    In step t, alpha = eta sqrt(1 - beta_2^t) / (1 - beta_1^t). This is the short form in the paper (Kingma & Ba 2014,
    end of section 2): epsilon is added to sqrt(v), not to the root of the bias-corrected v.
    """

    names = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
    ) -> None:
        super().__init__(learning_rate, weight_decay)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def _update(self, w: Array, g: Array, eta: Any) -> None:
        number = w.dtype.type
        power_1, power_2 = (number(beta) ** number(self.iterations) for beta in (self.beta_1, self.beta_2))
        alpha = eta * np.sqrt(1 - power_2) / (1 - power_1)
        (m, v), scratch = self.slots, self._scratch
        np.subtract(g, m, out=scratch)
        scratch *= 1 - self.beta_1
        m += scratch
        np.square(g, out=g)
        g -= v
        g *= 1 - self.beta_2
        v += g
        np.sqrt(v, out=g)
        g += self.epsilon
        np.divide(m, g, out=g)
        g *= alpha
        w -= g


class AdamW(Adam):
    """Adam with a default for weight decay (Loshchilov & Hutter 2017), which the other optimizers support too."""

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay)
