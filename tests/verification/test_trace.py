"""Test `dnn trace`: the numbers of a training step agree with their formulas, and invalid requests are rejected."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.data.datasets import Split
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build
from dnn_cli.verification import trace
from tests.conftest import Answer

Dnn = Callable[..., Answer]


def numbers(dnn: Dnn, *options: object) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the JSON of the command, and its quantities by name; those after the step have a prime: ``W[1]'``."""
    answer = dnn("trace", "-c", "tiny", "--json", *options)
    assert answer.code == 0, answer.stderr
    found = json.loads(answer.stdout)
    quantities = {each["name"]: np.array(each["values"]) for part in ("forward", "backward") for each in found[part]}
    return found, quantities | {f"{each['name']}'": np.array(each["values"]) for each in found["update"]}


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


def test_the_numbers_agree_with_the_formulas(dnn: Dnn) -> None:
    found, q = numbers(dnn)
    close(q["z[1]"], q["a[0]"] @ q["W[1]"] + q["b[1]"])
    close(q["a[1]"], np.maximum(q["z[1]"], 0))
    close(q["z[2]"], q["a[1]"] @ q["W[2]"] + q["b[2]"])
    close(q["a[2]"], 1 / (1 + np.exp(-q["z[2]"])))
    close(q["z[3]"], q["a[2]"] @ q["W[3]"] + q["b[3]"])
    close(q["p"], np.exp(q["z[3]"]) / np.exp(q["z[3]"]).sum(axis=1, keepdims=True))
    assert q["t"].argmax(axis=1).tolist() == found["labels"]
    close(q["E"], -(q["t"] * np.log(q["p"])).sum() / 2)
    close(q["delta[3]"], (q["p"] - q["t"]) / 2)
    close(q["dE/da[2]"], q["delta[3]"] @ q["W[3]"].T)
    close(q["delta[2]"], q["dE/da[2]"] * q["a[2]"] * (1 - q["a[2]"]))
    close(q["dE/da[1]"], q["delta[2]"] @ q["W[2]"].T)
    close(q["delta[1]"], q["dE/da[1]"] * (q["z[1]"] > 0))
    for number in (1, 2, 3):
        close(q[f"dE/dW[{number}]"], q[f"a[{number - 1}]"].T @ q[f"delta[{number}]"])
        close(q[f"dE/db[{number}]"], q[f"delta[{number}]"].sum(axis=0))
        for name in (f"W[{number}]", f"b[{number}]"):
            close(q[f"{name}'"], q[name] - 0.5 * q[f"dE/d{name}"])
    assert q["E'"] < q["E"]
    assert found["widths"] == [784, 4, 3, 10]
    assert found["rule"] == "w = w - 0.5 * g"


def test_the_trace_is_the_first_step_of_a_training(dnn: Dnn, sample: Split) -> None:
    found, q = numbers(dnn)
    settings = loading.load("tiny")
    assert found["images"] == seeds.order(4000, 0, 0)[:2].tolist()
    assert found["labels"] == sample.labels[found["images"]].tolist()
    network = build.build(network_spec(settings, (28, 28), 10), rows=2)
    assert (q["W[1]"] == network.trained[0].value).all()


def test_normalization_dropout_and_penalties_have_formulas(dnn: Dnn) -> None:
    layers = "[{units: 6, batch_normalization: true, activation: tanh, dropout: 0.5, l1: 0.01, l2: 0.1}]"
    settings = (f"model={{input_dropout: 0.2, layers: {layers}}}", "optimizer=adam", "training.batch_size=5")
    found, q = numbers(dnn, *(part for each in settings for part in ("--set", each)))
    close(q["r[0]"], q["a[0]"] * q["factor[0]"])
    close(np.unique(q["factor[0]"]), [0, 1.25])
    close(q["z[1]"], q["r[0]"] @ q["W[1]"] + q["b[1]"])
    close(q["h[1]"], (q["z[1]"] - q["z[1]"].mean(axis=0)) / np.sqrt(q["z[1]"].var(axis=0) + 0.001))
    close(q["y[1]"], q["gamma[1]"] * q["h[1]"] + q["beta[1]"])
    close(q["r[1]"], np.tanh(q["y[1]"]) * q["factor[1]"])
    loss = -(q["t"] * np.log(q["p"])).sum() / 5
    close(q["E"], loss + 0.01 * np.abs(q["W[1]"]).sum() + 0.1 * (q["W[1]"] ** 2).sum())
    close(q["dE/da[1]"], q["dE/dr[1]"] * q["factor[1]"])
    close(q["dE/dy[1]"], q["dE/da[1]"] * (1 - q["a[1]"] ** 2))
    close(q["dE/dgamma[1]"], (q["dE/dy[1]"] * q["h[1]"]).sum(axis=0))
    mean = (q["dE/dbeta[1]"] + q["dE/dgamma[1]"] * q["h[1]"]) / 5
    close(q["dE/dz[1]"], q["gamma[1]"] / np.sqrt(q["z[1]"].var(axis=0) + 0.001) * (q["dE/dy[1]"] - mean))
    close(q["dE/dW[1]"], q["r[0]"].T @ q["delta[1]"] + 0.01 * np.sign(q["W[1]"]) + 0.2 * q["W[1]"])
    assert q["E'"] < q["E"]
    assert {each["formula"] for each in found["backward"]} >= {
        "r[0].T @ delta[1] + 0.01 sign(W[1]) + 0.2 W[1]",
        "dE/dr[1] * factor[1]",
        "dE/da[1] * tanh'(y[1])",
        "gamma[1] / sqrt(variance + 0.001) * (dE/dy[1] - (dE/dbeta[1] + dE/dgamma[1] * h[1]) / n)",
    }
    assert found["forward"][-1]["formula"] == "-sum(t * log(p)) / n + 0.01 sum(|W[1]|) + 0.1 sum(W[1]^2)"


