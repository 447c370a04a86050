"""Test the remedies of findings: valid changes of a config, as YAML and as an option."""

from typing import Any

import pytest

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.config.schema import Config
from dnn_cli.reporting import remedies
from dnn_cli.reporting.remedies import Change


def config_with(*settings: str) -> Config:
    return loading.load("mnist", [Override.parse(text) for text in settings])


def yaml(config: Config, changes: list[Change]) -> str:
    return remedies.first(config, changes)[0]


def test_a_change_as_yaml_and_as_an_option() -> None:
    assert remedies.first(config_with(), [("training.epochs", 20)]) == (
        "training: {epochs: 20}",
        "--set training.epochs=20",
    )
    assert remedies.first(config_with(), remedies.stopping(config_with())) == (
        "training: {early_stopping: {monitor: loss, patience: 5}}",
        "--set 'training.early_stopping={monitor: loss, patience: 5}'",
    )


def test_changes_without_effect_and_invalid_changes_are_skipped() -> None:
    config = config_with("engine=numpy")
    augmented = ("training.augmentation", {"rotation": 10})  # the NumPy engine does not support it
    assert yaml(config, [("training.epochs", 10), augmented, ("seed.no", 1), ("training.epochs", 20)]) == (
        "training: {epochs: 20}"
    )
    assert remedies.first(config, [augmented]) == ("", "")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["optimizer.learning_rate=0.001"], "{learning_rate: 0.0001}"),
        (["optimizer.learning_rate=0.003"], "{learning_rate: 0.001}"),
        (["optimizer.learning_rate=0.02"], "{learning_rate: 0.002}"),
        (["optimizer.learning_rate=5"], "{learning_rate: 0.003}"),
        (["optimizer={name: sgd, learning_rate: 1}"], "{learning_rate: 0.03}"),
        (
            ["optimizer.learning_rate={name: cosine_decay, initial_learning_rate: 0.05, decay_epochs: 4}"],
            "{learning_rate: {name: cosine_decay, initial_learning_rate: 0.005, decay_epochs: 4.0, alpha: 0.0, "
            "warmup_steps: 0}}",
        ),
        (
            ["optimizer.learning_rate={name: piecewise_constant_decay, boundaries: [100], values: [0.3, 0.03]}"],
            "{learning_rate: {name: piecewise_constant_decay, boundaries: [100], values: [0.03, 0.003]}}",
        ),
    ],
)
def test_a_lower_learning_rate(settings: list[str], expected: str) -> None:
    config = config_with(*settings)
    assert yaml(config, remedies.lower_rate(config)) == f"optimizer: {expected}"


def test_a_constant_learning_rate_gets_a_schedule() -> None:
    config = config_with()
    assert yaml(config, remedies.falling_rate(config)) == (
        "optimizer: {learning_rate: {name: cosine_decay, initial_learning_rate: 0.001, decay_epochs: all}}"
    )
    assert remedies.falling_rate(loading.load("fast")) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            [],
            "training: {augmentation: {rotation: 10, translation: 1.5, scale: 0.1, shear: 8, elastic: {strength: 2}}}",
        ),
        (["engine=numpy"], "model: {layers: [{units: 128, dropout: 0.2}]}"),
        (["training.augmentation.noise=0.1"], "model: {layers: [{units: 128, dropout: 0.2}]}"),
        (
            ["engine=numpy", "model.layers=[{units: 9, activation: tanh, dropout: 0.5}]"],
            "model: {layers: [{units: 9, activation: tanh, dropout: 0.5, l2: 0.0003}]}",
        ),
        (
            ["engine=numpy", "model.layers=[{units: 9, dropout: 0.5, l2: 0.1}]", "data.validation=9"],
            "training: {early_stopping: {patience: 5}}",
        ),
        (
            ["engine=numpy", "model.layers=[]", "data.validation=9", "training.early_stopping={}"],
            "",
        ),
    ],
)
def test_remedies_against_overfitting(settings: list[str], expected: str) -> None:
    config = config_with(*settings)
    assert yaml(config, remedies.against_overfitting(config)) == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("[]", "[128]"),
        ("[4]", "[32]"),
        ("[64, {units: 32, dropout: 0.1}]", "[128, {units: 64, dropout: 0.1}]"),
        ("[{units: 9, activation: sigmoid}, {units: 9, activation: tanh}]", "[9, 9]"),
    ],
)
def test_a_network_of_higher_capacity(layers: str, expected: str) -> None:
    config = config_with(f"model.layers={layers}")
    assert yaml(config, remedies.stronger(config)) == f"model: {{layers: {expected}}}"


def test_layers_with_loaded_weights_get_no_more_units() -> None:
    assert remedies.stronger(config_with("model.init_from=other.keras")) == []


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("{units: 9, dropout: 0.8}", "{units: 9, dropout: 0.4}"),
        ("{units: 9, l1: 0.1, l2: 0.01}", "{units: 9, l1: 0.01, l2: 0.001}"),
        ("{units: 9, dropout: 0.5}", None),
    ],
)
def test_strong_regularization_is_weakened(block: str, expected: Any) -> None:
    config = config_with(f"model.layers=[{block}]")
    assert yaml(config, remedies.lighter(config)) == (f"model: {{layers: [{expected}]}}" if expected else "")


def test_label_smoothing_follows_the_excess_confidence() -> None:
    smoothed = config_with("training.label_smoothing=0.1")
    assert yaml(config_with(), remedies.smoothing(config_with(), 0.04)) == "training: {label_smoothing: 0.01}"
    assert yaml(smoothed, remedies.smoothing(smoothed, 0.04)) == "training: {label_smoothing: 0.11}"
    assert yaml(smoothed, remedies.smoothing(smoothed, -0.04)) == "training: {label_smoothing: 0.0}"
    assert yaml(config_with(), remedies.smoothing(config_with(), -0.04)) == ""


def test_a_learning_rate_far_below_the_default_is_raised() -> None:
    assert remedies.raised_rate(config_with("optimizer.learning_rate=0.0004")) == [("optimizer.learning_rate", 0.001)]
    assert remedies.raised_rate(config_with("optimizer.learning_rate=0.0006")) == []
    assert not remedies.is_fast(loading.load("fast"))
