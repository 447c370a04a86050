"""Test every learning-rate schedule: its arguments, and its rates against the installed Keras, saved and resumed."""

import inspect
import json
from pathlib import Path
from typing import Any

import jsonschema
import keras
import pytest

from dnn_cli.config import loading, schedules
from dnn_cli.config.schema import Config, json_schema
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import network_spec
from tests.config import helpers
from tests.config.helpers import parse
from tests.config.stock_keras import assert_trains_as_stock_keras, built, by_name, config, defaults, problems

SCHEDULES = by_name(schedules.AnySchedule)


# Arguments


def test_every_schedule_of_the_installed_keras_is_supported() -> None:
    theirs = {name for name, one in vars(keras.optimizers.schedules).items() if inspect.isclass(one)}
    assert {one.__name__ for one in SCHEDULES.values()} - {"LinearWarmup"} == theirs - {"LearningRateSchedule"}


@pytest.mark.parametrize("name", sorted(SCHEDULES.keys() - {"linear_warmup"}))
def test_a_schedule_has_the_arguments_and_defaults_of_keras(name: str) -> None:
    section = SCHEDULES[name]
    theirs = defaults(inspect.signature(getattr(keras.optimizers.schedules, section.__name__)))
    del theirs["name"]
    for steps, epochs in section.LENGTHS:  # required in one form or the other
        theirs |= {steps: None, epochs: None}
    theirs |= {epochs: None for _, epochs in section.OPTIONAL_LENGTHS}
    empty = inspect.Parameter.empty
    fields = {key: empty if field.is_required() else field.default for key, field in section.model_fields.items()}
    assert fields == {"name": empty} | theirs


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "exponential_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9},
        {"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.9},
        {"name": "polynomial_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "power": 2, "cycle": True},
        {"name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 100, "alpha": 0.1},
        {"name": "cosine_decay", "initial_learning_rate": 0, "decay_steps": 9, "warmup_target": 0.1, "warmup_steps": 5},
    ],
)
def test_a_schedule_is_read_and_its_problems_have_their_paths(arguments: dict[str, Any]) -> None:
    read = parse(f"optimizer: {{name: adam, learning_rate: {json.dumps(arguments)}}}").optimizer.learning_rate
    assert {key: getattr(read, key) for key in arguments} == arguments
    wrong = {**arguments, "decay_steps": 0, "decay_stps": 5}
    text = f"optimizer:\n  name: adam\n  learning_rate: {json.dumps(wrong)}"
    steps, key = helpers.problems(text)
    assert steps.endswith(" optimizer.learning_rate.decay_steps: must be at least 1, got 0")
    assert key.endswith(" optimizer.learning_rate.decay_stps: unknown key (did you mean 'decay_steps'?)")
    assert helpers.problems("optimizer: {name: adam, learning_rate: {name: cosine_decay, decay_steps: 5}}") == [
        "a.yaml:1:40 optimizer.learning_rate.initial_learning_rate: is required"
    ]


START = {"initial_learning_rate": 0.1}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"name": "cosine_decay", **START}, [": needs either decay_steps or decay_epochs, not both"]),
        ({"name": "polynomial_decay", **START, "decay_steps": 3, "decay_epochs": 3},
         [": needs either decay_steps or decay_epochs, not both"]),
        ({"name": "exponential_decay", **START, "decay_rate": 0.5, "decay_epochs": 0},
         [".decay_epochs: must be greater than 0, got 0"]),
        ({"name": "linear_warmup", "warmup_target": 1},
         [": needs either warmup_steps or warmup_epochs, not both"]),
        ({"name": "cosine_decay", **START, "decay_steps": 1, "warmup_target": 1, "warmup_steps": 1, "warmup_epochs": 1},
         [": needs either warmup_steps or warmup_epochs, not both"]),
        ({"name": "cosine_decay", **START, "decay_steps": 1, "warmup_epochs": 1},
         [": a warm-up needs warmup_target, and warmup_steps or warmup_epochs"]),
        ({"name": "piecewise_constant_decay", "boundaries": [5, 5], "values": [1, 2]},
         [".boundaries: must increase", ".values: must be one more than boundaries: 3, got 2"]),
        ({"name": "piecewise_constant_decay", "boundaries": [], "values": [1, 2]},
         [".boundaries: must have at least 1 entry, got 0"]),
    ],
)  # fmt: skip
def test_impossible_schedules_are_reported(rate: Any, expected: list[str]) -> None:
    found = problems({"name": "sgd", "learning_rate": rate})
    assert sorted(found) == sorted(f"optimizer.learning_rate{line}" for line in expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("warmup_target: 0.1", ": a warm-up needs warmup_target, and warmup_steps or warmup_epochs"),
        ("warmup_steps: 10", ": a warm-up needs warmup_target, and warmup_steps or warmup_epochs"),
        ("initial_learning_rate: 0", ".initial_learning_rate: must be greater than 0 without a warm-up"),
    ],
)
def test_a_warm_up_needs_a_target_and_a_length(arguments: str, expected: str) -> None:
    start = "" if "initial" in arguments else "initial_learning_rate: 0.01, "
    schedule = f"{{name: cosine_decay, decay_steps: 5, {start}{arguments}}}"
    [problem] = helpers.problems(f"optimizer: {{name: adam, learning_rate: {schedule}}}")
    assert f" optimizer.learning_rate{expected}" in problem


