"""Every optimizer and schedule: held against the installed Keras, trained beside `fit`, saved and gone on with."""

import inspect
import json
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.config import loading, optimizers, schedules
from dnn_cli.config.schema import Config
from dnn_cli.config.section import Section
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.keras.epoch import CompiledEpoch, Evaluation
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.errors import ConfigError
from tests.conftest import assert_same_bits

BATCH = 50  # ten steps an epoch of `few`


def members(union: Any) -> list[type[Section]]:
    """The classes of an annotated union, however deep."""
    return [union] if isinstance(union, type) else [member for part in get_args(union) for member in members(part)]


OPTIMIZERS: dict[str, Any] = {
    get_args(one.model_fields["name"].annotation)[0]: one for one in members(optimizers.Optimizer)
}
SCHEDULES: dict[str, Any] = {
    get_args(one.model_fields["name"].annotation)[0]: one for one in members(schedules.AnySchedule)
}


def config(optimizer: Any, more: str = "model: {layers: [{units: 12, activation: tanh}]}") -> Config:
    return loading.parse(f"optimizer: {json.dumps(optimizer)}\n{more}", "test")


def built(settings: Config, steps_per_epoch: int = 10) -> keras.Sequential:
    return build.build(network_spec(settings, (28, 28), 10), settings, steps_per_epoch)


def trainer(network: keras.Sequential, few: Split) -> CompiledEpoch:
    return CompiledEpoch(network, few.images, few.labels, batch_size=BATCH, seed=7)


def fit(network: keras.Sequential, few: Split, epochs: int = 1) -> None:
    """Stock Keras on the batches that the compiled epochs draw, all in one `fit`."""
    order = np.concatenate([seeds.order(len(few.labels), 7, number) for number in range(epochs)])
    images = few.images.astype("float32") / 255
    network.fit(images[order], few.labels[order], batch_size=BATCH, shuffle=False, verbose=0)


def assert_trains_as_stock_keras(settings: Config, few: Split, folder: Path, atol: float = 2e-5) -> keras.Sequential:
    """Two epochs agree with stock Keras, and the second is the same bit for bit after saving and loading the first."""
    ours, theirs = built(settings), built(settings)
    before = ours.get_weights()
    compiled = trainer(ours, few)
    compiled.run(0)
    ours.save(folder / "one.keras")
    compiled.run(1)
    ours.save(folder / "straight.keras")

    if settings.optimizer.name == "schedulefreeadamw":
        # Left to build it inside its graph, `fit` loses that this optimizer starts from the initial weights.
        theirs.optimizer.build(theirs.trainable_variables)
    fit(theirs, few, 2)
    for old, mine, stock in zip(before, ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-3, atol=atol)
        assert (old != mine).any()
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)

    again = build.load(folder / "one.keras")
    trainer(again, few).run(1)
    again.save(folder / "resumed.keras")
    assert_same_bits(folder / "straight.keras", folder / "resumed.keras")
    return ours


def problems(optimizer: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(optimizer)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


# The registry


def defaults(signature: inspect.Signature) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def test_every_optimizer_of_the_installed_keras_is_offered() -> None:
    theirs = {name for name, one in vars(keras.optimizers).items() if inspect.isclass(one)}
    wrappers = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    assert {one.__name__ for one in OPTIMIZERS.values()} == theirs - wrappers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_has_keras_arguments_and_defaults(name: str) -> None:
    section = OPTIMIZERS[name]
    assert name == section.__name__.lower()
    ours = {key: field.default for key, field in section.model_fields.items() if key != "name"}
    theirs = defaults(inspect.signature(getattr(keras.optimizers, section.__name__)))
    for key in ("name", "kwargs", "loss_scale_factor"):  # the last is for float16
        del theirs[key]
    if name == "muon":
        del theirs["exclude_embeddings"]  # there are none
        theirs["exclude_layers"] = ("output",)  # as Keras advises, though its default is none
    assert ours == theirs


def test_every_schedule_of_the_installed_keras_is_offered() -> None:
    theirs = {name for name, one in vars(keras.optimizers.schedules).items() if inspect.isclass(one)}
    assert {one.__name__ for one in SCHEDULES.values()} - {"LinearWarmup"} == theirs - {"LearningRateSchedule"}


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"linear_warmup"}))
def test_a_schedule_has_keras_arguments_and_defaults(name: str) -> None:
    section = SCHEDULES[name]
    theirs = defaults(inspect.signature(getattr(keras.optimizers.schedules, section.__name__)))
    del theirs["name"]
    for steps, epochs in section.LENGTHS:  # required in one form or the other
        theirs |= {steps: None, epochs: None}
    theirs |= {epochs: None for _, epochs in section.OPTIONAL_LENGTHS}
    empty = inspect.Parameter.empty
    fields = {key: empty if field.is_required() else field.default for key, field in section.model_fields.items()}
    assert fields == {"name": empty} | theirs


