"""Test that the NumPy engine rejects exactly the settings that it does not support."""

from typing import get_args

import pytest

from dnn_cli.config import loading, numpy_support
from dnn_cli.config.schema import Config, Initializer
from dnn_cli.config.yaml_document import format_path
from dnn_cli.engines.numpy import initializers, optimizers
from dnn_cli.errors import UsageError


def config(text: str) -> Config:
    return loading.parse(text, "test")


def test_the_lists_match_the_engine() -> None:
    assert {name for name in get_args(Initializer) if name != "orthogonal"} == initializers.INITIALIZERS.keys()
    classes = {
        kind.__name__.lower(): kind for kind in (optimizers.SGD, optimizers.RMSprop, optimizers.Adam, optimizers.AdamW)
    }
    assert numpy_support.OPTIMIZERS.keys() == classes.keys()
    for name, kind in classes.items():
        assert numpy_support.OPTIMIZERS[name] | numpy_support.OPTIMIZER - {"name"} == vars(kind()).keys() - {
            "iterations",
            "names",
        }


def test_the_plain_shipped_configs_are_supported() -> None:
    for name in ("mnist", "smoke", "small", "tiny"):
        assert not list(numpy_support.unsupported_settings(loading.load(name)))


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (
            "model: {layers: [8, {units: 4, initializer: orthogonal}]}",
            "model.layers[1].initializer",
            "the NumPy engine does not support orthogonal",
        ),
        ("model: {layers: [{units: 4, max_norm: 2}]}", "model.layers[0].max_norm", "needs engine: keras"),
        ("model: {init_from: runs/one}", "model.init_from", "needs engine: keras"),
        ("optimizer: lion", "optimizer.name", "(supported: sgd, rmsprop, adam, adamw)"),
        ("optimizer: {name: adam, amsgrad: true}", "optimizer.amsgrad", "needs engine: keras"),
        ("optimizer: {name: rmsprop, centered: true}", "optimizer.centered", "needs engine: keras"),
        ("optimizer: {name: sgd, clipnorm: 1}", "optimizer.clipnorm", "needs engine: keras"),
        ("optimizer: {name: sgd, use_ema: true}", "optimizer.use_ema", "needs engine: keras"),
        ("optimizer: {name: sgd, gradient_accumulation_steps: 2}", "optimizer.gradient_accumulation_steps", "needs "),
        (
            "optimizer: {name: sgd, learning_rate: {name: linear_warmup, warmup_target: 0.1, warmup_steps: 5}}",
            "optimizer.learning_rate",
            "a schedule needs engine: keras",
        ),
        ("training: {augmentation: {rotation: 5}}", "training.augmentation", "needs engine: keras"),
    ],
)
def test_an_unsupported_setting_is_reported_with_its_path(text: str, path: str, message: str) -> None:
    ((found, why),) = numpy_support.unsupported_settings(config(text))
    assert format_path(found) == path
    assert message in why


def test_a_check_lists_all_unsupported_settings() -> None:
    numpy_support.check(config("{}"))
    with pytest.raises(UsageError) as caught:
        numpy_support.check(config("model: {layers: [{units: 4, max_norm: 2}]}\noptimizer: {name: sgd, clipnorm: 1}"))
    assert str(caught.value).splitlines() == [
        "model.layers[0].max_norm: needs engine: keras",
        "optimizer.clipnorm: needs engine: keras",
    ]
