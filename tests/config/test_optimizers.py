"""Test every optimizer: arguments against the installed Keras, training against `fit`, saving and resuming."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.config import loading, optimizers
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras.epoch import Evaluation
from tests.config.stock_keras import (
    assert_trains_as_stock_keras,
    built,
    by_name,
    config,
    defaults,
    fit,
    problems,
    trainer,
)

OPTIMIZERS = by_name(optimizers.AnyOptimizer)


# Arguments


def test_every_optimizer_of_the_installed_keras_is_offered() -> None:
    theirs = {name for name, one in vars(keras.optimizers).items() if inspect.isclass(one)}
    wrappers = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    assert {one.__name__ for one in OPTIMIZERS.values()} == theirs - wrappers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_the_arguments_and_defaults_of_keras(name: str) -> None:
    section = OPTIMIZERS[name]
    assert name == section.__name__.lower()
    ours = {key: field.default for key, field in section.model_fields.items() if key != "name"}
    theirs = defaults(inspect.signature(getattr(keras.optimizers, section.__name__)))
    for key in ("name", "kwargs", "loss_scale_factor"):  # the last is for float16
        del theirs[key]
    if name == "muon":
        del theirs["exclude_embeddings"]  # our networks have none
        theirs["exclude_layers"] = ("output",)  # as Keras advises, although its default is none
    assert ours == theirs


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"name": "sgd", "clipnorm": 1, "clipvalue": 1, "global_clipnorm": 1},
         ["clipvalue: cannot be combined with clipnorm: choose one way of clipping",
          "global_clipnorm: cannot be combined with clipnorm: choose one way of clipping"]),
        ({"name": "sgd", "clipnorm": 0}, ["clipnorm: must be greater than 0, got 0"]),
        ({"name": "sgd", "ema_overwrite_frequency": 5}, ["ema_overwrite_frequency: has no effect without use_ema"]),
        ({"name": "sgd", "gradient_accumulation_steps": 1}, ["gradient_accumulation_steps: must be at least 2, got 1"]),
        ({"name": "adamw", "weight_decay": None}, ["weight_decay: must be a number, got nothing"]),
        ({"name": "lion", "beta_1": 0}, ["beta_1: must be greater than 0, got 0"]),
        ({"name": "muon", "exclude_layers": ["(a+)+$"]},
         ["exclude_layers[0]: must match the pattern ^[a-z0-9_/]+$, got '(a+)+$'"]),
    ],
)  # fmt: skip
def test_impossible_arguments_are_reported(optimizer: Any, expected: list[str]) -> None:
    assert problems(optimizer) == [f"optimizer.{line}" for line in expected]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_argument_is_passed_to_keras(name: str) -> None:
    """Each is set to a value other than its default; numbers stay near the default, to remain in range."""
    defaults = {key: value for key, value in loading.parse(f"optimizer: {name}", "test").optimizer if key != "name"}
    tried = 0
    for key, default in defaults.items():
        if not isinstance(default, bool | float):
            continue
        value = not default if isinstance(default, bool) else default * (1.1 if default >= 1 else 0.9) + 1e-4
        optimizer = built(config({"name": name, key: value})).optimizer
        found = float(optimizer.learning_rate) if key == "learning_rate" else optimizer.get_config()[key]
        assert found == pytest.approx(value), key
        tried += 1
    assert tried >= 3


# Training and resuming


LIVELY = {"adadelta": 1.0, "ftrl": 0.05, "adagrad": 0.05}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_trains_as_stock_keras_and_resumes_from_a_file(name: str, few: Split, tmp_path: Path) -> None:
    settings, atol = config({"name": name, "learning_rate": LIVELY.get(name, 0.003)}), 1e-3 if name == "muon" else 2e-4
    network = assert_trains_as_stock_keras(settings, few, tmp_path, atol=atol)
    fast = built(settings)
    compiled = trainer(fast, few, jit_compile=True)
    compiled.run(0)
    compiled.run(1)
    assert compiled.compiled
    for one, other in zip(network.get_weights(), fast.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=atol)


MOMENTUM = {"name": "sgd", "learning_rate": 0.2, "momentum": 0.9}


@pytest.fixture(scope="module")
def plain(few: Split) -> keras.Sequential:
    """Return a network after two epochs with momentum and no other option."""
    network = built(config(MOMENTUM))
    compiled = trainer(network, few)
    compiled.run(0)
    compiled.run(1)
    return network


EVERYTHING = {"weight_decay": 0.1, "clipnorm": 0.5, "use_ema": True, "gradient_accumulation_steps": 3}


@pytest.mark.parametrize(
    "options",
    [
        {"weight_decay": 0.5},
        {"clipnorm": 0.1},
        {"clipvalue": 0.001},
        {"global_clipnorm": 0.1},
        {"gradient_accumulation_steps": 3},  # ten batches an epoch: the tenth waits for the next epoch
        {"use_ema": True, "ema_momentum": 0.9},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 7},
        EVERYTHING,
    ],
    ids="+".join,
)
def test_a_common_option_trains_as_in_stock_keras_and_resumes_from_a_file(
    options: dict[str, Any], few: Split, plain: keras.Sequential, tmp_path: Path
) -> None:
    network = assert_trains_as_stock_keras(config(MOMENTUM | options), few, tmp_path)
    assert not np.allclose(plain.layers[1].kernel, network.layers[1].kernel, atol=1e-3)


def test_with_use_ema_the_averages_are_evaluated_and_saved(few: Split, tmp_path: Path) -> None:
    settings = config({"name": "sgd", "learning_rate": 0.2, "use_ema": True, "ema_momentum": 0.9})
    network, theirs = built(settings), built(settings)
    trainer(network, few).run(0)
    fit(theirs, few)
    figures = Evaluation(network, few.images, few.labels).run()
    loss, accuracy = theirs.evaluate(few.images.astype("float32") / 255, few.labels, verbose=0)
    assert figures == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-4)
    plain = built(config({"name": "sgd", "learning_rate": 0.2}))
    trainer(plain, few).run(0)
    network.save(tmp_path / "averaged.keras")
    stock = keras.models.load_model(tmp_path / "averaged.keras")
    # The file holds the weights from which training continues in place of the averages.
    kept = stock.optimizer._model_variables_moving_average
    for mine, raw, weight in zip(plain.trainable_variables, kept, stock.trainable_variables, strict=True):
        np.testing.assert_allclose(raw, mine, rtol=1e-3, atol=2e-5)
        assert not np.allclose(raw, weight, rtol=1e-3, atol=1e-4)


def test_muon_trains_excluded_layers_by_adamw() -> None:
    names = ("dense_1", "dense_2", "output")

    def steps(**arguments: Any) -> list[bool]:
        optimizer = built(config({"name": "muon", **arguments}, "model: {layers: [8, 8]}")).optimizer
        network = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(3, name=name) for name in names)])
        optimizer.build(network.trainable_variables)
        return [velocity is not None for velocity in optimizer.adam_velocities]

    assert steps() == [False, True, False, True, True, True]  # kernel and bias of each layer
    assert steps(exclude_layers=["dense_1", "output"]) == [True, True, False, True, True, True]
    assert steps(exclude_layers=[]) == [False, True, False, True, False, True]
