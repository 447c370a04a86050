"""Compare each step of the optimizers with the installed Keras, and with computations by hand."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.engines.numpy.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop

CASES: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {}),
    (SGD, {"learning_rate": 0.3, "weight_decay": 0.01}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {"nesterov": True}),  # which is plain SGD in Keras
    (RMSprop, {}),
    (RMSprop, {"rho": 0.5, "epsilon": 0.3, "momentum": 0.7, "weight_decay": 0.02}),
    (Adam, {}),
    (Adam, {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.2, "learning_rate": 0.1}),
    (Adam, {"weight_decay": 0.1}),
    (AdamW, {}),
    (AdamW, {"weight_decay": 0.1, "learning_rate": 0.05}),
]


# Keras rounds its constants to float32 even in float64; these constants are exact in float32.
DYADIC: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (SGD, {"learning_rate": 2**-4, "weight_decay": 2**-6}),
    (SGD, {"learning_rate": 2**-4, "momentum": 0.875}),
    (SGD, {"learning_rate": 2**-4, "momentum": 0.875, "nesterov": True}),
    (RMSprop, {"learning_rate": 2**-4, "rho": 0.75, "epsilon": 2**-9}),
    (RMSprop, {"learning_rate": 2**-4, "rho": 0.75, "epsilon": 2**-9, "momentum": 0.5, "weight_decay": 2**-6}),
    (Adam, {"learning_rate": 2**-4, "beta_1": 0.875, "beta_2": 1 - 2**-9, "epsilon": 2**-9}),
    (AdamW, {"learning_rate": 2**-4, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 2**-20, "weight_decay": 2**-3}),
]


@pytest.fixture
def in_float64() -> Iterator[None]:
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


def compare(kind: type[Optimizer], arguments: dict[str, Any], dtype: Any, tolerance: float) -> None:
    random = np.random.default_rng(1)
    w = random.normal(size=50).astype(dtype)
    variable = keras.Variable(w, dtype=dtype.__name__)
    ours, theirs = kind(**arguments), getattr(keras.optimizers, kind.__name__)(**arguments)
    ours.build(w)
    theirs.build([variable])
    for _ in range(100):
        g = (random.normal(size=50) * 10.0 ** random.integers(-6, 2, 50)).astype(dtype)
        g[:5] = 0  # as for pixels that are always 0
        theirs.apply([keras.ops.convert_to_tensor(g)])
        ours.step(w, g)
        np.testing.assert_allclose(w, variable.numpy(), rtol=tolerance, atol=tolerance)
    assert ours.iterations == int(theirs.iterations)
    for row, slot in zip(ours.slots, theirs.variables[2:], strict=True):
        np.testing.assert_allclose(row, slot.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("kind", "arguments"), CASES)
def test_each_step_equals_that_of_keras(kind: type[Optimizer], arguments: dict[str, Any]) -> None:
    compare(kind, arguments, np.float32, 3e-6)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(("kind", "arguments"), DYADIC)
def test_each_step_equals_that_of_keras_in_float64(kind: type[Optimizer], arguments: dict[str, Any]) -> None:
    compare(kind, arguments, np.float64, 1e-12)


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
def test_the_defaults_equal_those_of_keras(kind: Callable[[], Optimizer]) -> None:
    ours, theirs = vars(kind()), getattr(keras.optimizers, type(kind()).__name__)().get_config()
    for name, value in ours.items():
        if name not in ("iterations", "names"):
            assert value == pytest.approx(theirs[name]), name


def test_the_first_step_of_adam_agrees_with_a_computation_by_hand() -> None:
    # m = 0.1 g and v = 0.001 g^2; alpha m / sqrt(v) is eta whatever g is, but for epsilon.
    w, g = np.zeros(3), np.array([2.0, -0.5, 0.0])
    adam = Adam(learning_rate=0.01)
    adam.build(w)
    adam.step(w, g)
    np.testing.assert_allclose(w, [-0.01, 0.01, 0], rtol=1e-5)
    np.testing.assert_allclose(adam.slots, [[0.2, -0.05, 0], [0.004, 0.00025, 0]])


def test_two_steps_of_momentum_agree_with_a_computation_by_hand() -> None:
    plain, nesterov = np.ones(1), np.ones(1)
    for w, sgd in ((plain, SGD(0.1, momentum=0.5)), (nesterov, SGD(0.1, momentum=0.5, nesterov=True))):
        sgd.build(w)
        for _ in range(2):
            sgd.step(w, np.ones(1))
    # m: -0.1, then -0.15. Plain moves by m, Nesterov's by half of m and the step: -0.15, then -0.175.
    np.testing.assert_allclose([plain[0], nesterov[0]], [1 - 0.1 - 0.15, 1 - 0.15 - 0.175])
