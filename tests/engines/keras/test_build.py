"""Test the network of a config: its spec, the network that Keras builds from it, and its file."""

import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Activation, Config, Initializer
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import NetworkSpec, network_spec
from dnn_cli.errors import RunError, UsageError
from tests.conftest import assert_same_bits


def config(text: str) -> Config:
    return loading.parse(text, "test")


def layers(*blocks: str, seed: int = 0) -> Config:
    return config(f"seed: {seed}\nmodel: {{layers: [{', '.join(blocks)}]}}")


def built(settings: Config, shape: tuple[int, ...] = (28, 28), classes: int = 10) -> keras.Sequential:
    return build.build(network_spec(settings, shape, classes), settings)


def outline(spec: NetworkSpec) -> list[tuple[Any, ...]]:
    return [(layer.name, layer.kind, layer.units, layer.parameters) for layer in spec.layers]


def outline_of(network: keras.Sequential) -> list[tuple[Any, ...]]:
    return [(layer.name, type(layer).__name__, layer.output.shape[1], layer.count_params()) for layer in network.layers]


PLAIN = layers("128")


@pytest.mark.parametrize(
    ("blocks", "shape", "classes"),
    [
        ([], (28, 28), 10),
        (["128"], (28, 28), 10),
        (["32", "16", "8"], (3, 5), 2),
        (["{units: 7, use_bias: false}"], (28, 28, 3), 26),
        (["{units: 7, dropout: 0.5}", "{units: 9, dropout: 0.1, activation: tanh}"], (8, 8), 3),
        (["{units: 7, batch_normalization: true, use_bias: false}"], (28, 28), 10),
        (["{units: 7, batch_normalization: true, dropout: 0.2, l1: 0.1, l2: 0.2, max_norm: 1}", "3"], (28, 28), 10),
        *([[f"{{units: 4, activation: {name}}}"], (4, 4), 3] for name in get_args(Activation)),
        *([[f"{{units: 4, initializer: {name}}}"], (4, 4), 3] for name in get_args(Initializer)),
    ],
)
def test_the_spec_describes_the_network_that_keras_builds(
    blocks: list[str], shape: tuple[int, ...], classes: int
) -> None:
    settings = layers(*blocks)
    spec, network = network_spec(settings, shape, classes), built(settings, shape, classes)
    assert outline(spec) == outline_of(network)
    assert (spec.image_shape, spec.classes, spec.parameters) == (shape, classes, network.count_params())
    assert network.input_shape == (None, *shape)
    outputs = build.predict(network, np.zeros((2, *shape), "uint8"))
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_a_block_has_the_order_dense_normalization_activation_dropout() -> None:
    block = "{units: 5, batch_normalization: true, dropout: 0.5, activation: gelu}"
    spec = network_spec(layers(block), (2, 2), 3)
    assert outline(spec) == [
        ("flatten", "Flatten", 4, 0),
        ("dense_1", "Dense", 5, 25),
        ("batch_normalization_1", "BatchNormalization", 5, 20),
        ("activation_1", "Activation", 5, 0),
        ("dropout_1", "Dropout", 5, 0),
        ("output", "Dense", 3, 18),
    ]
    assert spec.layers[1].arguments["activation"] == "linear"
    assert spec.layers[3].arguments["activation"] == "gelu"
    assert spec.layers[4].arguments["rate"] == 0.5
    assert spec.layers[5].arguments["activation"] == "softmax"


@pytest.mark.parametrize("name", get_args(Activation))
def test_activations_are_functions_of_keras(name: str) -> None:
    network = built(layers(f"{{units: 4, activation: {name}}}"))
    assert network.layers[1].activation is getattr(keras.activations, name)


@pytest.mark.parametrize("name", get_args(Initializer))
def test_initial_weights_depend_on_the_seed_alone(name: str) -> None:
    block = f"{{units: 20, initializer: {name}}}"
    keras.utils.set_random_seed(1)
    one = built(layers(block, block, seed=3)).get_weights()
    keras.utils.set_random_seed(2)
    built(PLAIN)
    again = built(layers(block, block, seed=3)).get_weights()
    other = built(layers(block, block, seed=4)).get_weights()
    for mine, same, different in zip(one, again, other, strict=True):
        assert mine.tobytes() == same.tobytes()
        assert (mine != different).any() or not mine.any() or name == "identity"  # biases are zero at first
    initializer = built(layers(block)).layers[1].kernel_initializer
    assert type(initializer) is type(keras.initializers.get(name))
    fresh = type(keras.initializers.get(name))().get_config()
    assert initializer.get_config() | ({"seed": None} if "seed" in fresh else {}) == fresh


def test_each_layer_has_its_own_initial_weights() -> None:
    network = built(layers("784", "784", "784"))
    kernels = [layer.kernel.numpy() for layer in network.layers[1:4]]
    for one, other in pairwise(kernels):
        assert not np.isclose(one, other).all()
    spec = network_spec(layers("8", "8"), (28, 28), 10)
    assert len({layer.seed for layer in spec.layers if layer.kind == "Dense"}) == 3


def test_an_additional_layer_does_not_change_the_weights_of_earlier_layers() -> None:
    one, more = built(layers("32", "16")), built(layers("32", "16", "8"))
    for index in (1, 2):
        np.testing.assert_array_equal(one.layers[index].kernel.numpy(), more.layers[index].kernel.numpy())


def test_each_dropout_layer_has_its_own_seed() -> None:
    spec = network_spec(layers("{units: 8, dropout: 0.1}", "{units: 8, dropout: 0.1}"), (28, 28), 10)
    assert len({layer.arguments["seed"] for layer in spec.layers if layer.kind == "Dropout"}) == 2


