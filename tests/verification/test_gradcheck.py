"""Test `dnn gradcheck`: three gradients agree for a grid of networks, and errors are found; two engines train alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build as numpy_build
from dnn_cli.engines.numpy.activations import FUNCTIONS, Function
from dnn_cli.engines.numpy.network import CrossEntropy, Dense, Network
from dnn_cli.verification import gradcheck
from tests.conftest import Answer

Dnn = Callable[..., Answer]

ACTIVATIONS = sorted(FUNCTIONS)
GRID = [
    "[]",
    "[{units: 8, batch_normalization: true, use_bias: false}, {units: 5, batch_normalization: {epsilon: 0.1}}]",
    "[{units: 8, l1: 0.01}, {units: 6, activation: tanh, l2: 0.02, use_bias: false}]",
    "[8, {units: 7, activation: sigmoid, l1: 0.001, l2: 0.03, batch_normalization: true}, 6, {units: 5, dropout: 0.5}]",
    *(f"[{{units: 8, activation: {one}}}, {{units: 6, activation: {other}}}]" for one, other in zip(
        ACTIVATIONS[::2], [*ACTIVATIONS[1::2], "relu"], strict=True
    )),
]  # fmt: skip


def check(dnn: Dnn, layers: str, *options: str) -> tuple[Answer, Any]:
    settings = ("--set", f"model.layers={layers}", "--set", "training.batch_size=8", *options)
    answer = dnn("gradcheck", "-c", "smoke", "--json", "--samples", 20, *settings)
    return answer, json.loads(answer.stdout) if answer.stdout else None


@pytest.mark.parametrize("layers", GRID)
def test_the_three_gradients_agree(dnn: Dnn, layers: str) -> None:
    answer, found = check(dnn, layers)
    assert answer.code == 0, answer
    assert found["largest"] < 1e-6
    assert found["images"] == 8
    for layer in found["layers"]:
        assert layer["output"] < 1e-7  # Keras keeps penalties and the slope 0.2 of leaky_relu in float32
        for gradient in layer["gradients"]:
            assert gradient["sampled"] + gradient["skipped"] == min(20, np.prod(gradient["shape"]))
            assert gradient["sampled"] > gradient["skipped"]
            assert gradient["numpy_keras"] < 1e-7


def test_the_gradients_agree_with_smoothed_labels(dnn: Dnn) -> None:
    plain, smooth = check(dnn, "[8]"), check(dnn, "[8]", "--set", "training.label_smoothing=0.2")
    assert plain[1]["largest"] < 1e-6 > smooth[1]["largest"]
    assert plain[1]["loss"] != smooth[1]["loss"]


def test_keras_creates_float32_again_afterwards(dnn: Dnn) -> None:
    check(dnn, "[4]")
    settings = loading.parse("model: {layers: [4]}", "test")
    network = build.build(network_spec(settings, (28, 28), 10), settings)
    assert {weight.dtype for weight in network.weights} == {"float32"}


def test_the_table_shows_errors_and_notes(dnn: Dnn) -> None:
    options = ("--set", "model.layers=[{units: 4, batch_normalization: true, dropout: 0.1}]", "--samples", 7)
    answer = dnn("gradcheck", "-c", "smoke", *options)
    lines = answer.stdout.splitlines()
    assert lines[0].split("  ")[0] == "layer"
    assert [line.split()[0] for line in lines[1:8]] == [
        "dense_1", "bias", "batch_normalization_1", "beta", "activation_1", "output", "bias"
    ]  # fmt: skip
    assert lines[1].split()[2:4] == ["kernel", "784×4"]
    assert lines[9] == "data           mnist-sample, 32 training images"
    assert lines[10].startswith("loss           2.")
    assert lines[11].endswith(", tolerance 1e-06")
    assert lines[12:] == ["note: dropout is left out, because the engines draw different random numbers"]


def test_an_error_above_the_tolerance_fails(dnn: Dnn) -> None:
    answer = dnn("gradcheck", "-c", "smoke", "--tolerance", 1e-15)
    assert answer.code == 3
    assert answer.stdout.startswith("layer")
    assert answer.stderr.startswith("error: the largest relative error, ")
    assert answer.stderr.endswith(", is above --tolerance 1e-15\n")


def test_a_wrong_derivative_in_numpy_is_found(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Function(FUNCTIONS["tanh"].value, lambda z, a, s: np.subtract(1, a, out=s))
    monkeypatch.setitem(FUNCTIONS, "tanh", wrong)
    answer, found = check(dnn, "[{units: 8, activation: tanh}]")
    assert answer.code == 3
    kernel = found["layers"][0]["gradients"][0]
    assert kernel["numpy_keras"] > 1e-3 < kernel["numpy_difference"]
    assert kernel["keras_difference"] < 1e-6
    assert all(each["numpy_keras"] < 1e-6 for each in found["layers"][1]["gradients"])


def test_a_loss_that_is_not_a_number_fails(dnn: Dnn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossEntropy, "value", lambda *_: float("nan"))
    answer, found = check(dnn, "[4]")
    assert answer.code == 3
    assert answer.stderr == "error: the largest relative error, inf, is above --tolerance 1e-06\n"
    assert found["largest"] == float("inf")


def test_a_difference_across_a_kink_of_an_activation_is_skipped() -> None:
    network = Network([Dense(1, "relu"), Dense(2, "linear")], 1, rows=1, dtype=np.float64)
    network.parameters[:] = [1, 1e-6, 1, 2, 0, 0]
    x, targets = np.zeros((1, 1)), np.array([[1.0, 0.0]])
    network.forward(x, training=True)
    network.backward(targets)
    # z = 1e-6: a step of -1e-5 makes z negative, one of -1e-7 does not.
    assert gradcheck.difference(network, x, targets, 1) is None
    assert gradcheck.difference(network, x, targets, 1, 1e-7) == pytest.approx(network.gradients[1], rel=1e-4)
    assert gradcheck.difference(network, x, targets, 2) == pytest.approx(network.gradients[2], abs=1e-9)
    assert network.parameters.tolist() == [1, 1e-6, 1, 2, 0, 0]


def test_a_difference_across_the_kink_of_a_penalty_is_skipped() -> None:
    network = Network([Dense(2, "linear", l1=0.1)], 1, rows=1, dtype=np.float64)
    network.parameters[:2] = [1e-6, 0.5]
    x, targets = np.ones((1, 1)), np.array([[1.0, 0.0]])
    assert gradcheck.difference(network, x, targets, 0) is None
    assert gradcheck.difference(network, x, targets, 1) is not None


def test_the_optimizer_does_not_matter(dnn: Dnn) -> None:
    assert check(dnn, "[4]", "--set", "optimizer=lion")[0].code == 0


def test_a_missing_config_is_rejected(dnn: Dnn) -> None:
    answer = dnn("gradcheck")
    assert answer.code == 2
    assert "Missing option '-c'" in answer.stderr


@pytest.mark.parametrize(
    "text",
    [
        "model: {layers: [{units: 24}, {units: 16, activation: tanh}]}\noptimizer: {name: sgd, learning_rate: 0.1}",
        "model: {layers: [{units: 24, l2: 0.001}]}\noptimizer: {name: sgd, momentum: 0.9, nesterov: true}",
        "model: {layers: [{units: 24, batch_normalization: true, use_bias: false}]}\n"
        "optimizer: {name: rmsprop, momentum: 0.5}",
        "model: {layers: [{units: 24, activation: softplus}]}\noptimizer: {name: adam, learning_rate: 0.003}\n"
        "training: {label_smoothing: 0.1}",
        "model: {layers: [{units: 24, l1: 0.0001}]}\noptimizer: {name: adamw, weight_decay: 0.05}",
    ],
)
def test_both_engines_have_the_same_weights_after_200_steps(sample: Split, text: str) -> None:
    settings = loading.parse(text, "test")
    spec = network_spec(settings, (28, 28), 10)
    theirs, ours = build.build(spec, settings), numpy_build.build(spec, rows=20)
    for parameter, weight in zip(ours.trained, theirs.trainable_variables, strict=True):
        assert parameter.value.tobytes() == weight.numpy().tobytes()
    optimizer = numpy_build.optimizer(settings.optimizer)
    optimizer.build(ours.parameters)
    order = seeds.order(len(sample.labels), 0, 0)
    smoothing = settings.training.label_smoothing
    x, targets = numpy_build.rows_of(sample.images), numpy_build.targets(sample.labels, 10, smoothing)
    wanted = np.eye(10)[sample.labels[order]] if smoothing else sample.labels[order]
    theirs.fit(x[order].reshape(-1, 28, 28), wanted, batch_size=20, shuffle=False, verbose=0)
    for batch in order.reshape(200, 20):
        ours.forward(x[batch], training=True)
        ours.backward(targets[batch])
        optimizer.step(ours.parameters, ours.gradients)
    assert optimizer.iterations == 200
    for parameter, weight in zip(ours.trained, theirs.trainable_variables, strict=True):
        moved = np.abs(weight.numpy()).max()
        np.testing.assert_allclose(parameter.value, weight.numpy(), atol=1e-3 * moved)


def test_no_run_is_created(dnn: Dnn) -> None:
    check(dnn, "[4]")
    assert not Path("runs").exists()
