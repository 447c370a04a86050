"""Test the settings of a config: their bounds, short forms, defaults and names, and the JSON Schema."""

import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from dnn_cli.config import difference, loading, schema, yaml_document
from dnn_cli.config.schema import Config
from tests.config.helpers import OPTIMIZERS, parse, problems
from tests.config.strategies import configs

# Bounds


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", "-1", "must be at least 0, got -1"),
        ("seed", "4294967296", "must be less than 4294967296, got 4294967296"),
        ("data.validation", "-1", "must be at least 0, got -1"),
        ("data.validation", "-0.5", "must be greater than 0, got -0.5"),
        ("data.validation", "0.0", "must be greater than 0, got 0.0"),
        ("data.validation", "1.0", "must be less than 1, got 1.0"),
        ("model.layers[0].units", "0", "must be at least 1, got 0"),
        ("model.layers[0].units", "16385", "must be at most 16384, got 16385"),
        ("model.layers[0].dropout", "1.0", "must be less than 1, got 1.0"),
        ("model.layers[0].dropout", "-0.1", "must be at least 0, got -0.1"),
        ("model.layers[0].l1", "-1e-9", "must be at least 0, got -1e-09"),
        ("model.layers[0].l2", ".inf", "must be a finite number, got inf"),
        ("model.layers[0].max_norm", "0", "must be greater than 0, got 0"),
        ("model.input_dropout", "1", "must be less than 1, got 1"),
        ("training.label_smoothing", "1", "must be less than 1, got 1"),
        ("optimizer.learning_rate", "0", "must be greater than 0, got 0"),
        ("optimizer.learning_rate", "1001", "must be at most 1000, got 1001"),
        ("optimizer.learning_rate", ".nan", "must be a finite number, got nan"),
        ("optimizer.learning_rate", "-.inf", "must be a finite number, got -inf"),
        ("optimizer.learning_rate", "1e999", "must be a finite number, got inf"),
        ("optimizer.beta_1", "1", "must be less than 1, got 1"),
        ("optimizer.epsilon", "0", "must be greater than 0, got 0"),
        ("training.epochs", "0", "must be at least 1, got 0"),
        ("training.epochs", "100001", "must be at most 100000, got 100001"),
        ("training.batch_size", "0", "must be at least 1, got 0"),
        ("training.batch_size", "65537", "must be at most 65536, got 65537"),
        ("training.early_stopping.patience", "0", "must be at least 1, got 0"),
    ],
)
def test_a_number_out_of_bounds_is_rejected(key: str, value: str, expected: str) -> None:
    text = "model: {layers: [128]}\noptimizer: adam"
    assert problems(text, f"{key}={value}") == [f"--set {key}={value} {key}: {expected}"]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("seed", ["0", "4294967295"]),
        ("data.validation", ["0", "60000", "1e-9", "0.999"]),
        ("model.layers", ["[1, 16384]", "[]"]),
        ("optimizer.learning_rate", ["1e-300", "1000"]),
        ("optimizer.beta_1", ["0"]),
        ("optimizer.epsilon", ["1"]),
        ("training.epochs", ["1", "100000"]),
        ("training.batch_size", ["1", "65536"]),
    ],
)
def test_a_number_on_an_inclusive_bound_is_accepted(key: str, values: list[str]) -> None:
    for value in values:
        parse("optimizer: adam", f"{key}={value}")


def test_a_network_has_at_most_a_hundred_blocks() -> None:
    assert len(parse(f"model: {{layers: [{'8, ' * 100}]}}").model.layers) == 100
    assert problems(f"model: {{layers: [{'8, ' * 101}]}}") == [
        "a.yaml:1:17 model.layers: must have at most 100 entries, got 101"
    ]


# Short forms


@pytest.mark.parametrize("name", OPTIMIZERS.split(", "))
def test_an_optimizer_is_given_as_a_name_or_a_mapping(name: str) -> None:
    short = parse(f"optimizer: {name}")
    assert short == parse(f"optimizer: {{name: {name}}}") == parse("{}", f"optimizer={name}")
    assert short.optimizer.name == name


def test_batch_normalization_is_given_as_a_boolean_or_a_mapping() -> None:
    def read(value: str) -> Any:
        block = parse(f"model: {{layers: [{{units: 1, batch_normalization: {value}}}]}}").model.layers[0]
        return block.batch_normalization

    assert read("false") is read("null") is None
    assert read("true") == read("{}") == read("{momentum: 0.99, epsilon: 0.001}")
    assert read("{momentum: 0.5}").momentum == 0.5
    where = "model.layers[0].batch_normalization"
    assert problems("model: {layers: [1]}", f"{where}=5") == [
        f"--set {where}=5 {where}: must be a mapping of settings, got 5"
    ]
    assert problems("model: {layers: [1]}", f"{where}.epsilon=0") == [
        f"--set {where}.epsilon=0 {where}.epsilon: must be greater than 0, got 0"
    ]