def test_penalties_are_part_of_the_loss(few: Split) -> None:
    images = few.images / 255
    plain = built(layers("16"))
    punished = built(layers("{units: 16, l1: 0.01, l2: 0.1}"))
    kernel = plain.layers[1].kernel.numpy()
    penalty = 0.01 * np.abs(kernel).sum() + 0.1 * np.square(kernel).sum()
    loss, accuracy = plain.evaluate(images, few.labels, verbose=0)
    assert punished.evaluate(images, few.labels, verbose=0) == pytest.approx([loss + penalty, accuracy], rel=1e-5)
    assert punished.layers[-1].kernel_regularizer is None


def test_batch_normalization_has_the_configured_momentum_and_epsilon() -> None:
    layer = built(layers("{units: 5, batch_normalization: {momentum: 0.5, epsilon: 0.25}}")).layers[2]
    assert (layer.momentum, layer.epsilon) == (0.5, 0.25)
    plain = built(layers("{units: 5, batch_normalization: true}")).layers[2]
    assert plain.get_config() == keras.layers.BatchNormalization(name=plain.name).get_config()


def test_input_dropout_drops_pixels_before_the_first_layer() -> None:
    settings = config("model: {input_dropout: 0.25, layers: [{units: 5, dropout: 0.25}]}")
    spec, network = network_spec(settings, (28, 28), 10), built(settings)
    assert outline(spec) == outline_of(network)
    assert [layer.name for layer in spec.layers] == ["flatten", "input_dropout", "dense_1", "dropout_1", "output"]
    assert spec.layers[1].arguments["seed"] != spec.layers[3].arguments["seed"]
    pixels = network.layers[1](np.ones((100, 784), "float32"), training=True).numpy()
    assert (pixels == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert pixels.max() == pytest.approx(1 / 0.75)
    assert "input_dropout" not in [layer.name for layer in built(PLAIN).layers]


def test_a_network_that_is_too_large_is_rejected() -> None:
    with pytest.raises(UsageError) as caught:
        network_spec(layers("16384", "16384"), (28, 28), 10)
    assert str(caught.value) == (
        "model.layers makes a network of 281,477,130 parameters; at most 200,000,000 are allowed"
    )
    network_spec(layers("16384", "8000"), (28, 28), 10)


def test_frozen_layers_are_not_trainable_and_stay_so_in_a_file(tmp_path: Path) -> None:
    block = "{units: 7, batch_normalization: true, dropout: 0.5}"
    settings = config(f"model: {{layers: [{block}, 5, {block}], init_from: x, freeze: [0, 1]}}")
    network = built(settings)
    frozen = ["dense_1", "batch_normalization_1", "dense_2"]
    network.optimizer.build(network.trainable_variables)
    network.save(tmp_path / "one.keras")
    for one in (network, build.load(tmp_path / "one.keras")):
        assert [layer.name for layer in one.layers if not layer.trainable] == frozen
        assert len(one.trainable_variables) == 2 + 2 + 2
    assert outline(network_spec(settings, (28, 28), 10)) == outline_of(network)


# Files


def test_a_saved_network_is_plain_keras_and_loads_bit_for_bit(tmp_path: Path, few: Split) -> None:
    block = "{units: 16, dropout: 0.1, batch_normalization: true, l2: 0.01}"
    network = built(layers(block))
    network.fit(few.images / 255, few.labels, verbose=0)
    network.save(tmp_path / "one.keras")
    assert b"dnn_cli" not in (tmp_path / "one.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.keras") as archive:
        described = json.loads(archive.read("config.json"))
    kinds = [layer["module"] for layer in described["config"]["layers"]]
    assert set(kinds) == {"keras.layers"}
    assert not any(layer["registered_name"] for layer in described["config"]["layers"])
    build.load(tmp_path / "one.keras").save(tmp_path / "two.keras")
    assert_same_bits(tmp_path / "one.keras", tmp_path / "two.keras")
    stock = keras.models.load_model(tmp_path / "one.keras")
    assert stock.optimizer.get_config() == network.optimizer.get_config()
    np.testing.assert_array_equal(build.predict(network, few.images), build.predict(stock, few.images))


def test_a_network_can_be_loaded_without_its_optimizer(tmp_path: Path) -> None:
    network = built(PLAIN)
    network.optimizer.build(network.trainable_variables)
    network.save(tmp_path / "one.keras")
    assert build.load(tmp_path / "one.keras").compiled
    assert not build.load(tmp_path / "one.keras", compiled=False).compiled


def test_a_file_that_refers_to_other_code_is_rejected(tmp_path: Path) -> None:
    built(PLAIN).save(tmp_path / "one.keras")
    with (
        zipfile.ZipFile(tmp_path / "one.keras") as archive,
        zipfile.ZipFile(tmp_path / "hostile.keras", "w") as hostile,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                ours, foreign = b'"keras.layers", "class_name": "Flatten"', b'"os", "class_name": "system"'
                assert ours in content
                content = content.replace(ours, foreign)
            hostile.writestr(name, content)
    with pytest.raises(RunError, match=r"hostile\.keras cannot be loaded by Keras: "):
        build.load(tmp_path / "hostile.keras")


def test_predict_scales_bytes_but_not_floats(few: Split) -> None:
    network = built(PLAIN)
    scaled = build.predict(network, few.images)
    np.testing.assert_allclose(scaled, build.predict(network, (few.images / 255).astype("float32")), rtol=1e-5)
    np.testing.assert_allclose(scaled, network.predict(few.images / 255, verbose=0), rtol=1e-4, atol=1e-7)
    assert (scaled.shape, scaled.dtype.name) == ((500, 10), "float32")
