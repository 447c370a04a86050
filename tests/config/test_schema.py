import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dnn_cli.config import difference, loading, yaml_document
from dnn_cli.config import schema as config_schema
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.errors import ConfigError, UsageError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs"


def parse(text: str, *overrides: str) -> Config:
    return loading.parse(text, "a.yaml", [Override.parse(override) for override in overrides])


def problems(text: str, *overrides: str) -> list[str]:
    """What `text` has wrong under `overrides`, a line each."""
    with pytest.raises(ConfigError) as caught:
        parse(text, *overrides)
    first, *lines = str(caught.value).splitlines()
    assert first == f"a.yaml has {len(lines)} problem{'s' * (len(lines) > 1)}"
    return [re.sub(r"^  (\S+( \S+=\S*)?) +", r"\1 ", line) for line in lines]


def printed(code: str, stdin: str = "") -> str:
    """What `code` prints in a Python of its own."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, cwd=ROOT, text=True, check=True).stdout


# All problems at once, each at its place


def test_every_problem_is_named_at_its_place_in_reading_order() -> None:
    text = """\
seed: -1
data: {dataset: "", validation: 1.5, fallback: zip}
model:
  layers:
    - {units: 128, activaton: relu}
    - {units: 0, dropout: 1}
    - relu
    - {activation: rellu}