# What is refused


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"name": "sgd", "clipnorm": 1, "clipvalue": 1, "global_clipnorm": 1},
         ["clipvalue: goes without clipnorm: at most one way of clipping",
          "global_clipnorm: goes without clipnorm: at most one way of clipping"]),
        ({"name": "sgd", "clipnorm": 0}, ["clipnorm: must be greater than 0, got 0"]),
        ({"name": "sgd", "ema_overwrite_frequency": 5}, ["ema_overwrite_frequency: does nothing without use_ema"]),
        ({"name": "sgd", "gradient_accumulation_steps": 1}, ["gradient_accumulation_steps: must be at least 2, got 1"]),
        ({"name": "adamw", "weight_decay": None}, ["weight_decay: must be a number, got nothing"]),
        ({"name": "lion", "beta_1": 0}, ["beta_1: must be greater than 0, got 0"]),
        ({"name": "muon", "exclude_layers": ["(a+)+$"]},
         ["exclude_layers[0]: String should match pattern '^[a-z0-9_/]+$', got '(a+)+$'"]),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_named(optimizer: Any, expected: list[str]) -> None:
    assert problems(optimizer) == [f"optimizer.{line}" for line in expected]


START = {"initial_learning_rate": 0.1}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"name": "cosine_decay", **START}, [": needs decay_steps or decay_epochs, and not both"]),
        ({"name": "polynomial_decay", **START, "decay_steps": 3, "decay_epochs": 3},
         [": needs decay_steps or decay_epochs, and not both"]),
        ({"name": "exponential_decay", **START, "decay_rate": 0.5, "decay_epochs": 0},
         [".decay_epochs: must be greater than 0, got 0"]),
        ({"name": "linear_warmup", "warmup_target": 1},
         [": needs warmup_steps or warmup_epochs, and not both"]),
        ({"name": "cosine_decay", **START, "decay_steps": 1, "warmup_target": 1, "warmup_steps": 1, "warmup_epochs": 1},
         [": needs warmup_steps or warmup_epochs, and not both"]),
        ({"name": "cosine_decay", **START, "decay_steps": 1, "warmup_epochs": 1},
         [": warmup_target goes together with warmup_steps or warmup_epochs"]),
        ({"name": "piecewise_constant_decay", "boundaries": [5, 5], "values": [1, 2]},
         [".boundaries: must increase", ".values: must be one more than boundaries: 3, got 2"]),
        ({"name": "piecewise_constant_decay", "boundaries": [], "values": [1, 2]},
         [".boundaries: must have at least 1 entries, got 0"]),
    ],
)  # fmt: skip
def test_schedules_that_make_no_sense_are_named(rate: Any, expected: list[str]) -> None:
    found = problems({"name": "sgd", "learning_rate": rate})
    assert sorted(found) == sorted(f"optimizer.learning_rate{line}" for line in expected)


# Beside stock Keras, and after a file

LIVELY = {"adadelta": 1.0, "ftrl": 0.05, "adagrad": 0.05}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_trains_as_stock_keras_and_goes_on_from_its_file(name: str, few: Split, tmp_path: Path) -> None:
    settings = config({"name": name, "learning_rate": LIVELY.get(name, 0.003)})
    assert_trains_as_stock_keras(settings, few, tmp_path, atol=1e-3 if name == "muon" else 2e-4)


MOMENTUM = {"name": "sgd", "learning_rate": 0.2, "momentum": 0.9}


@pytest.fixture(scope="module")
def plain(few: Split) -> keras.Sequential:
    """What two epochs of momentum give with no other option."""
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
def test_a_common_option_does_what_it_does_in_stock_keras_and_survives_a_file(
    options: dict[str, Any], few: Split, plain: keras.Sequential, tmp_path: Path
) -> None:
    network = assert_trains_as_stock_keras(config(MOMENTUM | options), few, tmp_path)
    assert not np.allclose(plain.layers[1].kernel, network.layers[1].kernel, atol=1e-3)


def test_the_averages_are_what_is_judged_and_saved(few: Split, tmp_path: Path) -> None:
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
    # The weights that training goes on from are in the averages' place.
    kept = stock.optimizer._model_variables_moving_average
    for mine, raw, weight in zip(plain.trainable_variables, kept, stock.trainable_variables, strict=True):
        np.testing.assert_allclose(raw, mine, rtol=1e-3, atol=2e-5)
        assert not np.allclose(raw, weight, rtol=1e-3, atol=1e-4)


