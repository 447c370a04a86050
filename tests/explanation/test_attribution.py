"""Test the attribution to pixels and units: its axioms, and its gradients against Keras and finite differences."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from dnn_cli.data.datasets import Split
from dnn_cli.engines.numpy import keras_format
from dnn_cli.engines.numpy.network import Activation, Dense, Network
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout
from dnn_cli.explanation import attribution
from dnn_cli.explanation.attribution import rank_correlation
from dnn_cli.typing import Array

SMOOTH = ("tanh", "gelu", "softplus")


def network(*activations: str, side: int = 6, dtype: Any = np.float64) -> Network:
    """Return a network of layers with 12 units, batch normalization and random weights, and of four classes."""
    stack: list[Any] = []
    for activation in activations:
        stack += [Dense(12, "linear"), BatchNormalization(), Activation(activation), Dropout(0.5)]
    built = Network([*stack, Dense(4, "linear")], side * side, rows=64, dtype=dtype)
    random = np.random.default_rng(1)
    built.parameters[:] = random.normal(0.1, 0.4, built.parameters.shape)
    for layer in built.layers:
        if isinstance(layer, BatchNormalization):
            layer.moving_mean[:] = random.normal(0, 0.3, 12)
            layer.moving_variance[:] = random.uniform(0.5, 2, 12)
    return built


@pytest.fixture
def image() -> Array:
    return np.random.default_rng(0).random((6, 6))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "elu", "hard_silu"])
def test_gradients_are_those_of_keras(activation: str, few: Split, tmp_path: Path) -> None:
    keras.utils.set_random_seed(2)
    stock = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(9, activation),
            layers.Dense(8, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation(activation),
            layers.Dropout(0.4),
            layers.Dense(10, "softmax"),
        ]
    )
    for weight in stock.layers[3].weights:
        weight.assign(keras.random.uniform(weight.shape, 0.5, 1.5))
    stock.save(tmp_path / "stock.keras")
    images = tf.constant(few.images[:3] / np.float32(255))
    stock.layers[-1].activation = keras.activations.linear
    with tf.GradientTape() as tape:
        tape.watch(images)
        logit = stock(images, training=False)[:, 7]
    theirs = tape.gradient(logit, images).numpy().reshape(3, -1)
    ours = attribution.gradients(
        keras_format.load(tmp_path / "stock.keras").network, images.numpy().reshape(3, -1), np.eye(10)[7:8]
    )[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max() + 1e-8, rtol=1e-4)


@pytest.mark.parametrize("activation", SMOOTH)
def test_gradients_are_those_of_finite_differences(activation: str, image: Array) -> None:
    net, row, step = network(activation, activation), image.reshape(1, -1), 1e-6
    found = attribution.gradients(net, row, np.eye(4))
    for pixel in range(0, 36, 5):
        moved = np.concatenate([row, row])
        moved[:, pixel] += (step, -step)
        up, down = attribution.logits(net, moved).copy()
        np.testing.assert_allclose([each[0, pixel] for each in found], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu", "sigmoid"])
def test_integrated_gradients_are_complete(activation: str, image: Array) -> None:
    for each in attribution.attribute(network(activation, activation), image, np.eye(4), 64):
        assert each.residual <= 0.01
        np.testing.assert_allclose(each.integrated_gradients.sum(), each.value - each.baseline, rtol=0.01)


def test_a_discontinuous_activation_leaves_a_residual(image: Array) -> None:
    found = attribution.attribute(network("hard_shrink"), image, np.eye(4), 64)
    assert max(each.residual for each in found) > 0.01
    assert found[0].steps == attribution.MAX_STEPS


def test_the_attribution_of_a_linear_network_is_its_weights(image: Array) -> None:
    net = network()
    (found,) = attribution.attribute(net, image, np.eye(4)[:1], 64)
    weights = net.layers[0].parameters[0].value[:, 0].reshape(6, 6)
    np.testing.assert_allclose(found.saliency, weights)
    np.testing.assert_allclose(found.integrated_gradients, weights * image)
    np.testing.assert_allclose(found.occlusion, weights * image)  # patches of one pixel here
    assert found.agreement["integrated_gradients"] == pytest.approx(1)
    assert attribution.units(net, image, 0, 1, 5) == []


def test_a_pixel_without_influence_gets_zero() -> None:
    net = network("tanh", "relu", side=28)
    image = np.random.default_rng(0).uniform(0.2, 1, (28, 28))
    blind = np.zeros((28, 28), bool)
    blind[10, 10:14] = blind[20, 5] = True  # narrower than a patch
    net.layers[0].parameters[0].value[blind.ravel()] = 0
    for each in attribution.attribute(net, image, np.eye(4), 64):
        for map_ in (each.integrated_gradients, each.saliency, each.occlusion):
            assert (map_[blind] == 0).all()
            assert (map_[~blind] != 0).mean() > 0.9


def test_a_black_image_has_no_attribution(image: Array) -> None:
    (found,) = attribution.attribute(network("relu"), np.zeros((6, 6)), np.eye(4)[:1], 64)
    assert found.residual == 0
    assert not found.integrated_gradients.any()
    assert not found.occlusion.any()
    assert found.agreement == {"integrated_gradients": None, "saliency": None}


@pytest.mark.parametrize("activations", [("relu",), ("tanh", "hard_sigmoid")])
def test_contributions_of_units_add_up_to_the_difference_of_logits(activations: tuple[str, ...], image: Array) -> None:
    net = network(*activations)
    found = attribution.units(net, image, 2, 0, 12)
    z = attribution.logits(net, image.reshape(1, -1))[0]
    bias = net.layers[-1].parameters[1].value
    assert sum(unit.contribution for unit in found) + bias[2] - bias[0] == pytest.approx(z[2] - z[0])
    sizes = [abs(unit.contribution) for unit in found]
    assert sizes == sorted(sizes, reverse=True)
    first = net.layers[0]
    if len(activations) == 1:
        assert isinstance(first, Dense)
        for unit in found:
            column = first.weights.value[:, unit.index]
            assert abs(np.corrcoef(column, unit.picture.ravel())[0, 1]) == pytest.approx(1)


def test_rank_correlation() -> None:
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([1.0, 8, 9])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2, 2, 3]), np.array([4.0, 3, 3, 1])) == pytest.approx(-1)
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])) == pytest.approx(0.6)
    assert rank_correlation(np.ones(3), np.arange(3.0)) is None


def test_channels_are_added_up() -> None:
    net = network("relu", side=6)
    coloured = np.random.default_rng(3).random((4, 3, 3))
    (found,) = attribution.attribute(net, coloured, np.eye(4)[:1], 64)
    assert found.integrated_gradients.shape == found.occlusion.shape == (4, 3)
    assert found.residual <= 0.01