optimizer: {name: adam, learning_rate: -0.1, beta_1: high}
training: {epochs: ten, batch_size: 32.0, jit_compile: yes, early_stopping: 5}
extra: 1
training: {}
"""
    with pytest.raises(ConfigError) as caught:
        loading.parse(text, "bad.yaml")
    assert str(caught.value).splitlines() == [
        "bad.yaml has 18 problems",
        "  bad.yaml:1:7    seed: must be at least 0, got -1",
        "  bad.yaml:2:17   data.dataset: must not be empty",
        "  bad.yaml:2:33   data.validation: must be less than 1, got 1.5",
        "  bad.yaml:2:48   data.fallback: must be mnist-sample, got 'zip'",
        "  bad.yaml:5:20   model.layers[0].activaton: unknown key (did you mean 'activation'?)",
        "  bad.yaml:6:15   model.layers[1].units: must be at least 1, got 0",
        "  bad.yaml:6:27   model.layers[1].dropout: must be less than 1, got 1",
        "  bad.yaml:7:7    model.layers[2]: must be a mapping of settings, got 'relu'",
        "  bad.yaml:8:7    model.layers[3].units: is required",
        "  bad.yaml:8:20   model.layers[3].activation: must be one of"
        f" {', '.join(get_args(config_schema.Activation))}, got 'rellu' (did you mean 'relu'?)",
        "  bad.yaml:9:40   optimizer.learning_rate: must be greater than 0, got -0.1",
        "  bad.yaml:9:54   optimizer.beta_1: must be a number, got 'high'",
        "  bad.yaml:10:20  training.epochs: must be a whole number, got 'ten'",
        "  bad.yaml:10:37  training.batch_size: must be a whole number, got 32.0",
        "  bad.yaml:10:56  training.jit_compile: must be true or false, got 'yes'",
        "  bad.yaml:10:77  training.early_stopping: must be a mapping of settings, got 5",
        "  bad.yaml:11:1   extra: unknown key (allowed: seed, engine, data, model, optimizer, training)",
        "  bad.yaml:12:1   training: given twice, first in line 10",
    ]


def test_a_problem_with_reading_a_value_is_not_said_again_in_other_words() -> None:
    assert problems("seed: !!binary aGk=\ntraining: {epochs: 0}") == [
        "a.yaml:1:7 seed: the tag !!binary is not allowed here",
        "a.yaml:2:20 training.epochs: must be at least 1, got 0",
    ]


def test_problems_are_sorted_by_number_even_when_the_file_has_a_colon_in_its_name() -> None:
    text = "seed: x\n" + "\n" * 8 + "data: 1\nmodel: 1\n"
    with pytest.raises(ConfigError) as caught:
        loading.parse(text, "C:99:1.yaml")
    places = [problem.place.removeprefix("C:99:1.yaml") for problem in caught.value.problems]
    assert places == [":1:7", ":10:7", ":11:8"]


# Keys

COMMON = (
    "weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,"
    " gradient_accumulation_steps"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sed: 1", "a.yaml:1:1 sed: unknown key (did you mean 'seed'?)"),
        ("Training: {}", "a.yaml:1:1 Training: unknown key (did you mean 'training'?)"),
        ("x: 1", "a.yaml:1:1 x: unknown key (allowed: seed, engine, data, model, optimizer, training)"),
        ("'': 1", "a.yaml:1:1 unknown key (allowed: seed, engine, data, model, optimizer, training)"),
        ("<<: {}", "a.yaml:1:1 <<: unknown key (allowed: seed, engine, data, model, optimizer, training)"),
        ("<count>: {}", "a.yaml:1:1 <count>: unknown key (allowed: seed, engine, data, model, optimizer, training)"),
        (
            "data: {path: x}",
            "a.yaml:1:8 data.path: unknown key "
            "(allowed: dataset, validation, fallback, classes, images_per_class)",
        ),
        ("model: {layer: []}", "a.yaml:1:9 model.layer: unknown key (did you mean 'layers'?)"),
        ("optimizer: {name: sgd, lr: 1}", "a.yaml:1:24 optimizer.lr: unknown key"
         f" (allowed: name, learning_rate, {COMMON}, momentum, nesterov)"),
        ("optimizer: {name: sgd, beta_1: 0.9}", "a.yaml:1:24 optimizer.beta_1: unknown key"
         f" (allowed: name, learning_rate, {COMMON}, momentum, nesterov)"),
        ("optimizer: {name: sgd, sgd: {nesterov: 1}}", "a.yaml:1:24 optimizer.sgd: unknown key"
         f" (allowed: name, learning_rate, {COMMON}, momentum, nesterov)"),
        ("training: {early_stopping: {patients: 3}}", "a.yaml:1:29 training.early_stopping.patients: unknown key"
         " (did you mean 'patience'?)"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_named_with_what_it_may_have_been(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_a_key_given_twice_is_named_with_both_places() -> None:
    assert problems("training:\n  epochs: 1\n  epochs: 2") == [
        "a.yaml:3:3 training.epochs: given twice, first in line 2"
    ]


def test_a_block_needs_its_units() -> None:
    assert problems("model: {layers: [{}]}") == ["a.yaml:1:18 model.layers[0].units: is required"]


# Types


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1.0", "a.yaml:1:7 seed: must be a whole number, got 1.0"),
        ("seed: '1'", "a.yaml:1:7 seed: must be a whole number, got '1'"),
        ("seed: true", "a.yaml:1:7 seed: must be a whole number, got true"),
        ("seed:", "a.yaml:1:6 seed: must be a whole number, got nothing"),
        ("seed: 1_000", "a.yaml:1:7 seed: must be a whole number, got '1_000'"),
        ("seed: .inf", "a.yaml:1:7 seed: must be a whole number, got inf"),
        ("seed: .nan", "a.yaml:1:7 seed: must be a whole number, got nan"),
        ("seed: []", "a.yaml:1:7 seed: must be a whole number, got a list"),
        ("seed: {<count>: 1}", "a.yaml:1:7 seed: must be a whole number, got a mapping"),
        (f"seed: {'x' * 500}", f"a.yaml:1:7 seed: must be a whole number, got '{'x' * 56}..."),
        (f"seed: {'9' * 5000}", f"a.yaml:1:7 seed: cannot be read as a number: '{'9' * 37}...'"),
        (f"seed: 0x{'f' * 5000}", f"a.yaml:1:7 seed: cannot be read as a number: '0x{'f' * 35}...'"),
        ("data: 5", "a.yaml:1:7 data: must be a mapping of settings, got 5"),
        ("data:", "a.yaml:1:6 data: must be a mapping of settings, got nothing"),
        ("data: {dataset: 5}", "a.yaml:1:17 data.dataset: must be text, got 5"),
        ("data: {validation: many}", "a.yaml:1:20 data.validation: must be a whole number, got 'many'"),
        ("data: {validation: {count: 1}}", "a.yaml:1:20 data.validation: must be a whole number, got a mapping"),
        ("data: {validation: .nan}", "a.yaml:1:20 data.validation: must be a finite number, got nan"),
        ("model: {layers: 3}", "a.yaml:1:17 model.layers: must be a list, got 3"),
        ("model: {layers: {units: 3}}", "a.yaml:1:17 model.layers: must be a list, got a mapping"),
        ("model: {layers: [1.5]}", "a.yaml:1:18 model.layers[0]: must be a mapping of settings, got 1.5"),
        ("model: {layers: [true]}", "a.yaml:1:18 model.layers[0]: must be a mapping of settings, got true"),
        ("optimizer:", "a.yaml:1:11 optimizer: must be a mapping of settings, got nothing"),
        ("optimizer: [adam]", "a.yaml:1:12 optimizer: must be a mapping of settings, got a list"),
        ("optimizer: {name: sgd, nesterov: 1}", "a.yaml:1:34 optimizer.nesterov: must be true or false, got 1"),
        ("training: {epochs: null}", "a.yaml:1:20 training.epochs: must be a whole number, got nothing"),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "shown"), [("[]", "a list"), ("- seed: 1", "a list"), ("hello", "'hello'"), ("5", "5"), ("true", "true")]
)
def test_the_top_level_is_a_mapping(text: str, shown: str) -> None:
    assert problems(text) == [f"a.yaml:1:1 must be a mapping of settings, got {shown}"]


def test_a_whole_number_will_do_for_any_number() -> None:
    assert parse("optimizer: {name: sgd, learning_rate: 1, momentum: 0}").optimizer.learning_rate == 1.0


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
def test_a_number_out_of_bounds_is_refused(key: str, value: str, expected: str) -> None:
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
def test_a_bound_itself_is_allowed(key: str, values: list[str]) -> None:
    for value in values:
        parse("optimizer: adam", f"{key}={value}")


def test_a_network_has_at_most_a_hundred_blocks() -> None:
    assert len(parse(f"model: {{layers: [{'8, ' * 100}]}}").model.layers) == 100
    assert problems(f"model: {{layers: [{'8, ' * 101}]}}") == [
        "a.yaml:1:17 model.layers: must have at most 100 entries, got 101"
    ]


# Choices


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {fallback: fashion_mnist}", "a.yaml:1:18 data.fallback: must be mnist-sample, got 'fashion_mnist'"),
        ("model: {layers: [{units: 1, activation: ReLU}]}", "a.yaml:1:41 model.layers[0].activation: must be one of"
         f" {', '.join(get_args(config_schema.Activation))}, got 'ReLU' (did you mean 'relu'?)"),
        ("model: {layers: [{units: 1, initializer: [a]}]}", "a.yaml:1:42 model.layers[0].initializer: must be one of"
         f" {', '.join(get_args(config_schema.Initializer))}, got a list"),
        ("training: {early_stopping: {monitor: 3}}", "a.yaml:1:38 training.early_stopping.monitor: must be one of"
         " val_loss, val_accuracy, loss, accuracy, got 3"),
    ],
)  # fmt: skip
def test_a_value_outside_its_choices_is_refused(text: str, expected: str) -> None:
    assert problems(text) == [expected]


OPTIMIZERS = (
    "sgd, rmsprop, adagrad, adadelta, adam, adamw, adamax, nadam, lamb, schedulefreeadamw, lion, ftrl, adafactor, muon"
)
SCHEDULES = (
    "exponential_decay, inverse_time_decay, polynomial_decay, piecewise_constant_decay, cosine_decay,"
    " cosine_decay_restarts, linear_warmup"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer: {name: adm}", f"a.yaml:1:19 optimizer.name: must be one of {OPTIMIZERS}, got 'adm'"
         " (did you mean 'adam'?)"),
        ("optimizer: SGD", f"a.yaml:1:12 optimizer.name: must be one of {OPTIMIZERS}, got 'SGD' (did you mean 'sgd'?)"),
        ("optimizer: {name: 5}", f"a.yaml:1:19 optimizer.name: must be one of {OPTIMIZERS}, got 5"),
        ("optimizer: {name: [adam]}", f"a.yaml:1:19 optimizer.name: must be one of {OPTIMIZERS}, got a list"
         " (did you mean 'adam'?)"),
        ("optimizer: {name: }", f"a.yaml:1:18 optimizer.name: must be one of {OPTIMIZERS}, got nothing"),
        ("optimizer: {learning_rate: 0.1}", "a.yaml:1:12 optimizer.name: is required"),
        ("optimizer: {name: sgd, learning_rate: {name: cosine}}", "a.yaml:1:46 optimizer.learning_rate.name:"
         f" must be one of {SCHEDULES}, got 'cosine' (did you mean 'cosine_decay'?)"),
        ("optimizer: {name: sgd, learning_rate: {alpha: 1}}", "a.yaml:1:39 optimizer.learning_rate.name: is required"),
        ("optimizer: {name: sgd, learning_rate: cosine_decay}", "a.yaml:1:39 optimizer.learning_rate: must be a number,"
         " got 'cosine_decay'"),
        ("optimizer: {name: sgd, learning_rate: [1]}", "a.yaml:1:39 optimizer.learning_rate: must be a number,"
         " got a list"),
    ],
)  # fmt: skip
def test_an_optimizer_or_schedule_is_one_of_those_there_are(text: str, expected: str) -> None:
    assert problems(text) == [expected]


# Optimizers, schedules and layers


@pytest.mark.parametrize("name", OPTIMIZERS.split(", "))
def test_an_optimizer_is_its_name_or_a_mapping(name: str) -> None:
    short = parse(f"optimizer: {name}")
    assert short == parse(f"optimizer: {{name: {name}}}") == parse("", f"optimizer={name}")
    assert short.optimizer.name == name


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
def test_every_schedule_is_read_and_its_faults_are_named_with_their_path(arguments: dict[str, Any]) -> None:
    read = parse(f"optimizer: {{name: adam, learning_rate: {json.dumps(arguments)}}}").optimizer.learning_rate
    assert {key: getattr(read, key) for key in arguments} == arguments
    wrong = {**arguments, "decay_steps": 0, "decay_stps": 5}
    text = f"optimizer:\n  name: adam\n  learning_rate: {json.dumps(wrong)}"
    steps, key = problems(text)
    assert steps.endswith(" optimizer.learning_rate.decay_steps: must be at least 1, got 0")
    assert key.endswith(" optimizer.learning_rate.decay_stps: unknown key (did you mean 'decay_steps'?)")
    assert problems("optimizer: {name: adam, learning_rate: {name: cosine_decay, decay_steps: 5}}") == [
        "a.yaml:1:40 optimizer.learning_rate.initial_learning_rate: is required"
    ]


def test_faults_of_a_mapping_that_is_named_like_an_optimizer_do_not_confuse() -> None:
    assert problems("optimizer: {name: adam, adam: {beta_1: 1}, beta_1: 7}") == [
        f"a.yaml:1:25 optimizer.adam: unknown key (allowed: name, learning_rate,"
        f" {COMMON}, beta_1, beta_2, epsilon, amsgrad)",
        "a.yaml:1:52 optimizer.beta_1: must be less than 1, got 7",
    ]
    assert problems("training: {name: epochs, epochs: 0}") == [
        "a.yaml:1:12 training.name: unknown key (allowed: epochs, batch_size, label_smoothing, early_stopping,"
        " augmentation, jit_compile, threads, tensorboard)",
        "a.yaml:1:34 training.epochs: must be at least 1, got 0",
    ]


def test_batch_normalization_is_a_switch_or_a_mapping() -> None:
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


def test_a_number_of_units_is_short_for_a_block() -> None:
    short = parse("model: {layers: [128, {units: 64, dropout: 0.5}]}").model.layers
    assert short == parse("model: {layers: [{units: 128, activation: relu}, {units: 64, dropout: 0.5}]}").model.layers
    assert problems("model: {layers: [0, 99999]}") == [
        "a.yaml:1:18 model.layers[0]: must be at least 1, got 0",
        "a.yaml:1:21 model.layers[1]: must be at most 16384, got 99999",
    ]


# Contradictions


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_early_stopping_cannot_watch_a_hold_out_that_is_not_there(monitor: str) -> None:
    text = f"training:\n  early_stopping: {{monitor: {monitor}}}"
    message = f"{monitor} needs images held out; set data.validation, or monitor loss or accuracy"
    assert problems(text) == [f"a.yaml:2:29 training.early_stopping.monitor: {message}"]
    assert parse(text, "data.validation=1").training.early_stopping
    assert parse(text, "data.validation=0.1").training.early_stopping
    assert parse(text, "training.early_stopping.monitor=loss").training.early_stopping


def test_a_default_that_contradicts_stands_where_its_section_does() -> None:
    [problem] = problems("training: {early_stopping: {}}")
    assert problem.startswith("a.yaml:1:28 training.early_stopping.monitor: val_loss needs images held out;")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("warmup_target: 0.1", ": warmup_target goes together with warmup_steps or warmup_epochs"),
        ("warmup_steps: 10", ": warmup_target goes together with warmup_steps or warmup_epochs"),
        ("initial_learning_rate: 0", ".initial_learning_rate: must be greater than 0 without a warm-up"),
    ],
)
def test_a_warm_up_needs_both_its_arguments(arguments: str, expected: str) -> None:
    start = "" if "initial" in arguments else "initial_learning_rate: 0.01, "
    schedule = f"{{name: cosine_decay, decay_steps: 5, {start}{arguments}}}"
    [problem] = problems(f"optimizer: {{name: adam, learning_rate: {schedule}}}")
    assert f" optimizer.learning_rate{expected}" in problem


def test_contradictions_are_named_in_reading_order_too() -> None:
    rate = "{name: cosine_decay, decay_steps: 5, initial_learning_rate: 1, warmup_steps: 1}"
    found = problems(f"optimizer: {{name: sgd, learning_rate: {rate}}}\ntraining: {{early_stopping: {{}}}}")
    assert [problem.split()[1] for problem in found] == ["optimizer.learning_rate:", "training.early_stopping.monitor:"]


# Overrides


@pytest.mark.parametrize("text", ["", "=", "=5", "epochs", "a..b=1", ".a=1", "a.=1", "[0]=1"])
def test_an_override_without_a_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Override.parse(text)
    assert str(caught.value) == f"--set {text}: expected key.path=value, for example --set training.epochs=5"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a={", "not valid YAML: expected the node content, but found '<stream end>'"),
        ("a=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a={b: 1, b: 2}", "given twice, first in line 1"),
        ("a=!!python/name:os.system", "the tag !!python/name:os.system is not allowed here"),
        ("a=\0", "not valid YAML: the character '\\x00' is not allowed"),
        ("a=" + "9" * 5000, f"cannot be read as a number: '{'9' * 37}...'"),
    ],
)
def test_an_override_whose_value_is_no_yaml_is_refused(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        Override.parse(text)
    assert str(caught.value) == f"--set {text}: {expected}"


@pytest.mark.parametrize(
    ("settings", "key", "expected"),
    [
        (["training.epochs=3"], "training.epochs", 3),
        (["training.epochs=3", "training.epochs=4"], "training.epochs", 4),
        (["optimizer.learning_rate=1e-4"], "optimizer.learning_rate", 1e-4),
        (["data.dataset=a=b"], "data.dataset", "a=b"),
        (["data.dataset='1'"], "data.dataset", "1"),
        (['data.dataset="~"'], "data.dataset", "~"),
        (["data.fallback=null"], "data.fallback", None),
        (["data.fallback="], "data.fallback", None),
        (["training.early_stopping.monitor=loss"], "training.early_stopping.monitor", "loss"),
        (["training.early_stopping={monitor: loss}", "training.early_stopping=null"], "training.early_stopping", None),
        (["model.layers[0]=64"], "model.layers.0.units", 64),
        (["model.layers.0.dropout=0.5"], "model.layers.0.dropout", 0.5),
        (["model.layers.0.dropout=0.5"], "model.layers.0.units", 128),
        (["model.layers[2]={units: 16}"], "model.layers.2.units", 16),
        (["model.layers[2].units=16", "model.layers[2].dropout=0.5"], "model.layers.2.dropout", 0.5),
        (["model.layers=[8]"], "model.layers", [{"units": 8}]),
        (["optimizer.momentum=0.9"], "optimizer.momentum", 0.9),
        (["optimizer=adam", "optimizer.beta_1=0.5"], "optimizer.beta_1", 0.5),
    ],
)
def test_overrides_change_what_they_name(settings: list[str], key: str, expected: Any) -> None:
    text = "data: {fallback: mnist-sample}\nmodel: {layers: [128, {units: 32}]}\noptimizer: sgd"
    values: Any = parse(text, *settings).to_dict()
    for part in yaml_document.parse_path(key):
        values = values[part]
    if isinstance(expected, list):
        values = [{name: value[name] for name in only} for value, only in zip(values, expected, strict=True)]
    assert values == expected


def test_an_override_makes_the_sections_an_empty_file_lacks() -> None:
    overrides = ("training.epochs=3", "model.layers[0]=64", "data.dataset=mnist-sample")
    assert parse("", *overrides) == parse("data: {dataset: mnist-sample}\nmodel: {layers: [64]}\ntraining: {epochs: 3}")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("training.epoch=3", "training.epoch: unknown key (did you mean 'epochs'?)"),
        ("epochs=3", "epochs: unknown key (allowed: seed, engine, data, model, optimizer, training)"),
        ("training.epochs=ten", "training.epochs: must be a whole number, got 'ten'"),
        ("training.epochs=", "training.epochs: must be a whole number, got nothing"),
        ("seed.x=1", "seed: must be a whole number, got a mapping"),
        ("model.layers[3]=1", "model.layers[3]: the next new entry of model.layers would be [1]"),
        ("model.layers[-1]=1", "model.layers[-1]: unknown key (did you mean 'layers'?)"),
        ("model.layers.units=1", "model.layers.units: model.layers is a list, not a mapping"),
        ("model.layers[0].unit=1", "model.layers[0].unit: unknown key (did you mean 'units'?)"),
        ("optimizer.nesterov=true", "optimizer.nesterov: unknown key"
         f" (allowed: name, learning_rate, {COMMON}, beta_1, beta_2, epsilon, amsgrad)"),
        ("optimizer[0]=1", "optimizer.0: unknown key"
         f" (allowed: name, learning_rate, {COMMON}, beta_1, beta_2, epsilon, amsgrad)"),
    ],
)  # fmt: skip
def test_an_override_is_the_place_of_its_own_faults(setting: str, expected: str) -> None:
    assert problems("seed: 0\nmodel: {layers: [128]}\noptimizer: adam", setting) == [f"--set {setting} {expected}"]


def test_the_faults_of_overrides_and_file_are_named_together() -> None:
    assert problems("seed: x\nmodel: {layers: [1]}", "model.layers[5]=1", "training.epochs=0") == [
        "--set model.layers[5]=1 model.layers[5]: the next new entry of model.layers would be [1]",
        "--set training.epochs=0 training.epochs: must be at least 1, got 0",
        "a.yaml:1:7 seed: must be a whole number, got 'x'",
    ]


def test_the_rest_of_a_short_form_keeps_its_place_in_the_file() -> None:
    assert problems("model: {layers: [0]}", "model.layers[0].dropout=0.1") == [
        "a.yaml:1:18 model.layers[0].units: must be at least 1, got 0"
    ]


def test_an_override_mends_a_fault_of_the_file() -> None:
    assert parse("training: {epochs: 0}", "training.epochs=1").training.epochs == 1


@pytest.mark.parametrize("text", ["hello", "[1]"])
def test_an_override_does_not_hide_a_config_that_is_no_mapping(text: str) -> None:
    found = problems(text, "training.epochs=1")
    assert len(found) == 2
    assert found[1].startswith("a.yaml:1:1 must be a mapping of settings, got ")


def test_a_shorthand_option_is_named_as_it_was_typed() -> None:
    with pytest.raises(ConfigError) as caught:
        loading.parse("training: {epochs: 5}", "a.yaml", [Override("training.epochs", 0, "--epochs 0")])
    assert str(caught.value) == "a.yaml has 1 problem\n  --epochs 0  training.epochs: must be at least 1, got 0"


def test_an_override_can_be_used_again() -> None:
    overrides = [Override.parse("optimizer={name: sgd}"), Override.parse("optimizer.momentum=0.5")]
    assert loading.parse("", "a.yaml", overrides) == loading.parse("", "b.yaml", overrides)
    assert overrides[0].value == {"name": "sgd"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        overrides[0].key = "other"  # type: ignore[misc]


# Files


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_an_empty_file_is_all_defaults(text: str) -> None:
    assert parse(text) == Config()
    assert parse(text).to_dict() == {
        "seed": 0,
        "engine": "keras",
        "data": {
            "dataset": "mnist",
            "validation": 0,
            "fallback": None,
            "classes": None,
            "images_per_class": None,
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
            "threads": "auto",
            "tensorboard": False,
        },
    }


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        loading.load(name)
    return str(caught.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for content in (b"seed: \xff", "seed: 1".encode("utf-16"), b"\x80" * 2_000_000):
        path.write_bytes(content)
        assert refusal(str(path)) == f"{path} cannot be read: it is not UTF-8 text"


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04\x00\x00")
    expected = f"  {path}:1:3  not valid YAML: the character '\\x03' is not allowed"
    assert refusal(str(path)) == f"{path} has 1 problem\n{expected}"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1\n" * 250_000)
    assert refusal(str(path)) == f"{path} has 1 problem\n  {path}  longer than 100,000 characters"


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.yaml"
    path.touch()
    monkeypatch.setattr(Path, "open", refuse)
    assert refusal(str(path)) == f"{path} cannot be read: Permission denied"


def test_a_name_that_no_file_can_have_is_refused() -> None:
    assert refusal("x" * 5000) == f"{'x' * 5000} cannot be read: File name too long"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nowhere/there.yaml", ""),
        ("smok", " (did you mean 'smoke'?)"),
        ("mnist.yaml", " (did you mean 'mnist'?)"),
        ("nowhere/mnst.yaml", " (did you mean 'mnist'?)"),
        ("MNIST", ""),
        ("a\0b", ""),
    ],
)
def test_a_missing_file_is_named_with_what_there_is(
    name: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(name) == f"there is no config file {name}{hint}; shipped configs: " + ", ".join(loading.SHIPPED)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == f"{tmp_path} is a folder, not a config file"


def test_a_path_comes_before_a_shipped_name_and_that_before_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert loading.find("mnist") == loading.shipped_folder() / "mnist.yaml"
    (tmp_path / "mnist").mkdir()
    assert loading.find("mnist") == loading.shipped_folder() / "mnist.yaml"
    (tmp_path / "smoke").write_text("seed: 9")
    assert loading.load("smoke").seed == 9


@pytest.mark.skipif(os.name != "posix", reason="needs /dev/stdin")
def test_a_config_may_come_through_a_pipe() -> None:
    code = "import sys; from dnn_cli import config; print(config.load('/dev/stdin').seed)"
    assert printed(code, "seed: 9") == "9\n"


def test_overrides_reach_a_loaded_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("training: {epochs: 5}")
    assert loading.load(str(path), [Override.parse("seed=3")]) == parse("seed: 3\ntraining: {epochs: 5}")


# The shipped configs


def test_every_shipped_config_is_listed() -> None:
    assert loading.shipped_folder() == SHIPPED
    assert sorted(path.stem for path in SHIPPED.glob("*.yaml")) == sorted(loading.SHIPPED)


@pytest.mark.parametrize("name", loading.SHIPPED)
def test_a_shipped_config_is_valid_and_begins_with_what_it_is_for(name: str) -> None:
    assert loading.load(name) == loading.load(str(SHIPPED / f"{name}.yaml"))
    assert (SHIPPED / f"{name}.yaml").read_text().startswith("# ")


def test_mnist_is_the_textbook_network() -> None:
    read = loading.load("mnist")
    assert read == parse("data: {fallback: mnist-sample}\nmodel: {layers: [128]}")


# Classes, and weights to start from


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {classes: [3, 5, 3, 5, 3, 4]}", "1:17 data.classes: must not repeat 3, 5"),
        ("data: {classes: [3]}", "1:17 data.classes: must be two at least, got 1"),
        ("data: {classes: 3}", "1:17 data.classes: must be a list, got 3"),
        ("data: {classes: [3, -1]}", "1:21 data.classes[1]: must be at least 0, got -1"),
        ("data: {classes: [3, x]}", "1:21 data.classes[1]: must be a whole number, got 'x'"),
        ("data: {images_per_class: 0}", "1:26 data.images_per_class: must be at least 1, got 0"),
        ("model: {init_from: ''}", "1:20 model.init_from: must not be empty"),
        (
            "model: {layers: [8], freeze: [0]}",
            "1:30 model.freeze: needs init_from: what is not trained must have been trained before",
        ),
        (
            "model: {layers: [8], learning_rate_factor: 2}",
            "1:44 model.learning_rate_factor: needs init_from: it is for the layers that are loaded",
        ),
        (
            "model: {init_from: a.keras, learning_rate_factor: 0}",
            "1:51 model.learning_rate_factor: must be greater than 0, got 0",
        ),
        (
            "model: {init_from: a.keras, freeze: all-but-head}",
            "1:37 model.freeze: has nothing to freeze: layers is empty",
        ),
        (
            "model: {init_from: a.keras, freeze: all}",
            "1:37 model.freeze: must be all-but-head, got 'all'",
        ),
        ("model: {init_from: a.keras, freeze: 0}", "1:37 model.freeze: must be a list, got 0"),
        ("model: {init_from: a.keras, freeze: [-1]}", "1:38 model.freeze[0]: must be at least 0, got -1"),
        (
            "model: {init_from: a.keras, layers: [8, 8], freeze: [1, 1]}",
            "1:53 model.freeze: must not repeat 1",
        ),
        (
            "model: {init_from: a.keras, layers: [8, 8], freeze: [3, 1, 2]}",
            "1:53 model.freeze: names blocks that are not there: 2, 3 (allowed: 0 to 1)",
        ),
        (
            "model: {init_from: a.keras, freeze: [0]}",
            "1:37 model.freeze: names blocks that are not there: 0 (allowed: none, since layers is empty)",
        ),
    ],
)
def test_what_cannot_be_selected_or_frozen_is_named_at_its_place(text: str, expected: str) -> None:
    assert problems(text) == [f"a.yaml:{expected}"]


def test_the_weights_to_start_from_are_named_from_the_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = parse("model: {init_from: runs/one}")
    assert read.model.init_from == str(tmp_path / "runs/one")
    monkeypatch.chdir("/")
    assert parse(read.to_yaml()) == read
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("model: {init_from: ~/one.keras}").model.init_from == str(tmp_path / "one.keras")
    assert parse("model: {init_from: ~nobody-of-that-name/a}").model.init_from == "~nobody-of-that-name/a"


def test_what_is_frozen() -> None:
    blocks = "model: {init_from: a, layers: [8, 8, 8], freeze: "
    assert parse(f"{blocks}all-but-head}}").model.frozen == {0, 1, 2}
    assert parse(f"{blocks}[2, 0]}}").model.frozen == {0, 2}
    assert parse(f"{blocks}[]}}").model.frozen == set()


# The config as a value

rates = st.floats(1e-30, 1000)
shares = st.floats(0, 1, exclude_max=True)
steps = st.integers(1, 10**9)


def mappings(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings that have any of the keys; the `name`, and what Keras requires, always."""
    required = {"name", "monitor", "units", "initial_learning_rate", "decay_steps", "decay_rate", "warmup_target"}
    fixed = {key: value for key, value in strategies.items() if key in required}
    optional = {key: value for key, value in strategies.items() if key not in required}
    return st.fixed_dictionaries(fixed, optional=optional)


