"""Test trained networks: NumPy and Keras compute the same probabilities, and unsupported networks are reported."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from dnn_cli.config import loading
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import keras_format
from dnn_cli.engines.numpy.activations import FUNCTIONS
from dnn_cli.engines.numpy.keras_format import UnknownNetworkError
from dnn_cli.errors import DataError, RunError
from dnn_cli.evaluation import model_source
from dnn_cli.runs import reliability
from tests.conftest import Answer

Dnn = Callable[..., Answer]


def saved(path: Path, *stack: Any, image: tuple[int, ...] = (28, 28)) -> Path:
    """Write a stock Keras network with random weights to a file."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential([keras.Input(image), *stack])
    for weight in network.weights:
        weight.assign(keras.random.uniform(weight.shape, 0.05, 0.3) - (0.15 if "kernel" in weight.name else 0))
    network.save(path)
    return path


def both(file: Path, images: Any) -> tuple[Any, Any]:
    return tuple(model_source.probabilities(file, images, engine=engine) for engine in ("numpy", "keras"))  # type: ignore[return-value]


@pytest.mark.parametrize("activation", sorted(FUNCTIONS))
def test_numpy_agrees_with_keras(activation: str, few: Split, tmp_path: Path) -> None:
    file = saved(
        tmp_path / "stock.keras",
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(16, use_bias=False, name="first"),
        layers.BatchNormalization(),
        layers.Activation(activation),
        layers.Dropout(0.3),
        layers.Dense(8, activation),
        layers.Dense(10, "softmax"),
    )
    ours, theirs = both(file, few.images)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours.std(axis=0).min() > 1e-6  # the probabilities depend on the image
    floats = few.images[:9].astype("float32") / 255
    np.testing.assert_allclose(model_source.probabilities(file, floats), ours[:9], atol=1e-6)


@pytest.mark.parametrize("engine", ["keras", "numpy"])
def test_numpy_agrees_with_keras_on_a_run(engine: str, dnn: Dnn, few: Split) -> None:
    settings = "model.layers=[{units: 24, batch_normalization: true, dropout: 0.2}, 12]"
    assert dnn("train", "-c", "smoke", "--epochs", 1, "--engine", engine, "--set", settings, "-q").code == 0
    subject = model_source.find_model(None)
    assert (str(subject.run), subject.epoch, subject.engine) == ("runs/smoke-1", 1, engine)
    ours, theirs = both(subject.file, few.images)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert (ours.argmax(axis=1) == few.labels).mean() > 0.5


def test_probabilities_of_a_plain_network_do_not_import_tensorflow(few: Split, tmp_path: Path) -> None:
    saved(tmp_path / "stock.keras", layers.Flatten(), layers.Dense(10, "softmax"))
    code = (
        "import sys; import numpy as np; from pathlib import Path; from dnn_cli.evaluation import model_source;"
        "model_source.probabilities(model_source.find_model(Path('stock.keras')).file, np.zeros((2, 28, 28), 'uint8'));"
        "assert not {'tensorflow', 'keras'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("stack", "why"),
    [
        ([layers.Flatten(), layers.Dense(10)], "it does not end with a Dense layer of softmax"),
        (
            [layers.Flatten(), layers.Dense(4, "softmax"), layers.Dense(10, "softmax")],
            "it has the activation softmax",
        ),
        (
            [layers.Flatten(), layers.Dense(10), layers.Activation("softmax")],
            "it does not end with a Dense layer of softmax",
        ),
        (
            [layers.Flatten(), layers.BatchNormalization(scale=False), layers.Dense(10, "softmax")],
            "it has a BatchNormalization without scale or center",
        ),
        (
            [layers.Flatten(), layers.LayerNormalization(), layers.Dense(10, "softmax")],
            "it has a LayerNormalization layer",
        ),
        ([layers.Reshape((784,)), layers.Dense(10, "softmax")], "it does not begin with Flatten"),
        (
            [layers.Flatten(), layers.Dense(4, "log_softmax"), layers.Dense(10, "softmax")],
            "it has the activation log_softmax",
        ),
    ],
    ids=range(7),
)  # fmt: skip
def test_keras_computes_a_network_that_numpy_does_not_support(
    stack: list[Any], why: str, few: Split, tmp_path: Path
) -> None:
    file = saved(tmp_path / "foreign.keras", *stack)
    with pytest.raises(UnknownNetworkError) as caught:
        model_source.probabilities(file, few.images, engine="numpy")
    assert str(caught.value) == f"{file} holds a network that NumPy cannot run: {why}"
    said: list[str] = []
    ours = model_source.probabilities(file, few.images, notify=said.append)
    assert ours.shape == (500, 10)
    np.testing.assert_allclose(ours.sum(axis=1), 1, rtol=1e-5)
    logits = f"note: {file} ends without a softmax; its outputs are treated as logits"
    assert said == ([logits] if stack[-1].get_config().get("activation") == "linear" else [])