def test_a_number_is_short_for_a_block_of_that_many_units() -> None:
    short = parse("model: {layers: [128, {units: 64, dropout: 0.5}]}").model.layers
    assert short == parse("model: {layers: [{units: 128, activation: relu}, {units: 64, dropout: 0.5}]}").model.layers
    assert problems("model: {layers: [0, 99999]}") == [
        "a.yaml:1:18 model.layers[0]: must be at least 1, got 0",
        "a.yaml:1:21 model.layers[1]: must be at most 16384, got 99999",
    ]


# The config as a value


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
def test_a_file_without_settings_is_rejected(text: str) -> None:
    message = "a.yaml there are no settings; if all defaults are meant, write {}"
    assert problems(text)[0].replace(":1:1", "") == message


def test_an_empty_mapping_gives_all_defaults() -> None:
    assert parse("{}") == Config()
    assert parse("{}").to_dict() == {
        "seed": 0,
        "engine": "keras",
        "data": {
            "dataset": "mnist",
            "validation": 0,
            "test": 0.2,
            "fallback": None,
            "classes": None,
            "class_names": None,
            "images_per_class": None,
            "image_size": None,
            "color": None,
            "resize": "fit",
            "image_shape": None,
            "value_range": None,
            "keys": None,
            "on_broken": "error",
            "follow_links": False,
            "max_bytes": None,
        },
        "model": {
            "input_dropout": 0.0,
            "layers": [],
            "init_from": None,
            "freeze": [],
            "learning_rate_factor": 1.0,
        },
        "optimizer": {
            "name": "adam",
            "learning_rate": 0.001,
            "weight_decay": None,
            "clipnorm": None,
            "clipvalue": None,
            "global_clipnorm": None,
            "use_ema": False,
            "ema_momentum": 0.99,
            "ema_overwrite_frequency": None,
            "gradient_accumulation_steps": None,
            "beta_1": 0.9,
            "beta_2": 0.999,
            "epsilon": 1e-7,
            "amsgrad": False,
        },
        "training": {
            "epochs": 10,
            "batch_size": 32,
            "label_smoothing": 0.0,
            "class_weight": None,
            "monitor": None,
            "early_stopping": None,
            "augmentation": {
                "rotation": 0.0,
                "translation": 0.0,
                "scale": 0.0,
                "shear": 0.0,
                "elastic": {"strength": 0.0, "smoothness": 7.0},
                "noise": 0.0,
            },
            "jit_compile": True,
            "checkpoint_seconds": 60.0,
            "threads": "auto",
            "tensorboard": False,
        },
    }


def test_the_path_of_initial_weights_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = parse("model: {init_from: runs/one}")
    assert read.model.init_from == str(tmp_path / "runs/one")
    monkeypatch.chdir("/")
    assert parse(read.to_yaml()) == read
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("model: {init_from: ~/one.keras}").model.init_from == str(tmp_path / "one.keras")
    assert parse("model: {init_from: ~nobody-of-that-name/a}").model.init_from == "~nobody-of-that-name/a"


def test_frozen_blocks_are_given_as_indices_or_all_but_head() -> None:
    blocks = "model: {init_from: a, layers: [8, 8, 8], freeze: "
    assert parse(f"{blocks}all-but-head}}").model.frozen == {0, 1, 2}
    assert parse(f"{blocks}[2, 0]}}").model.frozen == {0, 2}
    assert parse(f"{blocks}[]}}").model.frozen == set()


@settings(deadline=None, max_examples=50)
@given(configs)
def test_a_config_written_as_yaml_reads_back_equal(values: dict[str, Any]) -> None:
    config = parse(yaml_document.dump(values))
    again = parse(config.to_yaml())
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert difference.difference(config, again) == []
    assert allows(JSON_SCHEMA, values)
    assert allows(JSON_SCHEMA, config.to_dict())


def test_a_config_is_immutable_and_hashable() -> None:
    config = parse("model: {layers: [128]}")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.model.layers[0].units = 1  # type: ignore[misc]
    assert isinstance(config.model.layers, tuple)
    assert hash(config) == hash(parse("model: {layers: [128]}"))


def test_with_epochs_changes_a_copy() -> None:
    config = loading.load("small")
    longer = config.with_epochs(99)
    assert difference.difference(config, longer) == ["training.epochs: 30 → 99"]
    assert config.training.epochs == 30


# JSON Schema


