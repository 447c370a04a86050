"""Test the settings in which configs differ, and their values."""

from typing import Any

from hypothesis import given, settings

from dnn_cli.config import difference, yaml_document
from tests.config.helpers import parse
from tests.config.strategies import configs


@settings(deadline=None, max_examples=25)
@given(configs, configs)
def test_two_configs_have_differences_unless_they_are_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = parse(yaml_document.dump(one)), parse(yaml_document.dump(other))
    assert bool(difference.difference(first, second)) == (first != second)


def test_each_difference_has_its_key_and_both_values() -> None:
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


def test_variations_have_the_shortest_form_and_leave_out_defaults() -> None:
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