schedules = st.one_of(
    *(
        mappings(name=st.just(name), initial_learning_rate=rates, decay_steps=steps, decay_rate=rates)
        for name in ("exponential_decay", "inverse_time_decay")
    ),
    mappings(
        name=st.just("polynomial_decay"),
        initial_learning_rate=rates,
        decay_steps=steps,
        power=rates,
        end_learning_rate=rates,
        cycle=st.booleans(),
    ),
    mappings(name=st.just("cosine_decay"), initial_learning_rate=rates, decay_steps=steps, alpha=shares),
    st.fixed_dictionaries(
        {
            "name": st.just("piecewise_constant_decay"),
            "boundary_epochs": st.just([1, 2.5]),
            "values": st.lists(rates, min_size=3, max_size=3),
        }
    ),
    st.fixed_dictionaries(
        {"name": st.just("linear_warmup"), "warmup_target": rates, "warmup_epochs": st.floats(0.1, 9)}
    ),
    st.fixed_dictionaries(
        {
            "name": st.just("cosine_decay"),
            "initial_learning_rate": rates,
            "decay_steps": steps,
            "warmup_target": rates,
            "warmup_steps": steps,
        }
    ),
)
learning_rates = st.one_of(rates, schedules)
optimizers = st.one_of(
    st.sampled_from(OPTIMIZERS.split(", ")),
    mappings(name=st.just("sgd"), learning_rate=learning_rates, momentum=shares, nesterov=st.booleans()),
    mappings(name=st.just("rmsprop"), learning_rate=learning_rates, rho=shares, centered=st.booleans()),
    mappings(name=st.just("adagrad"), learning_rate=learning_rates, initial_accumulator_value=rates),
    mappings(name=st.just("adam"), learning_rate=learning_rates, beta_2=shares, epsilon=st.floats(1e-300, 1)),
    mappings(name=st.just("adamw"), learning_rate=learning_rates, weight_decay=rates, amsgrad=st.booleans()),
    mappings(name=st.just("nadam"), learning_rate=learning_rates, beta_1=shares),
    mappings(name=st.just("muon"), exclude_layers=st.lists(st.sampled_from(["output", "dense_1"])), rms_rate=st.none()),
    st.builds(
        lambda name, options: {"name": name, **options},
        st.sampled_from(OPTIMIZERS.split(", ")),
        mappings(
            weight_decay=rates,
            clipvalue=st.none() | rates,
            use_ema=st.just(True),
            ema_momentum=shares,
            gradient_accumulation_steps=st.none() | st.integers(2, 9),
        ),
    ),
)
blocks = st.one_of(
    st.integers(1, 16_384),
    mappings(
        units=st.integers(1, 16_384),
        activation=st.sampled_from(get_args(config_schema.Activation)),
        initializer=st.sampled_from(get_args(config_schema.Initializer)),
        use_bias=st.booleans(),
        batch_normalization=st.booleans() | st.none() | mappings(momentum=shares, epsilon=st.floats(1e-9, 1)),
        max_norm=st.none() | rates,
        dropout=shares,
        l1=rates,
        l2=rates,
    ),
)
drawn = mappings(
    seed=st.integers(0, 2**32 - 1),
    data=mappings(
        dataset=st.text(min_size=1),
        validation=st.integers(0, 10**6) | st.floats(0, 1, exclude_min=True, exclude_max=True),
        fallback=st.none() | st.just("mnist-sample"),
    ),
    model=mappings(layers=st.lists(blocks, max_size=4), input_dropout=shares),
    optimizer=optimizers,
    training=mappings(
        epochs=st.integers(1, 100_000),
        batch_size=st.integers(1, 65_536),
        jit_compile=st.booleans(),
        threads=st.just("auto") | st.integers(1, 1024),
        tensorboard=st.booleans(),
        label_smoothing=shares,
        early_stopping=st.none()
        | mappings(monitor=st.sampled_from(["loss", "accuracy"]), patience=st.integers(1, 99), min_delta=rates),
    ),
)


