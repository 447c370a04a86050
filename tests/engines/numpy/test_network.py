"""Test the NumPy network: by hand, against finite differences, against stock Keras, and its memory use."""

import tracemalloc
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.engines.numpy.network import Activation, CrossEntropy, Dense, Layer, Network, SquaredError
from dnn_cli.engines.numpy.optimizers import Adam
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.verification.gradcheck import difference

IN_PLACE = FUNCTIONS.keys() - {"gelu", "mish"}  # the slopes of these two need temporary arrays


def randomize(network: Network, seed: int = 0) -> np.random.Generator:
    """Set every parameter to a random value."""
    random = np.random.default_rng(seed)
    network.parameters[:] = random.normal(0, 0.7, network.parameters.shape)
    return random


def test_one_step_agrees_with_a_computation_by_hand() -> None:
    hidden, output = Dense(2, "relu"), Dense(2, "linear")
    network = Network([hidden, output], 2, rows=1, dtype=np.float64)
    hidden.weights.value[:] = [[1, -1], [2, 1]]
    hidden.bias.value[:] = [0.5, 0]
    output.weights.value[:] = [[1, 0], [3, 1]]
    p = network.forward(np.array([[1.0, 0.25]]), training=True)
    # z[1] = [1 + 0.5 + 0.5, -1 + 0.25]: the second neuron is inactive, so z[2] = [2, 0].
    np.testing.assert_allclose(hidden.z, [[2, -0.75]])
    np.testing.assert_allclose(output.x, [[2, 0]])
    np.testing.assert_allclose(output.z, [[2, 0]])
    high = np.exp(2) / (np.exp(2) + 1)
    np.testing.assert_allclose(p, [[high, 1 - high]])
    targets = np.array([[0.0, 1.0]])
    assert network.cost(targets) == pytest.approx(-np.log(1 - high))
    network.backward(targets)
    # delta[2] = p - t; delta[1] = delta[2] @ W[2].T where z[1] > 0.
    np.testing.assert_allclose(output.delta, [[high, -high]])
    np.testing.assert_allclose(output.weights.gradient, [[2 * high, -2 * high], [0, 0]])
    np.testing.assert_allclose(output.bias.gradient, [high, -high])
    np.testing.assert_allclose(hidden.delta, [[high, 0]])
    np.testing.assert_allclose(hidden.weights.gradient, [[high, 0], [high / 4, 0]])
    np.testing.assert_allclose(hidden.bias.gradient, [high, 0])


def test_the_squared_error_of_a_sigmoid_agrees_with_a_computation_by_hand() -> None:
    layer = Dense(1, "sigmoid")
    network = Network([layer], 1, SquaredError(), rows=2, dtype=np.float64)
    layer.weights.value[:] = 2
    x, targets = np.array([[0.0], [1.0]]), np.array([[1.0], [0.0]])
    a = network.forward(x, training=True).copy()
    network.backward(targets)
    np.testing.assert_allclose(a, [[0.5], [1 / (1 + np.exp(-2))]])
    assert network.cost(targets) == pytest.approx((0.25 + a[1, 0] ** 2) / 2)
    np.testing.assert_allclose(layer.delta, 2 * (a - targets) * a * (1 - a) / 2)


def test_penalties_agree_with_a_computation_by_hand() -> None:
    layer = Dense(2, "linear", l1=0.1, l2=0.01)
    network = Network([layer], 2, rows=1, dtype=np.float64)
    layer.weights.value[:] = [[1, -2], [0, 4]]
    network.forward(np.zeros((1, 2)), training=True)
    targets = np.array([[0.5, 0.5]])
    assert network.cost(targets) == pytest.approx(np.log(2) + 0.1 * 7 + 0.01 * 21)
    network.backward(targets)
    np.testing.assert_allclose(layer.weights.gradient, [[0.1 + 0.02, -0.1 - 0.04], [0, 0.1 + 0.08]])
    assert (layer.bias.gradient == 0).all()


LAYERS = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.sampled_from(sorted(FUNCTIONS)),
        st.booleans(),
        st.booleans(),
        st.sampled_from([0.0, 0.1]),
        st.sampled_from([0.0, 0.05]),
    ),
    max_size=4,
)


@given(LAYERS, st.booleans(), st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**16))
@settings(max_examples=150, derandomize=True)
def test_backpropagation_agrees_with_finite_differences(
    blocks: list[Any], squared: bool, rows: int, classes: int, seed: int
) -> None:
    layers: list[Layer] = []
    for units, activation, use_bias, normalized, l1, l2 in blocks:
        name = "linear" if normalized else activation
        layers.append(Dense(units, name, use_bias=use_bias, l1=l1, l2=l2))
        layers += [BatchNormalization(), Activation(activation)] if normalized else []
    layers.append(Dense(classes, "sigmoid" if squared else "linear"))
    loss = SquaredError() if squared else CrossEntropy()
    network = Network(layers, 3, loss, rows=rows, dtype=np.float64)
    random = randomize(network, seed)
    x, targets = random.normal(size=(rows, 3)), random.dirichlet(np.ones(classes), rows)
    network.forward(x, training=True)
    network.backward(targets)
    exact = network.gradients.copy()
    compared = 0
    for index in random.permutation(len(exact))[:12]:
        estimate = difference(network, x, targets, index)
        if estimate is not None:
            compared += 1
            assert exact[index] == pytest.approx(estimate, rel=1e-4, abs=1e-5 * max(1, np.abs(exact).max()))
    assert compared


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_cost_and_gradients_of_a_batch_are_the_means_over_its_rows(activation: str, depth: int) -> None:
    network = Network([*(Dense(4, activation) for _ in range(depth)), Dense(3, "linear")], 5, rows=9, dtype=np.float64)
    random = randomize(network)
    x, targets = random.normal(size=(9, 5)), np.eye(3)[random.integers(0, 3, 9)]
    gradients, costs = [], []
    for row in range(9):
        network.forward(x[row : row + 1], training=True)
        network.backward(targets[row : row + 1])
        gradients.append(network.gradients.copy())
        costs.append(network.cost(targets[row : row + 1]))
    network.forward(x, training=True)
    network.backward(targets)
    np.testing.assert_allclose(network.gradients, np.mean(gradients, axis=0), rtol=1e-10, atol=1e-15)
    assert network.cost(targets) == pytest.approx(np.mean(costs))


