"""Test that settings which contradict each other are reported at their places."""

from collections.abc import Iterator

import pytest

from dnn_cli.config.schema import Block
from dnn_cli.config.section import Contradiction
from tests.config.helpers import parse, problems


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_early_stopping_on_validation_needs_images_held_out(monitor: str) -> None:
    text = f"training:\n  early_stopping: {{monitor: {monitor}}}"
    message = f"{monitor} needs images held out; set data.validation, or monitor loss or accuracy"
    assert problems(text) == [f"a.yaml:2:29 training.early_stopping.monitor: {message}"]
    assert parse(text, "data.validation=1").training.early_stopping
    assert parse(text, "data.validation=0.1").training.early_stopping
    assert parse(text, "training.early_stopping.monitor=loss").training.early_stopping


def test_a_contradicting_default_is_reported_at_the_place_of_its_section() -> None:
    [problem] = problems("training: {early_stopping: {}}")
    assert problem.startswith("a.yaml:1:28 training.early_stopping.monitor: val_loss needs images held out;")


def test_contradictions_are_listed_in_reading_order() -> None:
    rate = "{name: cosine_decay, decay_steps: 5, initial_learning_rate: 1, warmup_steps: 1}"
    found = problems(f"optimizer: {{name: sgd, learning_rate: {rate}}}\ntraining: {{early_stopping: {{}}}}")
    assert [problem.split()[1] for problem in found] == ["optimizer.learning_rate:", "training.early_stopping.monitor:"]


def test_a_contradiction_in_an_entry_of_a_list_is_reported_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def contradictions(block: Block) -> Iterator[Contradiction]:
        if block.units == 8:
            yield ("units",), "must not be 8"

    monkeypatch.setattr(Block, "contradictions", contradictions)
    assert problems("model: {layers: [4, 8, {units: 8}]}") == [
        "a.yaml:1:21 model.layers[1].units: must not be 8",
        "a.yaml:1:32 model.layers[2].units: must not be 8",
    ]


def test_an_unsupported_setting_of_the_numpy_engine_is_reported_at_its_place() -> None:
    assert problems("engine: numpy\nmodel:\n  layers:\n    - 8\n    - {units: 4, max_norm: 2}\noptimizer: lion") == [
        "a.yaml:5:28 model.layers[1].max_norm: needs engine: keras",
        "a.yaml:6:12 optimizer.name: the NumPy engine does not support lion (supported: sgd, rmsprop, adam, adamw)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {classes: [3, 5, 3, 5, 3, 4]}", "1:17 data.classes: must not repeat 3, 5"),
        ("data: {classes: [3]}", "1:17 data.classes: must have at least two labels, got 1"),
        ("data: {classes: 3}", "1:17 data.classes: must be a list, got 3"),
        ("data: {classes: [3, -1]}", "1:21 data.classes[1]: must be at least 0, got -1"),
        ("data: {classes: [3, 1.5]}", "1:21 data.classes[1]: must be a whole number, got 1.5"),
        ("data: {images_per_class: 0}", "1:26 data.images_per_class: must be at least 1, got 0"),
        ("model: {init_from: ''}", "1:20 model.init_from: must not be empty"),
        (
            "model: {layers: [8], freeze: [0]}",
            "1:30 model.freeze: needs init_from: only blocks with loaded weights can be frozen",
        ),
        (
            "model: {layers: [8], learning_rate_factor: 2}",
            "1:44 model.learning_rate_factor: needs init_from: it applies to loaded layers only",
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
            "1:53 model.freeze: names blocks that do not exist: 2, 3 (allowed: 0 to 1)",
        ),
        (
            "model: {init_from: a.keras, freeze: [0]}",
            "1:37 model.freeze: names blocks that do not exist: 0 (allowed: none, since layers is empty)",
        ),
    ],
)
def test_classes_and_frozen_blocks_that_are_not_possible_are_reported(text: str, expected: str) -> None:
    assert problems(text) == [f"a.yaml:{expected}"]