@settings(max_examples=50)
@given(drawn)
def test_the_resolved_config_reads_back_as_itself(values: dict[str, Any]) -> None:
    config = parse(yaml_document.dump(values))
    again = parse(config.to_yaml())
    assert again == config
    assert again.to_yaml() == config.to_yaml()
    assert difference.difference(config, again) == []
    assert allows(SCHEMA, values)
    assert allows(SCHEMA, config.to_dict())


@settings(max_examples=25)
@given(drawn, drawn)
def test_two_configs_differ_in_something_unless_they_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = parse(yaml_document.dump(one)), parse(yaml_document.dump(other))
    assert bool(difference.difference(first, second)) == (first != second)


def test_the_differences_of_two_configs_are_named_by_their_keys() -> None:
    old = parse("model: {layers: [128, 64]}\noptimizer: {name: sgd, momentum: 0.9}")
    new = parse(
        "data: {dataset: fashion_mnist, fallback: mnist-sample, validation: 0.1}\nmodel: {layers: [128]}\n"
        "training: {jit_compile: false, early_stopping: {}}"
    )
    assert difference.difference(old, new) == [
        "data.dataset: mnist → fashion_mnist",
        "data.validation: 0 → 0.1",
        "data.fallback: null → mnist-sample",
        "model.layers: [128, 64] → [128]",
        "optimizer.name: sgd → adam",
        "optimizer.learning_rate: 0.01 → 0.001",
        "optimizer.momentum: 0.9 → (not there)",
        "training.early_stopping: null → {}",
        "training.jit_compile: true → false",
    ]