# Rates


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
    """Return the learning rate at each of the first 40 steps."""
    schedule = built(settings).optimizer._learning_rate
    return [float(schedule(step)) for step in range(40)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_has_the_same_rates_in_steps_in_epochs_in_stock_keras_and_when_resumed(
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


def test_a_linear_warm_up_rises_to_its_target_and_stays_there() -> None:
    rate = {"name": "linear_warmup", "warmup_target": 0.5, "warmup_epochs": 2}
    rates = rates_of(config({"name": "adam", "learning_rate": rate}))
    assert rates[:20] == pytest.approx([0.5 * step / 20 for step in range(20)])
    assert set(rates[20:]) == {0.5}


def test_a_boundary_in_epochs_is_where_an_epoch_begins() -> None:
    rate = {"name": "piecewise_constant_decay", "boundary_epochs": [1, 3], "values": [0.3, 0.2, 0.1]}
    rates = rates_of(config({"name": "adam", "learning_rate": rate}))
    assert rates == pytest.approx([0.3] * 10 + [0.2] * 20 + [0.1] * 10)


def test_a_length_in_epochs_needs_the_steps_per_epoch() -> None:
    rate = {"name": "cosine_decay", **START, "decay_epochs": 3}
    settings = config({"name": "adam", "learning_rate": rate})
    with pytest.raises(ValueError, match="decay_epochs needs the number of steps in an epoch"):
        build.build(network_spec(settings, (28, 28), 10), settings)


# Lengths relative to the training


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "best",
            {
                "name": "cosine_decay",
                "initial_learning_rate": 0.0,
                "warmup_target": 0.002,
                "warmup_epochs": 2.0,
                "decay_epochs": 298.0,
            },
        ),
        ("fast", {"name": "cosine_decay", "initial_learning_rate": 0.003, "decay_epochs": 4.0}),
    ],
)
def test_the_shipped_configs_mean_the_same_schedule_as_before_at_their_own_epochs(
    name: str, expected: dict[str, Any]
) -> None:
    shipped = loading.load(name)
    fixed = config({"name": "adam", "learning_rate": expected})
    mine, theirs = shipped.with_absolute_schedule().optimizer.learning_rate, fixed.optimizer.learning_rate
    assert mine == theirs
    assert isinstance(mine, schedules.Schedule)
    assert isinstance(theirs, schedules.Schedule)
    assert mine.keras(235) == theirs.keras(235)
    assert mine.mismatch(235, shipped.training.epochs) == ""


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"name": "cosine_decay", **START, "decay_epochs": "all"}, {"decay_epochs": 20}),
        ({"name": "cosine_decay", **START, "decay_epochs": "all", "warmup_target": 1, "warmup_epochs": "12.5%"},
         {"warmup_epochs": 2.5, "decay_epochs": 17.5}),
        ({"name": "cosine_decay", **START, "decay_epochs": "all", "warmup_target": 1, "warmup_epochs": 30},
         {"warmup_epochs": 30, "decay_epochs": 1}),
        ({"name": "polynomial_decay", **START, "decay_epochs": "50%"}, {"decay_epochs": 10}),
        ({"name": "cosine_decay_restarts", **START, "first_decay_epochs": "25%"}, {"first_decay_epochs": 5}),
        ({"name": "piecewise_constant_decay", "boundary_epochs": [1, "50%", "90%"], "values": [4, 3, 2, 1]},
         {"boundary_epochs": (1, 10, 18)}),
        ({"name": "linear_warmup", "warmup_target": 1, "warmup_epochs": "100%"}, {"warmup_epochs": 20}),
        ({"name": "cosine_decay", **START, "decay_steps": 7}, {"decay_steps": 7}),
    ],
)  # fmt: skip
def test_a_relative_length_is_a_share_of_the_epochs(rate: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = config({"name": "sgd", "learning_rate": rate}, "training: {epochs: 20}")
    absolute = settings.with_absolute_schedule().optimizer.learning_rate
    assert {key: getattr(absolute, key) for key in expected} == expected
    # The form for editors allows it, and a network can be built without resolving it first.
    jsonschema.validate(settings.to_dict(), json_schema())
    assert built(settings).optimizer.learning_rate is not None


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"name": "cosine_decay", **START, "decay_epochs": "most"},
         [".decay_epochs: must be a number of epochs, a percentage of them such as 50%, or all, got 'most'"]),
        ({"name": "cosine_decay", **START, "decay_epochs": "0%"},
         [".decay_epochs: must be a number of epochs, a percentage of them such as 50%, or all, got '0%'"]),
        ({"name": "linear_warmup", "warmup_target": 1, "warmup_epochs": "101%"},
         [".warmup_epochs: must be a number of epochs, or a percentage of them such as 50%, got '101%'"]),
        ({"name": "piecewise_constant_decay", "boundary_epochs": [1, "all"], "values": [3, 2, 1]},
         [".boundary_epochs[1]: must be a number of epochs, or a percentage of them such as 50%, got 'all'"]),
        ({"name": "cosine_decay", **START, "decay_epochs": "all", "warmup_target": 1, "warmup_steps": 9},
         [".decay_epochs: all needs a warm-up in epochs: warmup_epochs instead of warmup_steps"]),
        ({"name": "piecewise_constant_decay", "boundary_epochs": ["50%", 4], "values": [3, 2, 1]},
         [".boundary_epochs: must increase"]),
    ],
)  # fmt: skip
def test_impossible_relative_lengths_are_reported(rate: Any, expected: list[str]) -> None:
    assert problems({"name": "sgd", "learning_rate": rate}) == [f"optimizer.learning_rate{line}" for line in expected]


