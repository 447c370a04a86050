"""Test the `.keras` file of a NumPy network: Keras would write the same, and stock Keras can train it further."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build as keras_build
from dnn_cli.engines.keras.epoch import CompiledEpoch
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.engines.numpy.initializers import INITIALIZERS
from dnn_cli.engines.numpy.keras_format import NumpyCheckpointWriter
from dnn_cli.errors import RunError
from tests.conftest import weights

BLOCKS = "model: {input_dropout: 0.1, layers: [{units: 8, dropout: 0.5, batch_normalization: true, l1: 0.001}, 4]}"
CONFIGS = [
    "model: {layers: [8]}",
    f"{BLOCKS}\noptimizer: {{name: sgd, learning_rate: 0.1}}",
    f"{BLOCKS}\noptimizer: {{name: sgd, momentum: 0.9, nesterov: true, weight_decay: 0.01}}",
    f"{BLOCKS}\noptimizer: rmsprop",
    f"{BLOCKS}\noptimizer: {{name: rmsprop, momentum: 0.5}}",
    "model: {layers: [{units: 8, activation: elu, use_bias: false, l2: 0.1}, 6, 5]}\noptimizer: adamw\n"
    "training: {label_smoothing: 0.1}",
]


def config(text: str) -> Config:
    return loading.parse(text, "test")


class NumpyTraining:
    """A NumPy network with everything that trains and saves it."""

    def __init__(self, settings: Config, few: Split) -> None:
        spec = network_spec(settings, (28, 28), 10)
        self.network = build.build(spec, rows=50)
        optimizer = build.optimizer(settings.optimizer)
        optimizer.build(self.network.parameters)
        batches = Batches(few.images, few.labels, 10, 50, settings.training.label_smoothing)
        self.trainer = NumpyEpoch(self.network, optimizer, batches, seed=0)
        self.writer = NumpyCheckpointWriter(settings, spec, self.network, optimizer)


def assert_same_numbers(one: Path, other: Path) -> None:
    """Assert that the files contain the same numbers, bit for bit."""
    first, second = weights(one), weights(other)
    assert {key: value.tobytes() for key, value in first.items()} == {
        key: value.tobytes() for key, value in second.items()
    }


@pytest.mark.parametrize("text", CONFIGS)
def test_stock_keras_loads_the_file_and_trains_further(text: str, few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(text), few)
    ours.trainer.run(0)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(
        keras_build.predict(theirs, few.images), build.predict(ours.network, few.images, 50), rtol=1e-4, atol=1e-6
    )
    theirs.save(tmp_path / "theirs.keras")
    assert_same_numbers(tmp_path / "ours.keras", tmp_path / "theirs.keras")
    if "dropout" in text:
        return  # the engines draw different noise
    compiled = CompiledEpoch(theirs, few.images, few.labels, batch_size=50, seed=0, jit_compile=False)
    assert ours.trainer.run(1) == pytest.approx(compiled.run(1), rel=1e-4)
    np.testing.assert_allclose(
        keras_build.predict(theirs, few.images), build.predict(ours.network, few.images, 50), rtol=1e-2, atol=1e-4
    )


@pytest.mark.parametrize(
    "text", [*CONFIGS, *(f"model: {{layers: [{{units: 4, initializer: {name}}}]}}" for name in INITIALIZERS)]
)
def test_the_description_is_equivalent_to_that_of_keras(text: str, few: Split, tmp_path: Path) -> None:
    ours, built = (
        NumpyTraining(config(text), few),
        keras_build.build(network_spec(config(text), (28, 28), 10), config(text)),
    )
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    configs_of = [network.get_config() for network in (loaded, built)]
    for each in configs_of:
        each["name"] = each["layers"][0]["config"]["name"] = ""  # which contain Keras's running numbers
    assert configs_of[0] == configs_of[1]
    assert loaded.optimizer.get_config() | {"name": ""} == built.optimizer.get_config() | {"name": ""}
    losses = [network.get_compile_config()["loss"] for network in (loaded, built)]
    assert losses[0] == losses[1]
    assert loaded.get_compile_config()["metrics"] == ["accuracy"]
    with zipfile.ZipFile(tmp_path / "ours.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["keras_version"] == keras.__version__


def test_training_continues_bit_for_bit_after_reading_a_file(few: Split, tmp_path: Path) -> None:
    settings = config(f"{BLOCKS}\noptimizer: adam")
    straight = NumpyTraining(settings, few)
    straight.trainer.run(0)
    straight.writer.write(straight.writer.snapshot(), tmp_path / "one.keras")
    straight.trainer.run(1)
    straight.writer.write(straight.writer.snapshot(), tmp_path / "straight.keras")
    again = NumpyTraining(settings, few)
    again.writer.read(tmp_path / "one.keras")
    again.trainer.run(1)
    again.writer.write(again.writer.snapshot(), tmp_path / "again.keras")
    assert_same_numbers(tmp_path / "straight.keras", tmp_path / "again.keras")


def test_a_snapshot_does_not_change_when_training_continues(few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(BLOCKS), few)
    before = ours.writer.snapshot()
    ours.trainer.run(0)
    ours.writer.write(before, tmp_path / "before.keras")
    assert weights(tmp_path / "before.keras")["optimizer/vars/0"] == 0
    assert weights(tmp_path / "before.keras")["layers/dense_1/vars/1"].any() == False  # noqa: E712
    assert ours.writer.snapshot()["optimizer/vars/0"] == 10


def test_a_network_is_loaded_without_its_config(few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(CONFIGS[-1]), few)
    ours.trainer.run(0)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    loaded = keras_format.load(tmp_path / "ours.keras")
    assert (loaded.image_shape, loaded.classes, loaded.batch) == ((28, 28), 10, 1000)
    np.testing.assert_allclose(
        build.predict(loaded.network, few.images, loaded.batch),
        build.predict(ours.network, few.images, 50),
        rtol=1e-5,
    )


def rejection(call: Any, path: Path) -> str:
    with pytest.raises(RunError) as caught:
        call(path)
    return str(caught.value)


def test_a_file_of_another_network_is_rejected(few: Split, tmp_path: Path) -> None:
    small, large, deep = (
        NumpyTraining(config(f"model: {{layers: {layers}}}"), few) for layers in ("[8]", "[9]", "[8, 8]")
    )
    path = tmp_path / "small.keras"
    small.writer.write(small.writer.snapshot(), path)
    assert rejection(large.writer.read, path) == (
        f"{path} does not hold this network: layers/dense/vars/0 is 784×8, not 784×9"
    )
    assert rejection(deep.writer.read, path).startswith(f"{path} does not hold this network: ")


def test_files_of_another_kind_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "foreign.keras"
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    network.save(path)
    assert rejection(keras_format.load, path).startswith(f"{path} holds a network that NumPy cannot run: ")
    path.write_bytes(b"nothing")
    assert rejection(keras_format.load, path).startswith(f"{path} is damaged or not a Keras model: ")
