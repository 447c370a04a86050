"""Activation functions and their derivatives in plain NumPy, computed in place, as Keras names and defines them."""

from collections.abc import Callable
from math import erfc, pi, sqrt
from typing import Any, NamedTuple

import numpy as np

from dnn_cli.typing import Array

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
SHRINK_THRESHOLD = 0.5  # of hard_shrink and soft_shrink, Keras's default


class Function(NamedTuple):
    """An activation f that is applied to each element of an array.

    Attributes:
        value: ``value(z, a)`` writes a = f(z).
        slope: ``slope(z, a, s)`` writes s = f'(z), which is often simpler to compute from a than from z.
        kinks: the z where f' or f'' jumps; there, `slope` gives the slope of one side. A finite difference across a
            kink is meaningless.
    """

    value: Callable[..., Any]
    slope: Callable[..., Any]
    kinks: tuple[float, ...] = ()


def _sigmoid(z: Array, a: Array) -> Array:
    """Write and return a = 1 / (1 + e^-z), with e^-z limited to the range of float32."""
    np.exp(np.minimum(np.negative(z, out=a), 80, out=a), out=a)
    return np.divide(1, np.add(a, 1, out=a), out=a)


def _selu(z: Array, a: Array) -> None:
    np.expm1(np.minimum(z, 0, out=a), out=a)
    a *= SELU_ALPHA
    np.copyto(a, z, where=z > 0)
    a *= SELU_SCALE


def _selu_slope(z: Array, a: Array, s: Array) -> None:
    np.add(a, SELU_SCALE * SELU_ALPHA, out=s)
    np.copyto(s, SELU_SCALE, where=z >= 0)


def _silu_slope(z: Array, a: Array, s: Array) -> None:
    """Write s = sigmoid(z) (1 + z - a), with sigmoid(z) = a / z."""
    np.subtract(z, a, out=s)
    s += 1
    s *= a
    np.divide(s, z, out=s, where=z != 0)
    np.copyto(s, 0.5, where=z == 0)


def _hard_silu_slope(z: Array, a: Array, s: Array) -> None:
    np.divide(z, 3, out=s)
    s += 0.5
    np.copyto(s, 0, where=z <= -3)
    np.copyto(s, 1, where=z >= 3)


def _gelu(z: Array, a: Array) -> None:
    """Write a = z erfc(-z / sqrt 2) / 2, with Python's erfc for each element, because NumPy has none."""
    np.copyto(a, np.frompyfunc(erfc, 1, 1)(z / -sqrt(2)), casting="unsafe")
    a *= z
    a /= 2


def _gelu_slope(z: Array, a: Array, s: Array) -> None:
    """Write s = Phi(z) + z phi(z): the normal distribution function, which is a / z, and z times the density."""
    share = np.divide(a, z, out=np.full_like(a, 0.5), where=z != 0)
    np.multiply(z / sqrt(2 * pi), np.exp(z * z / -2), out=s)
    s += share


def _mish_slope(z: Array, a: Array, s: Array) -> None:
    """Write s = t + z (1 - t^2) sigmoid(z), with t = tanh(log(1 + e^z))."""
    t = np.tanh(np.logaddexp(z, 0))
    _sigmoid(z, s)
    s *= z * (1 - t * t)
    s += t