def test_muon_leaves_the_output_layer_to_adamw() -> None:
    names = ("dense_1", "dense_2", "output")

    def steps(**arguments: Any) -> list[bool]:
        optimizer = built(config({"name": "muon", **arguments}, "model: {layers: [8, 8]}")).optimizer
        network = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(3, name=name) for name in names)])
        optimizer.build(network.trainable_variables)
        return [velocity is not None for velocity in optimizer.adam_velocities]

    assert steps() == [False, True, False, True, True, True]  # kernel and bias of each layer
    assert steps(exclude_layers=["dense_1", "output"]) == [True, True, False, True, True, True]
    assert steps(exclude_layers=[]) == [False, True, False, True, False, True]


# Schedules

RATES: dict[str, dict[str, Any]] = {
    "exponential_decay": {**START, "decay_rate": 0.5, "staircase": True},
    "inverse_time_decay": {**START, "decay_rate": 0.5},
    "polynomial_decay": {**START, "end_learning_rate": 0.01, "power": 2.0, "cycle": True},
    "piecewise_constant_decay": {"values": [0.1, 0.05, 0.01]},
    "cosine_decay": {"initial_learning_rate": 0.01, "alpha": 0.1, "warmup_target": 0.1},
    "cosine_decay_restarts": {**START, "t_mul": 1.5, "m_mul": 0.5, "alpha": 0.1},
    "linear_warmup": {"warmup_target": 0.1, "initial_learning_rate": 0.01},
}
IN_STEPS: dict[str, dict[str, Any]] = {
    "piecewise_constant_decay": {"boundaries": [4, 14]},
    "cosine_decay": {"decay_steps": 12, "warmup_steps": 5},
    "cosine_decay_restarts": {"first_decay_steps": 6},
    "linear_warmup": {"warmup_steps": 12},
}
IN_EPOCHS: dict[str, dict[str, Any]] = {
    "piecewise_constant_decay": {"boundary_epochs": [0.5, 1.5]},
    "cosine_decay": {"decay_epochs": 1.2, "warmup_epochs": 0.5},
    "cosine_decay_restarts": {"first_decay_epochs": 0.6},
    "linear_warmup": {"warmup_epochs": 1.2},
}


def rates_of(settings: Config) -> list[float]:
    schedule = built(settings).optimizer._learning_rate
    return [float(schedule(step)) for step in range(40)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_the_same_in_steps_in_epochs_in_stock_keras_and_after_a_file(
    name: str, few: Split, tmp_path: Path
) -> None:
    steps = {"name": name, **RATES[name], **IN_STEPS.get(name, {"decay_steps": 12})}
    epochs = {"name": name, **RATES[name], **IN_EPOCHS.get(name, {"decay_epochs": 1.2})}
    in_steps = config({"name": "sgd", "learning_rate": steps})
    in_epochs = config({"name": "sgd", "learning_rate": epochs})
    rates = rates_of(in_epochs)
    assert rates == rates_of(in_steps)
    if name != "linear_warmup":
        kind = getattr(keras.optimizers.schedules, SCHEDULES[name].__name__)
        stock = kind(**{key: value for key, value in steps.items() if key != "name"})
        assert rates == [float(stock(step)) for step in range(40)]
    assert len(set(rates)) > 2
    assert_trains_as_stock_keras(in_epochs, few, tmp_path)
    loaded = keras.models.load_model(tmp_path / "straight.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(rates[20], rel=1e-6)
    assert int(loaded.optimizer.iterations) == 20


def test_a_warm_up_rises_to_its_target_and_stays() -> None:
    rate = {"name": "linear_warmup", "warmup_target": 0.5, "warmup_epochs": 2}
    rates = rates_of(config({"name": "adam", "learning_rate": rate}))
    assert rates[:20] == pytest.approx([0.5 * step / 20 for step in range(20)])
    assert set(rates[20:]) == {0.5}


def test_a_boundary_in_epochs_is_where_an_epoch_begins() -> None:
    rate = {"name": "piecewise_constant_decay", "boundary_epochs": [1, 3], "values": [0.3, 0.2, 0.1]}
    rates = rates_of(config({"name": "adam", "learning_rate": rate}))
    assert rates == pytest.approx([0.3] * 10 + [0.2] * 20 + [0.1] * 10)


def test_a_length_in_epochs_needs_to_know_how_long_one_is() -> None:
    settings = config({"name": "adam", "learning_rate": {"name": "cosine_decay", **START, "decay_epochs": 3}})
    with pytest.raises(ValueError, match="decay_epochs needs the number of steps in an epoch"):
        build.build(network_spec(settings, (28, 28), 10), settings)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_argument_that_is_set_arrives_in_keras(name: str) -> None:
    """Each is set by itself to another value than its default, numbers close to it so as to stay in their ranges."""
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
