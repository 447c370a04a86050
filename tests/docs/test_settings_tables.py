"""Test the tables of every setting in the documentation."""

import importlib.util
import re
from typing import Any

from dnn_cli.config import schema as config_schema
from tests.conftest import ROOT


def load_tables() -> Any:
    spec = importlib.util.spec_from_file_location("settings_tables", ROOT / "docs" / "_ext" / "settings_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load_tables()


def test_every_setting_with_its_range_default_and_meaning_is_in_the_reference() -> None:
    lines = tables.reference().splitlines()
    for line in (
        "| `seed` | whole number ≥ 0 and < 4294967296 | `0` | seed of all random numbers |",
        "| `test` | whole number ≥ 0 or number > 0 and < 1 | `0.2` | images to hold out for the test where your own"
        " data have no test part: a count or a fraction; stratified by class |",
        "| `fallback` | `mnist-sample` or `null` | `null` | dataset to use, with a warning, when `mnist` can be neither"
        " found nor downloaded |",
        "| `units` | whole number ≥ 1 and ≤ 16384 | required | number of neurons |",
        "| `jit_compile` | `true` or `false` | `true` | compile the epoch with XLA |",
        "| `sgd` | Stochastic gradient descent, with or without momentum. | `learning_rate: 0.01`, `momentum: 0.0`,"
        " `nesterov: false` |",
        "| `learning_rate` | number > 0 and ≤ 1000 or a schedule | learning rate: a number or a schedule |",
        "| `exponential_decay` | Multiply the learning rate by `decay_rate` every `decay_steps`. |"
        " `initial_learning_rate`, `decay_steps: null`, `decay_epochs: null`, `decay_rate`, `staircase: false` |",
        "| `initial_learning_rate` | number > 0 and ≤ 1000 | learning rate at the start |",
        "| `initial_learning_rate` of `cosine_decay` | number ≥ 0 and ≤ 1000 | learning rate at the start |",
    ):
        assert line in lines


def test_no_setting_is_forgotten() -> None:
    words = set(re.findall(r"[a-z0-9_]+", tables.reference()))
    schema = config_schema.json_schema()
    for section in (schema, *schema["$defs"].values()):
        for key, field in section["properties"].items():
            assert key in words
            assert {field.get("const", key), *field.get("enum", ())} <= words


def test_every_table_has_as_many_cells_in_every_row_as_in_its_head() -> None:
    for paragraph in tables.reference().split("\n\n"):
        if paragraph.startswith("|"):
            assert len({line.count(" | ") for line in paragraph.splitlines()}) == 1