JSON_SCHEMA = schema.json_schema()


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def allows(schema: Any, value: Any, root: Any = None) -> bool:
    """Return whether a JSON Schema allows `value`; fail on keywords of the standard that our schema does not use."""
    root = root or schema
    notes = {"$schema", "$defs", "title", "description", "default", "discriminator"}
    checks: dict[str, Any] = {
        "$ref": lambda name: allows(root["$defs"][name.removeprefix("#/$defs/")], value, root),
        "anyOf": lambda branches: any(allows(branch, value, root) for branch in branches),
        "oneOf": lambda branches: sum(allows(branch, value, root) for branch in branches) == 1,
        "const": lambda const: value == const,
        "enum": lambda names: value in names,
        "type": lambda name: isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)),
        "minimum": lambda bound: value >= bound,
        "maximum": lambda bound: value <= bound,
        "exclusiveMinimum": lambda bound: value > bound,
        "exclusiveMaximum": lambda bound: value < bound,
        "minLength": lambda least: len(value) >= least,
        "maxItems": lambda most: len(value) <= most,
        "minItems": lambda least: len(value) >= least,
        "pattern": lambda pattern: re.search(pattern, value),
        "items": lambda items: all(allows(items, item, root) for item in value),
        "required": lambda names: set(names) <= set(value),
        "additionalProperties": lambda allowed: allowed or set(value) <= set(schema["properties"]),
        "properties": lambda properties: all(
            allows(properties[key], inner, root) for key, inner in value.items() if key in properties
        ),
    }
    assert set(schema) <= notes | set(checks)
    if "type" in schema and not checks["type"](schema["type"]):
        return False
    return all(checks[key](argument) for key, argument in schema.items() if key not in notes)


@pytest.mark.parametrize("name", loading.SHIPPED)
def test_the_schema_allows_every_shipped_config(name: str) -> None:
    values = yaml_document.parse((loading.shipped_folder() / f"{name}.yaml").read_text(), name).values
    assert allows(JSON_SCHEMA, values)
    assert allows(JSON_SCHEMA, loading.load(name).to_dict())


@pytest.mark.parametrize(
    "text",
    [
        "sed: 1",
        "seed: -1",
        "seed: true",
        "seed: 1.5",
        "data: {validation: 1.0}",
        "data: {dataset: ''}",
        "model: {layers: [0]}",
        "model: {layers: [1.5]}",
        "model: {layers: [{}]}",
        "optimizer: adm",
        "optimizer: {name: sgd, beta_1: 0.9}",
        "optimizer: {learning_rate: 1}",
        "optimizer: {name: sgd, learning_rate: {name: cosine_decay}}",
        "training: {early_stopping: 5}",
        "data: {classes: [1]}",
        "data: {images_per_class: 0}",
        "model: {layers: [8], freeze: all}",
        "model: {learning_rate_factor: 0}",
        "[]",
    ],
)
def test_the_schema_rejects_what_the_parser_rejects(text: str) -> None:
    assert problems(text)
    assert not allows(JSON_SCHEMA, yaml_document.parse(text, "a.yaml").values)


def test_the_schema_describes_every_setting() -> None:
    assert JSON_SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    sections = {"Config": JSON_SCHEMA, **JSON_SCHEMA["$defs"]}
    for title, section in sections.items():
        assert section["description"].endswith("."), title
        assert section["additionalProperties"] is False
        for key, field in section["properties"].items():
            assert "const" in field or field["description"], f"{title}.{key}"
    json.dumps(JSON_SCHEMA, allow_nan=False)


# Names and defaults of the installed Keras


def defaults(signature: inspect.Signature) -> dict[str, Any]:
    """Return the default of every parameter."""
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def test_names_and_defaults_are_those_of_keras() -> None:
    import keras

    for name in get_args(schema.Activation):
        assert keras.activations.get(name) is getattr(keras.activations, name)
    of_keras = {name for name, one in vars(keras.activations).items() if inspect.isfunction(one)}
    over_all_units = {"softmax", "log_softmax", "sparsemax", "glu"}
    assert set(get_args(schema.Activation)) == of_keras - over_all_units - {
        "threshold",
        "get",
        "serialize",
        "deserialize",
    }

    of_keras = {name for name, one in vars(keras.initializers).items() if inspect.isclass(one) and name.islower()}
    all_units_alike = {"zeros", "ones", "constant"}
    assert set(get_args(schema.Initializer)) == of_keras - all_units_alike - {"stft"}

    normalization = defaults(inspect.signature(keras.layers.BatchNormalization))
    for name, field in schema.BatchNormalization.model_fields.items():
        assert field.default == normalization[name]
    dense = defaults(inspect.signature(keras.layers.Dense))
    block = {name: field.default for name, field in schema.Block.model_fields.items()}
    assert (block["use_bias"], block["initializer"]) == (dense["use_bias"], dense["kernel_initializer"])
    stopping = defaults(inspect.signature(keras.callbacks.EarlyStopping))
    ours = {name: field.default for name, field in schema.EarlyStopping.model_fields.items()}
    assert (ours["monitor"], ours["min_delta"]) == (stopping["monitor"], stopping["min_delta"])
