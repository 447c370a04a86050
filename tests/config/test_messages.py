"""Test the message, the place and the order of each kind of problem in a config."""

from typing import get_args

import pytest

from dnn_cli.config import loading, schema
from dnn_cli.config.data_section import Data
from dnn_cli.errors import ConfigError
from tests.config.helpers import COMMON_ARGUMENTS, OPTIMIZERS, SCHEDULES, parse, problems


def test_all_problems_are_listed_with_their_places_in_reading_order() -> None:
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
        f" {', '.join(get_args(schema.Activation))}, got 'rellu' (did you mean 'relu'?)",
        "  bad.yaml:9:40   optimizer.learning_rate: must be greater than 0, got -0.1",
        "  bad.yaml:9:54   optimizer.beta_1: must be a number, got 'high'",
        "  bad.yaml:10:20  training.epochs: must be a whole number, got 'ten'",
        "  bad.yaml:10:37  training.batch_size: must be a whole number, got 32.0",
        "  bad.yaml:10:56  training.jit_compile: must be true or false, got 'yes'",
        "  bad.yaml:10:77  training.early_stopping: must be a mapping of settings, got 5",
        "  bad.yaml:11:1   extra: unknown key (allowed: seed, engine, data, model, optimizer, training)",
        "  bad.yaml:12:1   training: given twice, first in line 10",
    ]


def test_an_unreadable_value_is_reported_once() -> None:
    assert problems("seed: !!binary aGk=\ntraining: {epochs: 0}") == [
        "a.yaml:1:7 seed: the tag !!binary is not allowed here",
        "a.yaml:2:20 training.epochs: must be at least 1, got 0",
    ]


def test_problems_are_sorted_by_line_number_if_the_file_name_has_a_colon() -> None:
    text = "seed: x\n" + "\n" * 8 + "data: 1\nmodel: 1\n"
    with pytest.raises(ConfigError) as caught:
        loading.parse(text, "C:99:1.yaml")
    places = [problem.place.removeprefix("C:99:1.yaml") for problem in caught.value.problems]
    assert places == [":1:7", ":10:7", ":11:8"]


# Keys


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
            f"(allowed: {', '.join(Data.model_fields)})",
        ),
        ("model: {layer: []}", "a.yaml:1:9 model.layer: unknown key (did you mean 'layers'?)"),
        ("optimizer: {name: sgd, lr: 1}", "a.yaml:1:24 optimizer.lr: unknown key (did you mean 'learning_rate'?)"),
        ("optimizer: {name: sgd, beta_1: 0.9}", "a.yaml:1:24 optimizer.beta_1: unknown key"
         f" (allowed: name, learning_rate, {COMMON_ARGUMENTS}, momentum, nesterov)"),
        ("optimizer: {name: sgd, sgd: {nesterov: 1}}", "a.yaml:1:24 optimizer.sgd: unknown key"
         f" (allowed: name, learning_rate, {COMMON_ARGUMENTS}, momentum, nesterov)"),
        ("training: {early_stopping: {patients: 3}}", "a.yaml:1:29 training.early_stopping.patients: unknown key"
         " (did you mean 'patience'?)"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_reported_with_a_suggestion_or_the_allowed_keys(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_a_repeated_key_is_reported_with_both_places() -> None:
    assert problems("training:\n  epochs: 1\n  epochs: 2") == [
        "a.yaml:3:3 training.epochs: given twice, first in line 2"
    ]


def test_a_missing_key_is_reported_as_required() -> None:
    assert problems("model: {layers: [{}]}") == ["a.yaml:1:18 model.layers[0].units: is required"]


def test_a_key_that_equals_a_name_does_not_confuse_the_path() -> None:
    assert problems("optimizer: {name: adam, adam: {beta_1: 1}, beta_1: 7}") == [
        f"a.yaml:1:25 optimizer.adam: unknown key (allowed: name, learning_rate,"
        f" {COMMON_ARGUMENTS}, beta_1, beta_2, epsilon, amsgrad)",
        "a.yaml:1:52 optimizer.beta_1: must be less than 1, got 7",
    ]
    assert problems("training: {name: epochs, epochs: 0}") == [
        "a.yaml:1:12 training.name: unknown key (allowed: epochs, batch_size, label_smoothing, class_weight, monitor,"
        " early_stopping, augmentation, jit_compile, checkpoint_seconds, threads, tensorboard)",
        "a.yaml:1:34 training.epochs: must be at least 1, got 0",
    ]


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
        ("data: {validation: many}", "a.yaml:1:20 data.validation: must be a count, a fraction or part, got 'many'"),
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
def test_a_value_of_the_wrong_type_is_rejected(text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "shown"), [("[]", "a list"), ("- seed: 1", "a list"), ("hello", "'hello'"), ("5", "5"), ("true", "true")]
)
def test_a_document_that_is_not_a_mapping_is_rejected(text: str, shown: str) -> None:
    assert problems(text) == [f"a.yaml:1:1 must be a mapping of settings, got {shown}"]


def test_a_whole_number_is_accepted_for_any_number() -> None:
    assert parse("optimizer: {name: sgd, learning_rate: 1, momentum: 0}").optimizer.learning_rate == 1.0


# Choices


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {fallback: fashion_mnist}", "a.yaml:1:18 data.fallback: must be mnist-sample, got 'fashion_mnist'"),
        ("model: {layers: [{units: 1, activation: ReLU}]}", "a.yaml:1:41 model.layers[0].activation: must be one of"
         f" {', '.join(get_args(schema.Activation))}, got 'ReLU' (did you mean 'relu'?)"),
        ("model: {layers: [{units: 1, initializer: [a]}]}", "a.yaml:1:42 model.layers[0].initializer: must be one of"
         f" {', '.join(get_args(schema.Initializer))}, got a list"),
        ("training: {early_stopping: {monitor: 3}}", "a.yaml:1:38 training.early_stopping.monitor: must be one of"
         " val_loss, val_accuracy, val_balanced_accuracy, val_macro_f1, loss, accuracy, got 3"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_one_of_the_choices_is_rejected(text: str, expected: str) -> None:
    assert problems(text) == [expected]


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
def test_an_unknown_or_missing_name_of_an_optimizer_or_schedule_is_rejected(text: str, expected: str) -> None:
    assert problems(text) == [expected]
