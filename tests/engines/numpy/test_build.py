"""Test the NumPy network of a config: same initial weights and predictions as Keras, and its inputs and targets."""

import numpy as np
import pytest

from dnn_cli.config import loading
from dnn_cli.config.schema import Config
from dnn_cli.data.datasets import Split
from dnn_cli.engines.keras import build
from dnn_cli.engines.network_spec import Layer, NetworkSpec, network_spec
from dnn_cli.engines.numpy import build as numpy_build
from dnn_cli.engines.numpy import optimizers


def config(text: str) -> Config:
    return loading.parse(text, "test")


NETWORKS = [
    "{}",
    "model: {layers: [16, {units: 8, activation: tanh, use_bias: false, initializer: random_uniform}]}",
    "model: {layers: [{units: 16, batch_normalization: {epsilon: 0.01}, dropout: 0.5}], input_dropout: 0.1}",
]


@pytest.mark.parametrize("text", NETWORKS)
def test_an_untrained_network_equals_the_untrained_one_of_keras(text: str, few: Split) -> None:
    spec = network_spec(config(text), (28, 28), 10)
    theirs, ours = build.build(spec, config(text)), numpy_build.build(spec, rows=64)
    for parameter, weight in zip(ours.trained, theirs.trainable_variables, strict=True):
        assert parameter.value.tobytes() == weight.numpy().tobytes()
    expected = build.predict(theirs, few.images)
    np.testing.assert_allclose(numpy_build.predict(ours, few.images, 64), expected, rtol=1e-4, atol=1e-6)


def test_initial_weights_depend_on_the_seed() -> None:
    specs = [network_spec(config(f"seed: {seed}"), (4, 4), 3) for seed in (1, 1, 2)]
    one, same, other = (numpy_build.build(spec, rows=1) for spec in specs)
    assert one.parameters.tobytes() == same.parameters.tobytes() != other.parameters.tobytes()


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("sgd", optimizers.SGD, {"learning_rate": 0.01, "momentum": 0.0}),
        ("{name: sgd, momentum: 0.5, nesterov: true}", optimizers.SGD, {"momentum": 0.5, "nesterov": True}),
        ("{name: rmsprop, rho: 0.8, epsilon: 0.001}", optimizers.RMSprop, {"rho": 0.8, "epsilon": 0.001}),
        ("{name: adam, beta_1: 0.8, weight_decay: 0.1}", optimizers.Adam, {"beta_1": 0.8, "weight_decay": 0.1}),
        ("adamw", optimizers.AdamW, {"weight_decay": 0.004, "learning_rate": 0.001}),
    ],
)
def test_the_optimizer_has_the_settings_of_the_config(text: str, kind: type, values: dict[str, float]) -> None:
    optimizer = numpy_build.optimizer(config(f"optimizer: {text}").optimizer)
    assert type(optimizer) is kind
    assert {key: getattr(optimizer, key) for key in values} == values


def test_images_become_rows_between_0_and_1(few: Split) -> None:
    rows = numpy_build.rows_of(few.images)
    assert (rows.dtype.name, rows.shape, rows.min(), rows.max()) == ("float32", (500, 784), 0, 1)
    floats = few.images.astype("float32") / 255
    assert (numpy_build.rows_of(floats) == rows).all()
    assert numpy_build.rows_of(floats[:2], np.float64).dtype == np.float64


def test_labels_become_rows_that_sum_to_one() -> None:
    assert numpy_build.targets(np.array([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    np.testing.assert_allclose(numpy_build.targets(np.array([2]), 4, 0.2), [[0.05, 0.05, 0.85, 0.05]])


def test_an_unsupported_layer_raises_an_error() -> None:
    with pytest.raises(ValueError, match="the NumPy network has no Conv2D"):
        numpy_build.assemble(NetworkSpec((2, 2), (Layer("Flatten", {}, 4), Layer("Conv2D", {}, 3))), rows=1)
