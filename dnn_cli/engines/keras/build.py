"""Build a compiled, plain `keras.Sequential` from a config; load and apply `.keras` files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli.config.optimizers import OptimizerSection
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Config
from dnn_cli.engines.keras_file import check_file
from dnn_cli.engines.network_spec import Layer, network_spec, prediction_batch
from dnn_cli.errors import RunError, reason
from dnn_cli.typing import Array

if TYPE_CHECKING:
    import keras


def build(
    config: Config, image_shape: tuple[int, ...], classes: int, steps_per_epoch: int | None = None
) -> "keras.Sequential":
    """The compiled network. It takes float images in [0, 1] of shape (n, \\*image_shape) and gives (n, classes).

    Its initial weights are a function of `config.seed` alone.

    Args:
        config: what to build.
        image_shape: height, width and, if there are any, channels.
        classes: labels are less than that.
        steps_per_epoch: what turns a schedule's lengths in epochs into steps; needed where there are any.
    """
    import keras

    network = keras.Sequential(
        [keras.Input(image_shape), *map(_keras_layer, network_spec(config, image_shape, classes))]
    )
    loss: Any = "sparse_categorical_crossentropy"
    if smoothing := config.training.label_smoothing:
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)  # the sparse one cannot smooth
    network.compile(_keras_optimizer(config.optimizer, steps_per_epoch), loss, metrics=["accuracy"])
    return network


def _keras_layer(layer: Layer) -> Any:
    import keras

    arguments = dict(layer.arguments)
    if layer.initializer:
        plain = keras.initializers.get(layer.initializer)
        seeded = {key: layer.seed if key == "seed" else value for key, value in plain.get_config().items()}
        arguments["kernel_initializer"] = type(plain)(**seeded)
    if any(layer.penalties):
        arguments["kernel_regularizer"] = keras.regularizers.L1L2(*layer.penalties)
    if layer.max_norm is not None:
        arguments["kernel_constraint"] = keras.constraints.MaxNorm(layer.max_norm)
    return getattr(keras.layers, layer.kind)(**arguments)


def _keras_optimizer(section: OptimizerSection, steps_per_epoch: int | None) -> Any:
    import keras

    arguments = {key: list(value) if isinstance(value, tuple) else value for key, value in section if key != "name"}
    if isinstance(section.learning_rate, Schedule):
        kind, schedule = section.learning_rate.keras(steps_per_epoch)
        arguments["learning_rate"] = getattr(keras.optimizers.schedules, kind)(**schedule)
    return getattr(keras.optimizers, type(section).__name__)(**arguments)


def load(path: Path, *, compiled: bool = True) -> "keras.Sequential":
    """Read a network from a `.keras` file.

    Args:
        path: the file.
        compiled: whether its optimizer, loss and metrics are wanted too; they may be of somebody else's making.

    Raises:
        RunError: the file is damaged, or holds code, or no network that tells images apart.
    """
    check_file(path)
    import keras

    try:
        network = keras.models.load_model(path, safe_mode=True, compile=compiled)
    except Exception as error:  # a hostile or foreign file can make Keras raise anything
        raise RunError(f"{path} cannot be loaded by Keras: {reason(error)}") from error
    try:
        inputs, outputs = network.input_shape, network.output_shape
    except (AttributeError, ValueError):
        raise RunError(f"{path} is not an image classifier: it does not say which images it takes") from None
    if not (_is_batch(inputs) and _is_batch(outputs) and len(outputs) == 2 and outputs[1] > 1):
        raise RunError(f"{path} is not an image classifier: it maps {inputs} to {outputs}")
    return network


def _is_batch(shape: Any) -> bool:
    """Whether `shape` is that of one tensor: some examples, each of a fixed size."""
    return isinstance(shape, tuple) and len(shape) > 1 and None not in shape[1:]


def predict(network: "keras.Sequential", images: Array) -> Array:
    """The network's output for `images`, which are uint8 in 0..255 or float32 in [0, 1]: (n, classes) float32."""
    size = prediction_batch(images.shape[1:])
    batches = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        scaled = batch.astype(np.float32) / 255 if batch.dtype == np.uint8 else batch
        batches.append(np.asarray(network(scaled, training=False)))
    return np.concatenate(batches)
