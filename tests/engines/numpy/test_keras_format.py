"""The `.keras` file of a NumPy network: what Keras would have written, and stock Keras goes on with it."""

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
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.engines.numpy.epoch import Batches, NumpyEpoch
from dnn_cli.engines.numpy.initializers import INITIALIZERS
from dnn_cli.engines.numpy.keras_format import NumpyFile
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


class Numpy:
    """A NumPy network with all that trains and saves it."""

    def __init__(self, settings: Config, few: Split) -> None:
        self.network = build.build(settings, (28, 28), 10, rows=50)
        optimizer = build.optimizer(settings.optimizer)
        optimizer.build(self.network.parameters)
        batches = Batches(few.images, few.labels, 10, 50, settings.training.label_smoothing)
        self.trainer = NumpyEpoch(self.network, optimizer, batches, seed=0)
        self.archive = NumpyFile(settings, (28, 28), 10, self.network, optimizer)


def same(one: Path, other: Path) -> None:
    """The files hold the same numbers, bit for bit."""
    first, second = weights(one), weights(other)
    assert {key: value.tobytes() for key, value in first.items()} == {
        key: value.tobytes() for key, value in second.items()
    }


@pytest.mark.parametrize("text", CONFIGS)
def test_stock_keras_loads_it_and_goes_on(text: str, few: Split, tmp_path: Path) -> None:
    ours = Numpy(config(text), few)
    ours.trainer.run(0)
    ours.archive.write(ours.archive.values(), tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(
        keras_build.predict(theirs, few.images), build.predict(ours.network, few.images, 50), rtol=1e-4, atol=1e-6
    )
    theirs.save(tmp_path / "theirs.keras")
    same(tmp_path / "ours.keras", tmp_path / "theirs.keras")
    if "dropout" in text:
        return  # whose noise no two engines draw alike
    compiled = CompiledEpoch(theirs, few.images, few.labels, batch_size=50, seed=0, jit_compile=False)
    assert ours.trainer.run(1) == pytest.approx(compiled.run(1), rel=1e-4)
    np.testing.assert_allclose(
        keras_build.predict(theirs, few.images), build.predict(ours.network, few.images, 50), rtol=1e-2, atol=1e-4
    )


@pytest.mark.parametrize(
    "text", [*CONFIGS, *(f"model: {{layers: [{{units: 4, initializer: {name}}}]}}" for name in INITIALIZERS)]
)
def test_it_describes_the_network_as_keras_would(text: str, few: Split, tmp_path: Path) -> None:
    ours, built = Numpy(config(text), few), keras_build.build(config(text), (28, 28), 10)
    ours.archive.write(ours.archive.values(), tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    configs_of = [network.get_config() for network in (loaded, built)]
    for each in configs_of:
        each["name"] = each["layers"][0]["config"]["name"] = ""  # which Keras numbers as it makes them
    assert configs_of[0] == configs_of[1]
    assert loaded.optimizer.get_config() | {"name": ""} == built.optimizer.get_config() | {"name": ""}
    losses = [network.get_compile_config()["loss"] for network in (loaded, built)]
    assert losses[0] == losses[1]
    assert loaded.get_compile_config()["metrics"] == ["accuracy"]
    with zipfile.ZipFile(tmp_path / "ours.keras") as archive:
        assert json.loads(archive.read("metadata.json"))["keras_version"] == keras.__version__


def test_what_is_read_back_goes_on_bit_for_bit(few: Split, tmp_path: Path) -> None:
    settings = config(f"{BLOCKS}\noptimizer: adam")
    straight = Numpy(settings, few)
    straight.trainer.run(0)
    straight.archive.write(straight.archive.values(), tmp_path / "one.keras")
    straight.trainer.run(1)
    straight.archive.write(straight.archive.values(), tmp_path / "straight.keras")
    again = Numpy(settings, few)
    again.archive.read(tmp_path / "one.keras")
    again.trainer.run(1)
    again.archive.write(again.archive.values(), tmp_path / "again.keras")
    same(tmp_path / "straight.keras", tmp_path / "again.keras")


def test_values_are_those_of_their_moment(few: Split, tmp_path: Path) -> None:
    ours = Numpy(config(BLOCKS), few)
    before = ours.archive.values()
    ours.trainer.run(0)
    ours.archive.write(before, tmp_path / "before.keras")
    assert weights(tmp_path / "before.keras")["optimizer/vars/0"] == 0
    assert weights(tmp_path / "before.keras")["layers/dense_1/vars/1"].any() == False  # noqa: E712
    assert ours.archive.values()["optimizer/vars/0"] == 10


def test_a_network_is_loaded_without_its_config(few: Split, tmp_path: Path) -> None:
    ours = Numpy(config(CONFIGS[-1]), few)
    ours.trainer.run(0)
    ours.archive.write(ours.archive.values(), tmp_path / "ours.keras")
    loaded = keras_format.load(tmp_path / "ours.keras")
    assert (loaded.image_shape, loaded.classes, loaded.batch) == ((28, 28), 10, 1000)
    np.testing.assert_allclose(
        build.predict(loaded.network, few.images, loaded.batch),
        build.predict(ours.network, few.images, 50),
        rtol=1e-5,
    )


def refusal(call: Any, path: Path) -> str:
    with pytest.raises(RunError) as caught:
        call(path)
    return str(caught.value)


def test_what_does_not_fit_is_refused(few: Split, tmp_path: Path) -> None:
    small, large, deep = (Numpy(config(f"model: {{layers: {layers}}}"), few) for layers in ("[8]", "[9]", "[8, 8]"))
    path = tmp_path / "small.keras"
    small.archive.write(small.archive.values(), path)
    assert refusal(large.archive.read, path) == (
        f"{path} does not hold this network: layers/dense/vars/0 is 784×8, not 784×9"
    )
    assert refusal(deep.archive.read, path).startswith(f"{path} does not hold this network: ")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.keras"
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    network.save(path)
    assert refusal(keras_format.load, path).startswith(f"{path} is no network that NumPy knows: ")
    path.write_bytes(b"nothing")
    assert refusal(keras_format.load, path).startswith(f"{path} is damaged or not a Keras model: ")
