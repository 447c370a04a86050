"""What is written epoch after epoch is what Keras itself would save, and stock Keras goes on with it."""

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
from dnn_cli.engines.keras.checkpoint_writer import Archive
from dnn_cli.engines.keras.epoch import CompiledEpoch
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
    network = build.build(parse(text, "test"), (28, 28), 10, 10)
    trainer = CompiledEpoch(network, few.images, few.labels, batch_size=32, seed=0, jit_compile=False)
    return network, trainer


def members(path: Path) -> dict[str, Any]:
    """What is in the file besides its weights, without the moment it was saved."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist() if name != "model.weights.h5"}
    parsed = {name: json.loads(content) for name, content in found.items()}
    assert parsed["metadata.json"].pop("date_saved")
    return parsed


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_it_writes_what_keras_saves(text: str, few: Split, tmp_path: Path) -> None:
    network, trainer = trained(text, few)
    archive = Archive(network)
    for epoch in (0, 1):
        trainer.run(epoch)
        network.save(tmp_path / "keras.keras")
        archive.write(archive.values(), tmp_path / "ours.keras")
        assert_same_bits(tmp_path / "keras.keras", tmp_path / "ours.keras")
        assert members(tmp_path / "keras.keras") == members(tmp_path / "ours.keras")


def test_making_it_leaves_the_network_as_it_was(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(BLOCKS, few)
    trainer.run(0)
    network.save(tmp_path / "before.keras")
    Archive(network)
    network.save(tmp_path / "after.keras")
    assert_same_bits(tmp_path / "before.keras", tmp_path / "after.keras")


def test_values_are_those_of_the_moment(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(BLOCKS, few)
    archive = Archive(network)
    trainer.run(0)
    network.save(tmp_path / "then.keras")
    values = archive.values()
    trainer.run(1)
    archive.write(values, tmp_path / "written.keras")
    assert_same_bits(tmp_path / "then.keras", tmp_path / "written.keras")


def test_stock_keras_goes_on_with_it(few: Split, tmp_path: Path) -> None:
    network, trainer = trained(CONFIGS["plain"], few)
    archive = Archive(network)
    trainer.run(0)
    archive.write(archive.values(), tmp_path / "one.keras")
    stock = keras.models.load_model(tmp_path / "one.keras")
    images = few.images / np.float32(255)
    for one in (network, stock):
        one.fit(images, few.labels, batch_size=32, shuffle=False, verbose=0)
    for mine, theirs in zip(network.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


class Secretive(keras.layers.Layer):  # type: ignore[misc]
    """A layer that saves a value of which the network does not know."""

    def call(self, inputs: Any) -> Any:
        return inputs

    def save_own_variables(self, store: Any) -> None:
        store["secret"] = np.array(1.0)


def test_a_network_that_saves_more_than_its_variables_is_refused() -> None:
    network = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10), Secretive()])
    network.compile("sgd", "mse")
    with pytest.raises(AssertionError, match="Keras saves more than the network's variables"):
        Archive(network)