def test_the_variations_of_several_configs_are_brief() -> None:
    texts = (
        "model: {layers: [128]}",
        "seed: 1\nmodel: {layers: [{units: 128, batch_normalization: true}]}\noptimizer: {name: sgd, nesterov: true}",
        "model: {layers: [64]}\noptimizer: {name: adam, learning_rate: {name: inverse_time_decay, "
        "initial_learning_rate: 0.1, decay_epochs: 2, decay_rate: 0.5}}",
    )
    rate = {"name": "inverse_time_decay", "initial_learning_rate": 0.1, "decay_epochs": 2.0, "decay_rate": 0.5}
    several = [parse(text) for text in texts]
    assert difference.variations(several) == {
        "seed": [0, 1, 0],
        "model.layers[0].units": [128, 128, 64],
        "model.layers[0].batch_normalization": [None, {}, None],
        "optimizer.name": ["adam", "sgd", "adam"],
        "optimizer.learning_rate": [0.001, 0.01, rate],
        "optimizer.nesterov": [difference.ABSENT, True, difference.ABSENT],
    }
    deeper = parse("model: {layers: [128, {units: 64, dropout: 0.2}, 32]}")
    assert difference.variations([several[0], deeper, several[0]]) == {
        "model.layers": [[128], [128, {"units": 64, "dropout": 0.2}, 32], [128]]
    }
    assert difference.variations(several[:1]) == difference.variations([]) == {}