def test_the_losses_equal_those_of_keras() -> None:
    random = np.random.default_rng(3)
    z, t = random.normal(0, 5, (6, 4)).astype("float32"), np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
    smooth = t * 0.9 + 0.1 / 4
    for targets in (t, smooth):
        loss = CrossEntropy()
        loss.build(4, 6, np.float32)
        np.testing.assert_allclose(loss.forward(z), keras.ops.softmax(z), rtol=1e-5, atol=1e-7)
        theirs = keras.losses.CategoricalCrossentropy(from_logits=True)(targets, z)
        assert loss.value(targets) == pytest.approx(float(theirs), rel=1e-6)
    squared = SquaredError()
    squared.build(4, 6, np.float32)
    squared.forward(z)
    assert squared.value(t) == pytest.approx(float(keras.losses.MeanSquaredError()(t, z)), rel=1e-6)


def test_extreme_logits_give_a_finite_loss() -> None:
    loss = CrossEntropy()
    loss.build(2, 1, np.float32)
    p = loss.forward(np.array([[1000, -1000]], np.float32))
    assert p.tolist() == [[1, 0]]
    wrong = np.array([[0, 1]], np.float32)
    assert loss.value(wrong) == 2000
    assert loss.error(wrong).tolist() == [[1, -1]]


def test_a_smaller_batch_uses_the_same_arrays() -> None:
    network = Network([Dense(4), BatchNormalization(), Activation("tanh"), Dense(3, "linear")], 5, rows=8)
    alone = Network([Dense(4), BatchNormalization(), Activation("tanh"), Dense(3, "linear")], 5, rows=3)
    random = randomize(network)
    alone.parameters[:] = network.parameters
    x, targets = random.normal(size=(8, 5)).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 2] * 2 + [0, 1]]
    network.forward(x)
    network.backward(targets)
    for one in (network, alone):
        one.forward(x[:3], training=True)
        one.backward(targets[:3])
    np.testing.assert_allclose(network.gradients, alone.gradients, rtol=1e-5, atol=1e-7)


def test_a_step_allocates_no_memory_that_grows_with_the_network() -> None:
    layers = [Dropout(0.1), Dense(256, l1=1e-4, l2=1e-4), BatchNormalization(), *map(Activation, sorted(IN_PLACE))]
    network = Network([*layers, Dropout(0.2), Dense(10, "linear")], 784, rows=64)
    random = randomize(network)
    network.parameters *= 0.01
    x, targets = random.random((64, 784), np.float32), np.eye(10, dtype=np.float32)[random.integers(0, 10, 64)]
    optimizer = Adam(weight_decay=0.1)
    optimizer.build(network.parameters)

    def step() -> None:
        network.forward(x, training=True)
        network.cost(targets)
        network.backward(targets)
        optimizer.step(network.parameters, network.gradients)

    step()
    tracemalloc.start()
    for _ in range(3):
        step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # NumPy converts in buffers of at most 8192 numbers, for arrays of any size.
    assert peak < 64 * 256 * 4
    assert np.isfinite(network.parameters).all()


def test_the_network_learns_digits(few: Split) -> None:
    network = Network([Dense(32), Dense(10, "linear")], 784)
    random = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, Dense):
            layer.weights.value[:] = random.normal(0, 0.05, layer.weights.shape)
    optimizer = Adam(0.003)
    optimizer.build(network.parameters)
    x, targets = few.images.reshape(-1, 784) / np.float32(255), np.eye(10, dtype=np.float32)[few.labels]
    for _ in range(12):
        order = random.permutation(len(x))
        for start in range(0, len(x), 32):
            batch = order[start : start + 32]
            network.forward(x[batch], training=True)
            network.backward(targets[batch])
            optimizer.step(network.parameters, network.gradients)
    predictions = [network.forward(x[start : start + 32]).argmax(axis=1) for start in range(0, 500, 32)]
    assert (np.concatenate(predictions) == few.labels).mean() > 0.97


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_the_gradients_equal_those_of_tensorflow(activation: str) -> None:
    network = Network([Dense(7, activation), Dense(6, "tanh"), Dense(3, "linear")], 5, rows=4, dtype=np.float64)
    random = randomize(network)
    x, targets = random.normal(size=(4, 5)), np.eye(3)[[0, 2, 1, 0]]
    network.forward(x, training=True)
    network.backward(targets)
    values = [tf.Variable(each.value) for each in network.trained]
    with tf.GradientTape() as tape:
        a = tf.constant(x)
        for index, name in enumerate((activation, "tanh", "linear")):
            a = keras.activations.get(name)(a @ values[2 * index] + values[2 * index + 1])
        cost = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, a))
    assert network.cost(targets) == pytest.approx(float(cost))
    for each, theirs in zip(network.trained, tape.gradient(cost, values), strict=True):
        np.testing.assert_allclose(each.gradient, theirs.numpy(), rtol=1e-10, atol=1e-15)
