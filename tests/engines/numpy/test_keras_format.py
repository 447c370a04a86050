"""Test the `.keras` file of a NumPy network: Keras would write the same, and stock Keras can train it further."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
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


def with_weights(path: Path, change: Callable[[h5py.File], None], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write the network of `path` again, with a changed HDF5 file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        change(file)
    changed = path.with_name("changed.keras")
    with zipfile.ZipFile(changed, "w", compression) as archive:
        for name, content in (members | {"model.weights.h5": weights.getvalue()}).items():
            archive.writestr(name, content)
    return changed


KERNEL = "layers/dense/vars/0"  # (784, 8) float32


def replaced(**arguments: Any) -> Callable[[h5py.File], None]:
    """Return a change that replaces the first kernel by a dataset that h5py makes with `arguments`."""

    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, **arguments)

    return change


def linked(link: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[KERNEL]
        file[KERNEL] = link

    return change


def virtual(file: h5py.File) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout((784, 8), "f4")
    layout[:] = h5py.VirtualSource("/other.h5", "x", (784, 8), "f4")
    file.create_virtual_dataset(KERNEL, layout)


def cycle(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]
    file["layers/once-more"] = file["layers"]


HUGE, SHAPE = "claims to be much larger than what is stored", (784, 8)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (replaced(shape=(784, 10**7), dtype="f4", chunks=(784, 10**4), compression="gzip"), f"{KERNEL} {HUGE}"),
        (replaced(shape=(784, 10**7), dtype="f4"), f"{KERNEL} {HUGE}"),
        (replaced(shape=SHAPE, maxshape=(None, 8), dtype="f4", chunks=(10**7, 8)), f"{KERNEL} {HUGE}"),
        (replaced(shape=SHAPE, dtype="f4", external="/etc/passwd"), f"{KERNEL} is stored outside of the file"),
        (virtual, f"{KERNEL} is stored outside of the file"),
        (linked(h5py.SoftLink("/optimizer/vars/1")), f"{KERNEL} is a link"),
        (linked(h5py.ExternalLink("/other.h5", "/x")), f"{KERNEL} is a link"),
        (linked(np.dtype("f4")), f"{KERNEL} holds no numbers"),
        (replaced(data=np.array([["text"]], object), dtype=h5py.string_dtype()), f"{KERNEL} holds no numbers"),
        (replaced(shape=SHAPE, dtype=[("a", "f4")]), f"{KERNEL} holds no numbers"),
        (replaced(data=h5py.Empty("f4")), f"{KERNEL} holds no numbers"),
        (cycle, "its groups are nested more than 32 deep"),
    ],
)
def test_weights_that_are_no_plain_numbers_are_rejected_by_both_engines(
    change: Callable[[h5py.File], None], problem: str, few: Split, tmp_path: Path
) -> None:
    ours = NumpyTraining(config(BLOCKS), few)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    path = with_weights(tmp_path / "ours.keras", change)
    for load in (ours.writer.read, keras_format.load, keras_build.load):
        assert rejection(load, path) == f"{path} is not accepted: {problem}"


def test_weights_of_another_kind_are_rejected(few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(BLOCKS), few)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    for dtype in ("i4", "?"):
        path = with_weights(tmp_path / "ours.keras", replaced(shape=SHAPE, dtype=dtype, data=np.ones(SHAPE, dtype)))
        assert rejection(keras_format.load, path).startswith(
            f"{path} does not hold this network: {KERNEL} holds numbers of type "
        )
    path = with_weights(tmp_path / "ours.keras", lambda file: file.__delitem__(KERNEL))
    assert rejection(keras_format.load, path) == f"{path} does not hold this network: there is no {KERNEL}"


def test_a_file_that_expands_to_much_more_than_its_size_is_not_read(few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(BLOCKS), few)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    zeros = replaced(shape=(784, 8), dtype="f4", data=np.zeros((784, 8)))
    path = with_weights(tmp_path / "ours.keras", zeros, zipfile.ZIP_DEFLATED)
    keras_format.load(path)  # a compressed archive is fine
    bomb = with_weights(
        path, lambda file: file.create_dataset("more", data=np.zeros(2**23, "f4")), zipfile.ZIP_DEFLATED
    )
    message = rejection(keras_format.load, bomb)
    assert message.startswith(f"{bomb} is not accepted: its ")
    assert " bytes expand to 33," in message
    with zipfile.ZipFile(bomb, "a") as archive:
        archive.writestr("other", b"?", zipfile.ZIP_LZMA)
    assert rejection(keras_format.load, bomb).endswith("it is compressed in another way than usual")


def test_a_network_that_the_file_cannot_hold_is_not_allocated(few: Split, tmp_path: Path) -> None:
    ours = NumpyTraining(config(BLOCKS), few)
    ours.writer.write(ours.writer.snapshot(), tmp_path / "ours.keras")
    path = tmp_path / "wide.keras"
    with zipfile.ZipFile(tmp_path / "ours.keras") as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                described = json.loads(content)
                described["config"]["layers"][0]["config"]["batch_shape"] = [None, 1000, 1000]
                content = json.dumps(described).encode()
            copy.writestr(name, content)
    message = rejection(keras_format.load, path)
    assert message.startswith(f"{path} does not hold this network: its weights are 8,0")


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert rejection(keras_format.load, path) == f"{path} is damaged or not a Keras model: not a regular file"


def test_files_of_another_kind_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "foreign.keras"
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    network.save(path)
    assert rejection(keras_format.load, path).startswith(f"{path} holds a network that NumPy cannot run: ")
    path.write_bytes(b"nothing")
    assert rejection(keras_format.load, path).startswith(f"{path} is damaged or not a Keras model: ")
