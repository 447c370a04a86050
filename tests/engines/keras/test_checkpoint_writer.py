"""Test that written checkpoints equal the files that Keras saves, and that stock Keras can train them further."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.config.loading import parse
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.keras.checkpoint_writer import KerasCheckpointWriter
from dnn_cli.engines.keras.epoch import CompiledEpoch
from dnn_cli.engines.network_spec import network_spec
from tests.conftest import assert_same_bits

COSINE = "{name: cosine_decay, initial_learning_rate: 0.1, decay_epochs: 3}"
BLOCKS = "model: {layers: [{units: 8, dropout: 0.5, batch_normalization: true}, 4]}"
CONFIGS = {
    "plain": "model: {layers: [8]}",
    "every kind of layer": BLOCKS,
    "averages": f"{BLOCKS}\noptimizer: {{name: adam, use_ema: true}}",
    "a schedule": f"optimizer: {{name: sgd, momentum: 0.9, learning_rate: {COSINE}}}",
    "smoothed labels": "model: {layers: [8]}\ntraining: {label_smoothing: 0.1}\noptimizer: adafactor",
}


def trained(text: str, few: Split) -> tuple[keras.Sequential, CompiledEpoch]:
    config = parse(text, "test")
    network = build.build(network_spec(config, (28, 28), 10), config, 10)
    trainer = CompiledEpoch(network, few.images, few.labels, batch_size=32, seed=0, jit_compile=False)
    return network, trainer


def members(path: Path) -> dict[str, Any]:
    """Return the members of the file except its weights, without the time when it was saved."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist() if name != "model.weights.h5"}
    parsed = {name: json.loads(content) for name, content in found.items()}
    assert parsed["metadata.json"].pop("date_saved")
    return parsed


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_a_checkpoint_equals_the_file_that_keras_saves(text: str, few: Split, tmp_path: Path) -> None:
    network, trainer = trained(text, few)
    writer = KerasCheckpointWriter(network)
    for epoch in (0, 1):
        trainer.run(epoch)
        network.save(tmp_path / "keras.keras")
        writer.write(writer.snapshot(), tmp_path / "ours.keras")
        assert_same_bits(tmp_path / "keras.keras", tmp_path / "ours.keras")
        assert members(tmp_path / "keras.keras") == members(tmp_path / "ours.keras")


def test_creating_a_writer_does_not_change_the_network(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(BLOCKS, few)
    trainer.run(0)
    network.save(tmp_path / "before.keras")
    KerasCheckpointWriter(network)
    network.save(tmp_path / "after.keras")
    assert_same_bits(tmp_path / "before.keras", tmp_path / "after.keras")


def test_a_snapshot_does_not_change_when_training_continues(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(BLOCKS, few)
    writer = KerasCheckpointWriter(network)
    trainer.run(0)
    network.save(tmp_path / "then.keras")
    values = writer.snapshot()
    trainer.run(1)
    writer.write(values, tmp_path / "written.keras")
    assert_same_bits(tmp_path / "then.keras", tmp_path / "written.keras")


def test_stock_keras_trains_a_checkpoint_further(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(CONFIGS["plain"], few)
    writer = KerasCheckpointWriter(network)
    trainer.run(0)
    writer.write(writer.snapshot(), tmp_path / "one.keras")
    stock = keras.models.load_model(tmp_path / "one.keras")
    images = few.images / np.float32(255)
    for one in (network, stock):
        one.fit(images, few.labels, batch_size=32, shuffle=False, verbose=0)
    for mine, theirs in zip(network.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


class HiddenState(keras.layers.Layer):  # type: ignore[misc]
    """A layer that saves a value that is not a variable of the network."""

    def call(self, inputs: Any) -> Any:
        return inputs

    def save_own_variables(self, store: Any) -> None:
        store["secret"] = np.array(1.0)


def test_a_network_that_saves_more_than_its_variables_is_rejected() -> None:
    network = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10), HiddenState()])
    network.compile("sgd", "mse")
    with pytest.raises(AssertionError, match="Keras saves more than the network's variables"):
        KerasCheckpointWriter(network)