FUNCTIONS = {
    # z; 1
    "linear": Function(lambda z, a: np.copyto(a, z), lambda z, a, s: s.fill(1)),
    # max(z, 0); 1 where z > 0, else 0
    "relu": Function(lambda z, a: np.maximum(z, 0, out=a), lambda z, a, s: np.sign(a, out=s), (0,)),
    # max(z, z / 5); 1 where z > 0, else 1 / 5
    "leaky_relu": Function(
        lambda z, a: np.maximum(np.multiply(z, 0.2, out=a), z, out=a),
        lambda z, a, s: np.maximum(np.heaviside(z, 0, out=s), 0.2, out=s),
        (0,),
    ),
    # min(max(z, 0), 6); 1 between the two, else 0
    "relu6": Function(
        lambda z, a: np.clip(z, 0, 6, out=a),
        lambda z, a, s: np.sign(np.multiply(np.subtract(6, a, out=s), a, out=s), out=s),
        (0, 6),
    ),
    # z where z > 0, else e^z - 1; min(a, 0) + 1
    "elu": Function(
        lambda z, a: np.maximum(np.expm1(np.minimum(z, 0, out=a), out=a), z, out=a),
        lambda z, a, s: np.add(np.minimum(a, 0, out=s), 1, out=s),
        (0,),
    ),
    # e^z; a
    "exponential": Function(lambda z, a: np.exp(z, out=a), lambda z, a, s: np.copyto(s, a)),
    # 1 / (1 + e^-z); a (1 - a)
    "sigmoid": Function(
        _sigmoid,
        lambda z, a, s: np.multiply(np.subtract(1, a, out=s), a, out=s),
    ),
    # min(max(z / 6 + 1 / 2, 0), 1); 1 / 6 between the two, else 0
    "hard_sigmoid": Function(
        lambda z, a: np.clip(np.divide(np.add(z, 3, out=a), 6, out=a), 0, 1, out=a),
        lambda z, a, s: np.divide(np.sign(np.multiply(np.subtract(1, a, out=s), a, out=s), out=s), 6, out=s),
        (-3, 3),
    ),
    # tanh z; 1 - a^2
    "tanh": Function(
        lambda z, a: np.tanh(z, out=a),
        lambda z, a, s: np.subtract(1, np.square(a, out=s), out=s),
    ),
    # min(max(z, -1), 1); 1 between the two, else 0
    "hard_tanh": Function(
        lambda z, a: np.clip(z, -1, 1, out=a),
        lambda z, a, s: np.sign(np.subtract(1, np.square(a, out=s), out=s), out=s),
        (-1, 1),
    ),
    # log(1 + e^z); 1 - e^-a
    "softplus": Function(
        lambda z, a: np.logaddexp(z, 0, out=a),
        lambda z, a, s: np.negative(np.expm1(np.negative(a, out=s), out=s), out=s),
    ),
    # z / (1 + |z|); (1 - |a|)^2
    "softsign": Function(
        lambda z, a: np.divide(z, np.add(np.abs(z, out=a), 1, out=a), out=a),
        lambda z, a, s: np.square(np.subtract(1, np.abs(a, out=s), out=s), out=s),
        (0,),
    ),
    # min(max(z / 2 + 1 / 2, 0), 1); 1 / 2 between the two, else 0
    "sparse_sigmoid": Function(
        lambda z, a: np.clip(np.divide(np.add(z, 1, out=a), 2, out=a), 0, 1, out=a),
        lambda z, a, s: np.divide(np.sign(np.multiply(np.subtract(1, a, out=s), a, out=s), out=s), 2, out=s),
        (-1, 1),
    ),
    # log of the sigmoid; 1 - e^a
    "log_sigmoid": Function(
        lambda z, a: np.negative(np.logaddexp(np.negative(z, out=a), 0, out=a), out=a),
        lambda z, a, s: np.negative(np.expm1(a, out=s), out=s),
    ),
    # (z + sqrt(z^2 + 4)) / 2; a / (2 a - z)
    "squareplus": Function(
        lambda z, a: np.divide(np.add(np.sqrt(np.add(np.square(z, out=a), 4, out=a), out=a), z, out=a), 2, out=a),
        lambda z, a, s: np.divide(a, np.subtract(np.multiply(a, 2, out=s), z, out=s), out=s),
    ),
    # 0 up to -1, z from 1, (z + 1)^2 / 4 in between; (z + 1) / 2 there
    "sparse_plus": Function(
        lambda z, a: np.maximum(
            np.divide(np.square(np.clip(np.add(z, 1, out=a), 0, 2, out=a), out=a), 4, out=a), z, out=a
        ),
        lambda z, a, s: np.clip(np.divide(np.add(z, 1, out=s), 2, out=s), 0, 1, out=s),
        (-1, 1),
    ),
    # SELU_SCALE z where z > 0, else SELU_SCALE SELU_ALPHA (e^z - 1)
    "selu": Function(_selu, _selu_slope, (0,)),
    # z sigmoid(z)
    "silu": Function(lambda z, a: np.multiply(_sigmoid(z, a), z, out=a), _silu_slope),
    # z hard_sigmoid(z); z / 3 + 1 / 2 where that is neither 0 nor 1
    "hard_silu": Function(
        lambda z, a: np.multiply(np.clip(np.divide(np.add(z, 3, out=a), 6, out=a), 0, 1, out=a), z, out=a),
        _hard_silu_slope,
        (-3, 3),
    ),
    # z erfc(-z / sqrt 2) / 2
    "gelu": Function(_gelu, _gelu_slope),
    # z tanh(log(1 + e^z))
    "mish": Function(
        lambda z, a: np.multiply(np.tanh(np.logaddexp(z, 0, out=a), out=a), z, out=a),
        _mish_slope,
    ),
    # z where |z| > SHRINK_THRESHOLD, else 0; 1 and 0
    "hard_shrink": Function(
        lambda z, a: np.multiply(z, np.abs(z, out=a) > SHRINK_THRESHOLD, out=a),
        lambda z, a, s: np.abs(np.sign(a, out=s), out=s),
        (-SHRINK_THRESHOLD, SHRINK_THRESHOLD),
    ),
    # z less SHRINK_THRESHOLD towards 0; 1 where that is not 0, else 0
    "soft_shrink": Function(
        lambda z, a: np.subtract(z, np.clip(z, -SHRINK_THRESHOLD, SHRINK_THRESHOLD, out=a), out=a),
        lambda z, a, s: np.abs(np.sign(a, out=s), out=s),
        (-SHRINK_THRESHOLD, SHRINK_THRESHOLD),
    ),
    # z - tanh z; tanh^2 z
    "tanh_shrink": Function(
        lambda z, a: np.subtract(z, np.tanh(z, out=a), out=a),
        lambda z, a, s: np.square(np.subtract(z, a, out=s), out=s),
    ),
}
FUNCTIONS |= {"celu": FUNCTIONS["elu"], "swish": FUNCTIONS["silu"], "hard_swish": FUNCTIONS["hard_silu"]}