def rewrite(file: Path, change: Callable[[Any], None]) -> None:
    """Change the description of the network in a `.keras` file."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    described = json.loads(members["config.json"])
    change(described)
    members["config.json"] = json.dumps(described).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def dense(described: Any) -> Any:
    return described["config"]["layers"][2]["config"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda d: d.update(class_name="Functional"),
            "holds a network that NumPy cannot run: it is a Functional model",
        ),
        (lambda d: d["config"].pop("layers"), "holds a network that NumPy cannot run: 'layers'"),
        (lambda d: dense(d).update(units=0), "holds a network that NumPy cannot run: it has a layer of 0 units"),
        (
            lambda d: dense(d).update(units=10**6),
            "holds a network that NumPy cannot run: it has a layer of 1000000 units",
        ),
        (
            lambda d: dense(d).update(activation={}),
            "holds a network that NumPy cannot run: it does not end with a Dense layer of softmax",
        ),
        (
            lambda d: d["config"]["layers"][0]["config"].update(batch_shape=[None, 30_000, 30_000]),
            "holds a network that NumPy cannot run: it has more than 200,000,000 weights",
        ),
        (
            lambda d: dense(d).update(units=11),
            "does not hold this network: layers/dense/vars/0 is 784×10, not 784×11",
        ),
        (
            lambda d: dense(d).update(use_bias=0.5),
            "holds a network that NumPy cannot run: it has a use_bias of 0.5",
        ),
        (
            lambda d: d["config"]["layers"][0]["config"].update(batch_shape=[None, 0, 28]),
            "holds a network that NumPy cannot run: it does not begin with Flatten",
        ),
        (
            lambda d: d["config"]["layers"][0]["config"].update(batch_shape=[None, -28, -28]),
            "holds a network that NumPy cannot run: it does not begin with Flatten",
        ),
        (lambda d: dense(d).update(use_bias=False), ""),
    ],
    ids=range(11),
)
def test_a_file_whose_description_is_inconsistent_is_rejected(change: Any, why: str, tmp_path: Path) -> None:
    file = saved(tmp_path / "stock.keras", layers.Flatten(), layers.Dense(10, "softmax"))
    rewrite(file, change)
    if not why:  # weights beyond the description are not read, as in Keras
        assert keras_format.load(file).network.parameters.shape == (7840,)
        return
    with pytest.raises(RunError) as caught:
        model_source.probabilities(file, np.zeros((1, 28, 28), "uint8"), engine="numpy")
    assert str(caught.value) == f"{file} {why}"


def test_images_of_another_shape_are_rejected(tmp_path: Path) -> None:
    file = saved(tmp_path / "stock.keras", layers.Flatten(), layers.Dense(10, "softmax"), image=(28, 28, 1))
    assert model_source.probabilities(file, np.zeros((1, 28, 28), "uint8")).shape == (1, 10)
    with pytest.raises(DataError) as caught:
        model_source.probabilities(file, np.zeros((1, 20, 20), "uint8"))
    assert str(caught.value) == f"the images are 20×20, but {file} needs 28×28×1"


def test_numpy_supports_every_network_of_the_shipped_configs(tmp_path: Path) -> None:
    for name in ("mnist", "small", "best", "tiny"):
        config = loading.load(name)
        network = build.build(network_spec(config, (28, 28), 10), config, 10)
        network.save(tmp_path / f"{name}.keras")
        assert keras_format.load(tmp_path / f"{name}.keras").classes == 10


def test_logits_become_probabilities() -> None:
    logits = np.array([[1000.0, 0.0], [-1.0, -1.0]], "float32")
    np.testing.assert_allclose(reliability.softmax(logits), [[1.0, 0.0], [0.5, 0.5]])
    assert model_source.is_distribution(reliability.softmax(logits))
    assert not model_source.is_distribution(logits)
    assert not model_source.is_distribution(np.array([[0.9, 0.9]]))
    assert model_source.is_distribution(np.array([[0.33, 0.67]], "float16"))