def test_a_config_cannot_be_changed() -> None:
    config = parse("model: {layers: [128]}")
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.model.layers[0].units = 1  # type: ignore[misc]
    assert isinstance(config.model.layers, tuple)
    assert hash(config) == hash(parse("model: {layers: [128]}"))


def test_another_number_of_epochs_makes_another_config() -> None:
    config = loading.load("small")
    longer = config.with_epochs(99)
    assert difference.difference(config, longer) == ["training.epochs: 30 → 99"]
    assert config.training.epochs == 30


# The JSON Schema

SCHEMA = config_schema.json_schema()
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
    """Whether a JSON Schema allows `value`: as much of the standard as ours uses, and an error at anything else."""
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
    values = yaml_document.parse((SHIPPED / f"{name}.yaml").read_text(), name).values
    assert allows(SCHEMA, values)
    assert allows(SCHEMA, loading.load(name).to_dict())


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
def test_the_schema_refuses_what_the_parser_does(text: str) -> None:
    assert problems(text)
    assert not allows(SCHEMA, yaml_document.parse(text, "a.yaml").values)


def test_the_schema_says_what_every_field_is_for() -> None:
    schema = config_schema.json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    sections = {"Config": schema, **schema["$defs"]}
    for title, section in sections.items():
        assert section["description"].endswith("."), title
        assert section["additionalProperties"] is False
        for key, field in section["properties"].items():
            assert "const" in field or field["description"], f"{title}.{key}"
    json.dumps(schema, allow_nan=False)


