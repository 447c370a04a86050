"""Build a compiled, plain `keras.Sequential` from a network's spec; load and apply `.keras` files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli.config.optimizers import OptimizerSection
from dnn_cli.config.schedules import Schedule
from dnn_cli.config.schema import Config
from dnn_cli.data.pixels import to_bytes, to_unit_range
from dnn_cli.engines import keras_file
from dnn_cli.engines.network_spec import Layer, NetworkSpec, prediction_batch
from dnn_cli.errors import RunError, reason
from dnn_cli.typing import Array

if TYPE_CHECKING:
    import keras


def build(spec: NetworkSpec, config: Config, steps_per_epoch: int | None = None) -> "keras.Sequential":
    """Return the compiled network: float images (n, height, width[, channels]) in [0, 1] → probabilities (n, classes).

    Its initial weights depend on `config.seed` alone.

    Args:
        spec: the network.
        config: the optimizer and the loss to compile it with.
        steps_per_epoch: number of steps in which a schedule counts an epoch; required by schedules with lengths in
            epochs.
    """
    import keras

    network = keras.Sequential([keras.Input(spec.image_shape), *map(_keras_layer, spec.layers)])
    loss: Any = "sparse_categorical_crossentropy"
    if smoothing := config.training.label_smoothing:
        # The sparse loss does not support label smoothing.
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    network.compile(
        _keras_optimizer(config.with_absolute_schedule().optimizer, steps_per_epoch), loss, metrics=["accuracy"]
    )
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
        compiled: load optimizer, loss and metrics too, which can be custom classes in files from elsewhere.

    Raises:
        RunError: the file is damaged, contains code, or its network is not an image classifier.
    """
    keras_file.check_file(path)
    with keras_file.open_weights(path):  # Keras itself would follow links and expand what claims to be large
        pass
    import keras

    try:
        network = keras.models.load_model(path, safe_mode=True, compile=compiled)
    except Exception as error:  # a malicious or foreign file can make Keras raise any exception
        raise RunError(f"{path} cannot be loaded by Keras: {reason(error)}") from error
    try:
        inputs, outputs = network.input_shape, network.output_shape
    except (AttributeError, ValueError):
        raise RunError(f"{path} is not an image classifier: it does not state the shape of its images") from None
    if not (_is_batch(inputs) and _is_batch(outputs) and len(outputs) == 2 and outputs[1] > 1):
        raise RunError(f"{path} is not an image classifier: it maps {inputs} to {outputs}")
    return network


def _is_batch(shape: Any) -> bool:
    """Return whether `shape` belongs to one tensor: any number of examples, each of a fixed size."""
    return isinstance(shape, tuple) and len(shape) > 1 and None not in shape[1:]


def predict(network: "keras.Sequential", images: Array) -> Array:
    """Return the network's outputs (n, classes), float32, for uint8 images in 0..255 or float32 images in [0, 1]."""
    size = prediction_batch(images.shape[1:])
    starts = range(0, len(images), size)
    # An exported network takes the pixels themselves and scales them inside.
    prepare = to_bytes if network.inputs[0].dtype == "uint8" else to_unit_range
    batches = [network(prepare(images[start : start + size]), training=False) for start in starts]
    return np.concatenate([np.asarray(outputs) for outputs in batches])
