"""Test configs that are given as Python values: what is converted, what is rejected, and the overrides."""

import enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnn_cli.config import loading, python_values
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.errors import ConfigError, UsageError


class Name(enum.StrEnum):
    SGD = "sgd"


def plain(values: Any) -> Any:
    """Return the values of a document without problems."""
    document = python_values.to_document(values, "config")
    assert document.problems == []
    return document.values


def message(values: Any, **settings: Any) -> list[str]:
    """Return the lines of the error about a config."""
    with pytest.raises(ConfigError) as caught:
        loading.from_values(values, [Override.from_python(name, value) for name, value in settings.items()])
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("sgd"), "sgd"),
        (np.array([3, 4]), [3, 4]),
        ((1, (2,)), [1, [2]]),
        (range(2), [0, 1]),
        (Fraction(1, 4), 0.25),
        (Name.SGD, "sgd"),
        (Path("a") / "b.npz", str(Path("a/b.npz"))),
        (None, None),
        ({"a": {"b": (True, "x")}}, {"a": {"b": [True, "x"]}}),
    ],
)
def test_values_become_those_of_yaml(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_the_values_are_copied() -> None:
    values: dict[str, Any] = {"model": {"layers": [8]}}
    found = plain(values)
    found["model"]["layers"].append(9)
    assert values == {"model": {"layers": [8]}}


def test_a_config_and_its_sections_can_be_used_again() -> None:
    config = loading.load("small")
    assert loading.from_values(config) == config
    assert loading.from_values({"model": config.model}).model == config.model
    assert loading.from_values({}) == loading.parse("{}", "")


def test_a_config_that_contradicts_itself_is_rejected() -> None:
    config = Config.model_validate({"data": {"classes": (1,)}})
    assert message(config) == ["config has 1 problem", "  config  data.classes: must have at least two labels, got 1"]


def test_all_problems_are_listed_once() -> None:
    values = {"seed": {1}, 4: 5, "training": {"epochs": 0, b"x": 1}, "model": {"layers": [8, object()]}, "epoch": 3}
    assert message(values) == [
        "config has 6 problems",
        "  config  seed: must be a number, text, true or false, a list or a mapping, got a set",
        "  config  4: a key must be text, got an int",
        "  config  training.b'x': a key must be text, got a bytes",
        "  config  model.layers[1]: must be a number, text, true or false, a list or a mapping, got an object",
        "  config  training.epochs: must be at least 1, got 0",
        "  config  epoch: unknown key (did you mean 'training.epochs'?)",
    ]


def test_values_without_end_are_rejected() -> None:
    endless: dict[str, Any] = {}
    endless["data"] = endless
    assert message(endless) == ["config has 1 problem", "  config  more than 50 levels of nesting"]
    assert message({"model": {"layers": np.zeros(10_000)}})[1] == "  config  more than 10,000 keys and values"


@pytest.mark.parametrize("values", [[1], 3, "mnist"])
def test_a_config_is_a_mapping(values: Any) -> None:
    assert message(values)[1].startswith("  config  must be a mapping of settings, got ")


def test_an_argument_replaces_a_setting() -> None:
    settings = {
        "epochs": np.int64(3),
        "batch_size": 7,
        "threads": 2,
        "optimizer.learning_rate": 0.5,
        "model.layers": (8,),
    }
    config = loading.from_values({"optimizer": "sgd"}, [Override.from_python(*each) for each in settings.items()])
    assert (config.training.epochs, config.training.batch_size, config.training.threads) == (3, 7, 2)
    assert config.optimizer.learning_rate == 0.5
    assert [block.units for block in config.model.layers] == [8]


def test_a_wrong_argument_is_the_place_of_its_problem() -> None:
    *lines, last = message({}, epochs=0, learning_rate=0.1, model={"layers": [9] * 101})
    assert lines == [
        "the function call has 3 problems",
        "  model={'layers': [9, 9, 9, 9, 9, ...  model.layers: must have at most 100 entries, got 101",
        "  epochs=0                              training.epochs: must be at least 1, got 0",
    ]
    assert last.split("  ")[1] == "learning_rate=0.1"
    assert last.endswith("  learning_rate: unknown key (did you mean 'optimizer.learning_rate'?)")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("a..b", 1, "'a..b' is not a setting; expected a path such as 'training.epochs'"),
        ("", 1, "'' is not a setting; expected a path such as 'training.epochs'"),
        (3, 1, "3 is not a setting; expected a path such as 'training.epochs'"),
        ("seed", {1}, "seed: must be a number, text, true or false, a list or a mapping, got a set"),
        (
            "model",
            {"layers": [object()], "x": b""},
            "model.layers[0]: must be a number, text, true or false, a list or a mapping, got an object\n"
            "model.x: must be a number, text, true or false, a list or a mapping, got a bytes",
        ),
    ],
)
def test_an_argument_that_no_config_can_hold_is_rejected(name: Any, value: Any, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Override.from_python(name, value)
    assert str(caught.value) == expected