# What it costs


def test_reading_a_config_loads_nothing_heavy() -> None:
    code = (
        "import sys; from dnn_cli import config; config.load('mnist'); config.json_schema();"
        "heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'click', 'rich'};"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    assert printed(code) == "[]\n"


# The installed Keras has what the config offers


def defaults(signature: inspect.Signature) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def test_names_and_defaults_are_keras_own() -> None:
    import keras

    for name in get_args(config_schema.Activation):
        assert keras.activations.get(name) is getattr(keras.activations, name)
    of_keras = {name for name, one in vars(keras.activations).items() if inspect.isfunction(one)}
    over_all_units = {"softmax", "log_softmax", "sparsemax", "glu"}
    assert set(get_args(config_schema.Activation)) == of_keras - over_all_units - {
        "threshold",
        "get",
        "serialize",
        "deserialize",
    }

    of_keras = {name for name, one in vars(keras.initializers).items() if inspect.isclass(one) and name.islower()}
    all_units_alike = {"zeros", "ones", "constant"}
    assert set(get_args(config_schema.Initializer)) == of_keras - all_units_alike - {"stft"}

    normalization = defaults(inspect.signature(keras.layers.BatchNormalization))
    for name, field in config_schema.BatchNormalization.model_fields.items():
        assert field.default == normalization[name]
    dense = defaults(inspect.signature(keras.layers.Dense))
    block = {name: field.default for name, field in config_schema.Block.model_fields.items()}
    assert (block["use_bias"], block["initializer"]) == (dense["use_bias"], dense["kernel_initializer"])
    stopping = defaults(inspect.signature(keras.callbacks.EarlyStopping))
    ours = {name: field.default for name, field in config_schema.EarlyStopping.model_fields.items()}
    assert (ours["monitor"], ours["min_delta"]) == (stopping["monitor"], stopping["min_delta"])