MEANS = "m = m + 0.1 * (g - m); v = v + 0.001 * (g^2 - v)"


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        ("{name: sgd, learning_rate: 0.2, weight_decay: 0.1}", "w = w - 0.2 * 0.1 * w; then w = w - 0.2 * g"),
        ("{name: sgd, momentum: 0.9}", "m = 0.9 * m - 0.01 * g; w = w + m"),
        ("{name: sgd, momentum: 0.9, nesterov: true}", "m = 0.9 * m - 0.01 * g; w = w + 0.9 * m - 0.01 * g"),
        ("rmsprop", "v = 0.9 * v + 0.1 * g^2; w = w - 0.001 * g / sqrt(v + 1e-07)"),
        (
            "{name: rmsprop, momentum: 0.5}",
            "v = 0.9 * v + 0.1 * g^2; m = 0.5 * m + 0.001 * g / sqrt(v + 1e-07); w = w - m",
        ),
        ("adam", f"{MEANS}; w = w - 0.001 * sqrt(1 - 0.999^1) / (1 - 0.9^1) * m / (sqrt(v) + 1e-07)"),
    ],
)
def test_the_rule_of_the_optimizer_gives_the_update(dnn: Dnn, optimizer: str, rule: str) -> None:
    found, q = numbers(dnn, "--set", f"optimizer={optimizer}")
    assert found["rule"] == rule
    for name in ("W[1]", "b[2]", "W[3]"):
        values = {"w": q[name], "g": q[f"dE/d{name}"], "m": 0.0, "v": 0.0, "sqrt": np.sqrt}
        exec(rule.replace("then ", "").replace("^", "**").replace("; ", "\n"), values)
        close(values["w"], q[f"{name}'"])


def test_the_targets_of_smoothed_labels(dnn: Dnn) -> None:
    found, q = numbers(dnn, "--set", "training.label_smoothing=0.1")
    assert found["forward"][-2]["formula"] == "0.9 for the label, else 0; and 0.1 / 10 each"
    close(np.unique(q["t"]), [0.01, 0.91])


def test_large_arrays_are_abbreviated(dnn: Dnn) -> None:
    answer = dnn("trace", "-c", "small", "--set", "data.dataset=mnist-sample", "--index", 0)
    assert answer.code == 0
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("images 0, 1, 2, 3, … and 63 of mnist-sample, labels ")
    assert max(map(len, lines)) < 130
    assert len(lines) < 260
    first = next(index for index, line in enumerate(lines) if line.startswith("z[1]"))
    assert lines[first] == "z[1] = a[0] @ W[1] + b[1]   64×128"
    assert lines[first + 1].endswith(" …")
    assert lines[first + 5].strip() == "…"


def test_the_index_selects_the_images(dnn: Dnn) -> None:
    assert numbers(dnn, "--index", 7)[0]["images"] == [7, 8]
    assert numbers(dnn, "--index", 3999)[0]["images"] == [3999]
    assert dnn("trace", "-c", "tiny", "--index", 3999).stdout.startswith("images 3999 of mnist-sample, labels ")
    answer = dnn("trace", "-c", "tiny", "--index", 4000)
    assert (answer.code, answer.stderr) == (
        2,
        "error: --index 4000: there are 4,000 training images, from 0 to 3999\n",
    )
    assert dnn("trace", "-c", "tiny", "--index", -1).code == 2


def test_all_unsupported_settings_are_reported_at_once(dnn: Dnn) -> None:
    answer = dnn("trace", "-c", "tiny", "--set", "optimizer=lamb", "--set", "model.layers[0].initializer=orthogonal")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr == (
        "error: model.layers[0].initializer: the NumPy engine does not support orthogonal\n"
        "optimizer.name: the NumPy engine does not support lamb (supported: sgd, rmsprop, adam, adamw)\n"
    )


def test_an_optimizer_without_a_rule_raises_value_error() -> None:
    from dnn_cli.engines.numpy.optimizers import Optimizer

    with pytest.raises(ValueError, match="Optimizer has no rule"):
        trace._rule(Optimizer(0.1))


def test_a_trace_imports_no_tensorflow(process: Dnn) -> None:
    answer = process("trace", "-c", "tiny", PYTHONPROFILEIMPORTTIME="1")
    assert answer.code == 0
    loaded = {line.split("|")[-1].strip() for line in answer.stderr.splitlines() if line.startswith("import time:")}
    assert "dnn_cli.engines.numpy.network" in loaded
    assert not {name for name in loaded if name.split(".")[0] in ("tensorflow", "keras", "matplotlib", "h5py")}
