"""Test batch normalization and dropout of the NumPy network against Keras and their definition."""

from typing import Any

import keras
import numpy as np
import pytest

from dnn_cli.engines.numpy.network import Dense, Network
from dnn_cli.engines.numpy.regularization import BatchNormalization, Dropout

RANDOM = np.random.default_rng(2)


@pytest.mark.parametrize("momentum", [0.99, 0.6])
def test_batch_normalization_equals_that_of_keras_in_training_and_prediction(momentum: float) -> None:
    ours = BatchNormalization(momentum, epsilon=0.01)
    Network([ours], 5, rows=20)
    theirs = keras.layers.BatchNormalization(momentum=momentum, epsilon=0.01)
    ours.gamma.value[:], ours.beta.value[:] = RANDOM.normal(size=(2, 5))
    theirs.build((None, 5))
    theirs.gamma.assign(ours.gamma.value)
    theirs.beta.assign(ours.beta.value)
    for rows in (20, 7, 1):
        x = RANDOM.normal(3, 2, (rows, 5)).astype("float32")
        for training in (True, False):
            outputs = theirs(x, training=training).numpy()
            np.testing.assert_allclose(ours.forward(x, training), outputs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance.numpy(), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_drops_its_share_and_depends_on_the_seed_alone(dtype: Any) -> None:
    layer = Dropout(0.3)
    network = Network([layer, Dense(1)], 1000, rows=100, dtype=dtype)
    x = np.ones((100, 1000), dtype)
    layer.random = np.random.default_rng(5)
    network.forward(x, training=True)
    first = layer.factor.copy()
    np.testing.assert_allclose(np.unique(first), [0, 1 / 0.7], rtol=1e-6)
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert layer.backward(np.ones((100, 1000), dtype), to_input=True).tobytes() == first.tobytes()
    network.forward(x, training=True)
    assert (first != layer.factor).any()
    layer.random = np.random.default_rng(5)
    network.forward(x, training=True)
    assert first.tobytes() == layer.factor.tobytes()
    assert layer.forward(x, training=False) is x
