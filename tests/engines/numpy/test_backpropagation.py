"""Test the page on backpropagation: its output is the command's, and the chapter's errata are errors indeed."""

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import build
from dnn_cli.engines.numpy import network as numpy_network
from dnn_cli.engines.numpy.network import Dense, Network, SquaredError
from dnn_cli.engines.numpy.optimizers import SGD
from dnn_cli.typing import Array
from dnn_cli.verification.gradcheck import difference
from tests.conftest import ROOT, Answer

PAGE = (ROOT / "docs" / "explanation" / "backpropagation.md").read_text(encoding="utf-8")


def test_the_page_shows_the_output_of_the_command(dnn: Callable[..., Answer]) -> None:
    blocks = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    answer = dnn("trace", "-c", "tiny")
    assert answer.code == 0
    assert "\n\n".join(blocks) + "\n" == answer.stdout


def test_the_commands_on_the_page_run(dnn: Callable[..., Answer]) -> None:
    commands = set(re.findall(r"`dnn (trace [^`]+)`", PAGE)) - {"trace --set optimizer=adam"}
    assert len(commands) == 2
    for command in commands:
        assert dnn(*command.split()).code == 0


def test_every_erratum_has_a_test() -> None:
    table = PAGE[PAGE.index("| in the chapter |") :].splitlines()[2:]
    assert len(table) == len([name for name in globals() if name.startswith("test_erratum_")])


# A single sigmoid layer on the digits, as the output layer of the chapter


def learned(few: Split, gradient: Callable[[Array, Array, Array], Array], labels: Array) -> tuple[float, Array]:
    """Return the accuracy after 200 steps of gradient descent with `gradient(x, y, t)`, and the weights."""
    x, t = build.rows_of(few.images, np.float64), np.eye(10)[labels]
    layer = Dense(10, "sigmoid", use_bias=False)
    network = Network([layer], 784, SquaredError(), rows=len(x), dtype=np.float64)
    sgd = SGD(2.0)
    sgd.build(network.parameters)
    for _ in range(200):
        y = network.forward(x, training=True)
        network.backward(t)
        layer.weights.gradient[:] = gradient(x, y, t)
        sgd.step(network.parameters, network.gradients)
    return float((network.forward(x).argmax(axis=1) == labels).mean()), layer.weights.value.copy()


def test_erratum_the_printed_output_gradient_learns_nothing(few: Split) -> None:
    def printed(x: Array, y: Array, t: Array) -> Array:
        product: Array = x.T @ (y * (1 - y)) * (2 / t.size)
        return product

    def right(x: Array, y: Array, t: Array) -> Array:
        product: Array = x.T @ ((y - t) * y * (1 - y)) * (2 / t.size)
        return product

    shuffled = np.random.default_rng(0).permutation(few.labels)
    assert learned(few, right, few.labels)[0] > 0.85
    accuracy, weights = learned(few, printed, few.labels)
    assert accuracy < 0.3
    assert weights.tobytes() == learned(few, printed, shuffled)[1].tobytes()
    assert learned(few, right, shuffled)[0] < 0.6  # memorization of random labels


def test_erratum_the_printed_hidden_gradient_is_not_a_derivative() -> None:
    hidden, output = Dense(6, "sigmoid"), Dense(4, "linear")
    network = Network([hidden, output], 5, rows=7, dtype=np.float64)
    random = np.random.default_rng(1)
    network.parameters[:] = random.normal(size=network.parameters.shape)
    x, t = random.normal(size=(7, 5)), np.eye(4)[random.integers(0, 4, 7)]
    network.forward(x, training=True)
    network.backward(t)
    slope = hidden.activation.a * (1 - hidden.activation.a)
    printed = x.T @ ((output.delta @ output.weights.gradient.T) * slope)
    right = x.T @ ((output.delta @ output.weights.value.T) * slope)
    differences = np.array([difference(network, x, t, index) for index in range(30)], float).reshape(5, 6)
    np.testing.assert_allclose(right, differences, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(hidden.weights.gradient, right)
    assert np.abs(printed - differences).max() > 0.5 * np.abs(differences).max()


def test_erratum_layers_without_activations_are_one_affine_map() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(9, 5))

    def layers(activation: str) -> list[Dense]:
        return [Dense(8, activation), Dense(8, activation), Dense(3, "linear")]

    def nonlinearity(activation: str) -> float:
        """Return the distance of f(x) + f(-x) from 2 f(0), which is 0 for an affine map."""
        network = Network(layers(activation), 5, SquaredError(), rows=9, dtype=np.float64)
        network.parameters[:] = np.random.default_rng(3).normal(size=network.parameters.shape)
        there, back, zero = (network.forward(each).copy() for each in (x, -x, 0 * x))
        return float(np.abs(there + back - 2 * zero).max())

    assert nonlinearity("linear") < 1e-12
    assert nonlinearity("relu") > 0.1
    assert nonlinearity("sigmoid") > 0.1


def test_erratum_a_loop_to_the_last_layer_has_no_next_layer() -> None:
    layers = [Dense(4), Dense(3), Dense(2, "linear")]
    with pytest.raises(IndexError):
        [(layers[index], layers[index + 1]) for index in range(len(layers))]
    network = Network(layers, 5)
    assert [each.weights.shape for each in layers] == [(5, 4), (4, 3), (3, 2)]
    assert network.forward(np.ones((1, 5), np.float32)).shape == (1, 2)


def test_erratum_the_second_of_two_methods_with_one_name_wins() -> None:
    class Twice:
        def backward(self) -> str:
            return "first"

        def backward(self) -> str:  # type: ignore[no-redef]  # noqa: F811
            return "second"

    assert Twice().backward() == "second"
    classes = [node for node in ast.walk(ast.parse(inspect.getsource(numpy_network))) if isinstance(node, ast.ClassDef)]
    for one in classes:
        names = [method.name for method in one.body if isinstance(method, ast.FunctionDef)]
        assert len(names) == len(set(names))
    assert sum("backward" in {getattr(node, "name", "") for node in one.body} for one in classes) == 4


def test_erratum_a_missing_method_cannot_be_called() -> None:
    class Printed:
        def backward(self) -> Any:
            return self.calculate_gradient()  # type: ignore[attr-defined]

    with pytest.raises(AttributeError):
        Printed().backward()
    network = Network([Dense(4), Dense(3), Dense(2, "linear")], 5, rows=2)
    network.parameters[:] = np.random.default_rng(4).normal(size=network.parameters.shape)
    network.gradients.fill(np.nan)
    network.forward(np.ones((2, 5), np.float32), training=True)
    network.backward(np.eye(2, dtype=np.float32))
    assert np.isfinite(network.gradients).all()


def test_erratum_every_layer_is_updated() -> None:
    layers = [Dense(6, "tanh"), Dense(5, "tanh"), Dense(4, "linear")]
    network = Network(layers, 3, rows=2)
    network.parameters[:] = np.random.default_rng(5).normal(size=network.parameters.shape)
    before = [parameter.value.copy() for parameter in network.trained]
    sgd = SGD(0.1)
    sgd.build(network.parameters)
    network.forward(np.eye(2, 3, dtype=np.float32), training=True)
    network.backward(np.eye(2, 4, dtype=np.float32))
    sgd.step(network.parameters, network.gradients)
    moved = [(parameter.value != old).any() for parameter, old in zip(network.trained, before, strict=True)]
    assert moved == [True] * 6
