"""Test the counts of dead units and saturated outputs, by hand and beside Keras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.loading import Override
from dnn_cli.data.datasets import Split
from dnn_cli.engines.network_spec import network_spec
from dnn_cli.engines.numpy import build, keras_format
from dnn_cli.engines.numpy.network import Activation, Dense, Layer, Network
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.reporting import unit_activity

IMAGES = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.5, 0.5]]], np.float32)  # three images of 1×2 pixels


def network(*layers: Layer, weights: Sequence[Any] = ()) -> Network:
    """Return a network of these layers and an output layer; `weights` are those of the Dense layers, in their order."""
    built = Network([*layers, Dense(3, "linear")], 2, rows=3)
    for layer, values in zip([layer for layer in built.layers if isinstance(layer, Dense)], weights, strict=False):
        layer.weights.value[:] = values
    return built


def test_a_unit_that_is_zero_for_every_image_is_dead() -> None:
    """The units sum up the first pixel, the second less the first, and minus both of them."""
    [layer] = unit_activity.measure(network(Dense(3), weights=[[[1, -1, -1], [0, 1, -1]]]), IMAGES, 2)
    assert (layer.name, layer.activation, layer.units) == ("model.layers[0]", "relu", 3)
    assert layer.dead == pytest.approx(1 / 3)
    # Outputs: 1 0 0; 0 1 0; 0.5 0 0.
    assert layer.zero == pytest.approx(6 / 9)
    assert layer.mean == pytest.approx(2.5 / 9)
    assert layer.saturated == 0.0


@pytest.mark.parametrize(
    ("name", "slopes", "close"),
    [
        ("sigmoid", [10, -10, 1], 4),
        ("tanh", [10, -10, 1], 4),
        ("hard_tanh", [10, -10, 1], 5),
        ("hard_sigmoid", [10, -10, 1], 4),
        ("relu6", [10, -10, 1], 1),
        ("softsign", [1000, -1000, 1], 4),
        ("relu", [10, -10, 1], 0),
        ("elu", [10, -10, 1], 0),
    ],
)
def test_an_output_close_to_a_bound_is_saturated(name: str, slopes: list[float], close: int) -> None:
    """The first pixel of the three images is 1, 0 and 0.5; the units multiply it by `slopes`."""
    [layer] = unit_activity.measure(network(Dense(3, name), weights=[[slopes, [0, 0, 0]]]), IMAGES, 3)
    assert round(layer.saturated * 9) == close


def test_the_last_activation_of_a_layer_is_measured() -> None:
    stacked = network(
        *(Dense(4, "linear"), BatchNormalization(), Activation("tanh"), Dropout(0.5)),
        *(Dense(5, "relu"), BatchNormalization(), Dropout(0.5)),
        Dense(6, "linear"),
    )
    layers = unit_activity.measure(stacked, IMAGES, 2)
    assert [(layer.name, layer.activation, layer.units) for layer in layers] == [
        ("model.layers[0]", "tanh", 4),
        ("model.layers[1]", "relu", 5),
        ("model.layers[2]", "linear", 6),
    ]


def test_a_network_without_hidden_layers_has_no_activity() -> None:
    assert unit_activity.measure(network(), IMAGES, 2) == []


def test_the_batch_size_does_not_matter(few: Split) -> None:
    config = loading.load("mnist", [Override.parse("model.layers=[32, {units: 16, activation: sigmoid}]")])
    built = build.build(network_spec(config, (28, 28), 10), rows=500)
    complete, parts = (unit_activity.measure(built, few.images, batch) for batch in (500, 130))
    for one, other in zip(complete, parts, strict=True):
        assert (one.dead, one.zero, one.saturated) == (other.dead, other.zero, other.saturated)
        assert one.mean == pytest.approx(other.mean, rel=1e-6)
        assert sum(one.counts) == sum(other.counts) == 500 * one.units
        assert len(one.edges) == len(one.counts) + 1


def test_the_histogram_counts_every_output(few: Split) -> None:
    config = loading.load("mnist", [Override.parse("model.layers=[{units: 8, activation: tanh}]")])
    built = build.build(network_spec(config, (28, 28), 10), rows=500)
    [layer] = unit_activity.measure(built, few.images, 500)
    built.forward(build.rows_of(few.images))
    [dense, _] = built.layers
    assert isinstance(dense, Dense)
    expected, edges = np.histogram(dense.activation.a, len(layer.counts))
    assert list(layer.counts) == expected.tolist()
    np.testing.assert_allclose(layer.edges, edges, rtol=1e-6)


def test_the_shares_are_those_of_keras(few: Split, tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    stack = [
        *(keras.layers.Flatten(), keras.layers.Dense(64), keras.layers.BatchNormalization()),
        *(keras.layers.Activation("relu", name="first"), keras.layers.Dropout(0.5)),
        keras.layers.Dense(32, "tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=1.0), name="second"),
        keras.layers.Dense(10, "softmax"),
    ]
    model = keras.Sequential([keras.Input((28, 28)), *stack])
    stack[1].bias.assign(np.linspace(-9, 3, 64))  # so that some units are dead
    model.save(tmp_path / "stock.keras")
    loaded = keras_format.load(tmp_path / "stock.keras")
    first, second = unit_activity.measure(loaded.network, few.images, 130)

    between = keras.Model(model.inputs[0], [model.get_layer(name).output for name in ("first", "second")])
    relu, tanh = (np.asarray(output) for output in between(few.images.astype("float32") / 255))
    assert first.dead == pytest.approx((relu == 0).all(axis=0).mean())
    assert 0 < first.dead < 1
    assert first.zero == pytest.approx((relu == 0).mean(), abs=1e-3)
    assert second.saturated == pytest.approx((np.abs(tanh) >= 0.98).mean(), abs=1e-3)
    assert second.saturated > 0.2
