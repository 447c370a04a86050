"""Compare activations and their slopes with Keras, automatic differentiation and finite differences."""

from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from dnn_cli.config.schema import Activation
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.typing import Array

EDGES = [-1e4, -700.0, -90.0, -7.0, -3.5, -1.1, -0.4, -1e-9, 1e-9, 0.3, 0.9, 2.7, 5.9, 6.1, 80.0]


def value_and_slope_in_keras(name: str, z: Array) -> tuple[Array, Array]:
    """Return the values of Keras's activation at z (n,), and its derivatives."""
    with tf.GradientTape() as tape:
        points = tf.constant(z)
        tape.watch(points)
        values = keras.activations.get(name)(points)
    return values.numpy(), tape.gradient(values, points).numpy()


def test_all_activations_of_a_config_are_supported() -> None:
    assert FUNCTIONS.keys() == set(get_args(Activation))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:overflow")  # e^80 squared, in exponential
def test_value_and_slope_equal_those_of_keras(name: str, dtype: type[np.floating]) -> None:
    z = np.array(EDGES, dtype)
    if name == "exponential":
        z = np.clip(z, -50, 50)
    if name == "selu":
        z = z[z != np.array(-1e-9, dtype)]  # so close to the kink TensorFlow returns the slope of the other side
    a, s = np.empty((2, len(z)), dtype)
    FUNCTIONS[name].value(z, a)
    FUNCTIONS[name].slope(z, a, s)
    values, slopes = value_and_slope_in_keras(name, z)
    tolerance = 1e-6 if dtype == np.float32 else 2e-8  # the 0.2 of leaky_relu is always float32 in TensorFlow
    np.testing.assert_allclose(a, values, rtol=tolerance, atol=2e-9)  # TensorFlow's elu is inexact near 0
    np.testing.assert_allclose(s, slopes, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_slope_agrees_with_finite_differences_except_at_kinks(name: str) -> None:
    function, step = FUNCTIONS[name], 1e-5
    z = np.linspace(-7.03, 7.01, 400)
    kinks = np.array(function.kinks, float).reshape(-1, 1)
    z = z[(np.abs(z - kinks) > step).all(axis=0)]
    high, low, a, s = np.empty((4, len(z)))
    for shifted, result in ((z + step, high), (z - step, low), (z, a)):
        function.value(shifted, result)
    function.slope(z, a, s)
    np.testing.assert_allclose(s, (high - low) / (2 * step), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "slope"), [("relu", 0), ("leaky_relu", 0.2), ("relu6", 0), ("elu", 1), ("softsign", 1)]
)
def test_the_slope_at_zero_equals_that_of_keras(name: str, slope: float) -> None:
    z = np.zeros(1)
    a, s = np.empty((2, 1))
    FUNCTIONS[name].value(z, a)
    FUNCTIONS[name].slope(z, a, s)
    _, slopes = value_and_slope_in_keras(name, z)
    assert [s[0], slopes[0]] == pytest.approx([slope, slope])
