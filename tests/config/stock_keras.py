"""Compare a config's optimizer and schedule with the classes of the installed Keras, and their training with `fit`."""

import inspect
import json
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from dnn_cli import seeds
from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.config.section import Section
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.keras.epoch import CompiledEpoch
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.errors import ConfigError
from tests.conftest import assert_same_bits

BATCH = 50  # ten steps per epoch of `few`


def members(union: Any) -> list[type[Section]]:
    """Return the classes of an annotated union, nested ones too."""
    return [union] if isinstance(union, type) else [member for part in get_args(union) for member in members(part)]


def by_name(union: Any) -> dict[str, Any]:
    """Return the classes of an annotated union by their `name` in a config."""
    return {get_args(one.model_fields["name"].annotation)[0]: one for one in members(union)}


def defaults(signature: inspect.Signature) -> dict[str, Any]:
    """Return the default of every parameter."""
    return {name: parameter.default for name, parameter in signature.parameters.items()}


def config(optimizer: Any, more: str = "model: {layers: [{units: 12, activation: tanh}]}") -> Config:
    """Return a config with `optimizer`, and with more YAML."""
    return loading.parse(f"optimizer: {json.dumps(optimizer)}\n{more}", "test")


def problems(optimizer: Any) -> list[str]:
    """Return the problems of a config with `optimizer`: key and message."""
    with pytest.raises(ConfigError) as caught:
        config(optimizer)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


def built(settings: Config, steps_per_epoch: int = 10) -> keras.Sequential:
    """Return the compiled network of a config."""
    return build.build(network_spec(settings, (28, 28), 10), settings, steps_per_epoch)


def trainer(network: keras.Sequential, few: Split, *, jit_compile: bool = False) -> CompiledEpoch:
    """Return the epoch that trains `network`, by default uncompiled, which starts faster."""
    return CompiledEpoch(network, few.images, few.labels, batch_size=BATCH, seed=7, jit_compile=jit_compile)


def fit(network: keras.Sequential, few: Split, epochs: int = 1) -> None:
    """Train with one `fit` of stock Keras on the same batches as the compiled epochs."""
    order = np.concatenate([seeds.order(len(few.labels), 7, number) for number in range(epochs)])
    images = few.images.astype("float32") / 255
    network.fit(images[order], few.labels[order], batch_size=BATCH, shuffle=False, verbose=0)


def assert_trains_as_stock_keras(settings: Config, few: Split, folder: Path, atol: float = 2e-5) -> keras.Sequential:
    """Check that two epochs agree with stock Keras, and that the second is bit-identical after saving and loading."""
    ours, theirs = built(settings), built(settings)
    before = ours.get_weights()
    compiled = trainer(ours, few)
    compiled.run(0)
    ours.save(folder / "one.keras")
    compiled.run(1)
    ours.save(folder / "straight.keras")

    if settings.optimizer.name == "schedulefreeadamw":
        # If `fit` builds this optimizer inside its graph, the optimizer does not start from the initial weights.
        theirs.optimizer.build(theirs.trainable_variables)
    fit(theirs, few, 2)
    for old, mine, stock in zip(before, ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, stock, rtol=1e-3, atol=atol)
        assert (old != mine).any()
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)

    again = build.load(folder / "one.keras")
    trainer(again, few).run(1)
    again.save(folder / "resumed.keras")
    assert_same_bits(folder / "straight.keras", folder / "resumed.keras")
    return ours
