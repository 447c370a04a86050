"""Activations and their derivatives in plain NumPy, in place, by Keras's names and as Keras defines them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Function(NamedTuple):
    """An activation f, element by element over arrays of one shape.

    Attributes:
        value: ``value(z, a)`` writes a = f(z).
        slope: ``slope(z, a, s)`` writes s = f'(z), which a often tells more simply than z.
        kinks: where f' or f'' jumps, so that a difference across it says nothing; f' is then one of the two slopes.
    """

    value: Callable[..., Any]
    slope: Callable[..., Any]
    kinks: tuple[float, ...] = ()


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
    # 1 / (1 + e^-z), where e^-z is not let grow beyond what float32 can hold; a (1 - a)
    "sigmoid": Function(
        lambda z, a: np.divide(1, np.add(np.exp(np.minimum(np.negative(z, out=a), 80, out=a), out=a), 1, out=a), out=a),
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
}