def test_a_resumed_schedule_keeps_the_lengths_of_its_run() -> None:
    settings = config({"name": "sgd", "learning_rate": {"name": "cosine_decay", **START, "decay_epochs": "all"}})
    started = settings.with_absolute_schedule()
    longer = settings.with_epochs(30).with_absolute_schedule(started)
    assert longer.optimizer == started.optimizer
    assert settings.with_epochs(30).with_absolute_schedule().optimizer != started.optimizer


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ({"name": "cosine_decay", **START, "decay_epochs": 4}, ""),
        ({"name": "cosine_decay", **START, "decay_steps": 39, "warmup_target": 1, "warmup_steps": 1}, ""),
        ({"name": "cosine_decay", **START, "decay_epochs": 298},
         "the learning rate's cosine_decay ends after 298 epochs, but the training after 4"),
        ({"name": "cosine_decay", **START, "decay_epochs": 2, "alpha": 0.5, "warmup_target": 0.2, "warmup_epochs": 1},
         "the learning rate's cosine_decay ends after 3 epochs; for the rest of the 4 it stays at 0.1"),
        ({"name": "polynomial_decay", **START, "decay_epochs": 3.5},
         "the learning rate's polynomial_decay ends after 3.5 epochs; for the rest of the 4 it stays at 0.0001"),
        ({"name": "polynomial_decay", **START, "decay_epochs": 3, "cycle": True}, ""),
        ({"name": "exponential_decay", **START, "decay_epochs": 1, "decay_rate": 0.5}, ""),
        ({"name": "cosine_decay_restarts", **START, "first_decay_epochs": 2, "t_mul": 1}, ""),
        ({"name": "cosine_decay_restarts", **START, "first_decay_steps": 13, "t_mul": 1.1},
         "the learning rate's cosine_decay_restarts ends after 4.3 epochs, but the training after 4"),
        ({"name": "cosine_decay_restarts", **START, "first_decay_epochs": 3, "t_mul": 1},
         "the learning rate's cosine_decay_restarts ends after 6 epochs, but the training after 4"),
        ({"name": "piecewise_constant_decay", "boundary_epochs": [1, 3.9], "values": [3, 2, 1]}, ""),
        ({"name": "piecewise_constant_decay", "boundary_epochs": [1, 5], "values": [3, 2, 1]},
         "the learning rate's piecewise_constant_decay ends after 5.2 epochs, but the training after 4"),
        ({"name": "linear_warmup", "warmup_target": 1, "warmup_epochs": 2}, ""),
        ({"name": "linear_warmup", "warmup_target": 1, "warmup_epochs": 5},
         "the learning rate's linear_warmup ends after 5 epochs, but the training after 4"),
    ],
)  # fmt: skip
def test_a_schedule_that_does_not_end_with_the_training_is_found(rate: dict[str, Any], expected: str) -> None:
    schedule = config({"name": "sgd", "learning_rate": rate}).optimizer.learning_rate
    assert isinstance(schedule, schedules.Schedule)
    assert schedule.mismatch(10, 4) == expected
