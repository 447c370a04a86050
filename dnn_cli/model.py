"""`Config` → a compiled, plain `keras.Sequential`; reading its `.keras` file.

The blueprint says which Keras layers the network has. It needs no TensorFlow, so that a dry run answers at once, and
`build` makes the network from that same blueprint.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dnn_cli import seeds
from dnn_cli.config import Block, Config
from dnn_cli.errors import RunError, UsageError, reason
from dnn_cli.optimizers import Common, Schedule
from dnn_cli.seeds import Purpose

if TYPE_CHECKING:
    import keras

Array = np.ndarray[Any, np.dtype[Any]]

MAX_PARAMETERS = 200_000_000  # with Adam's two moments that is 2.4 GB of float32
MAX_FILE_BYTES = 8 * 2**30
MAX_DESCRIPTION_BYTES = 2**24
PREDICTION_BATCH = 1000
PREDICTION_PIXELS = 2**25  # a batch of large images is smaller: at most 128 MiB of float32


@dataclass(frozen=True)
class Layer:
    """One Keras layer of the network.

    Attributes:
        kind: the name of the class in `keras.layers`.
        arguments: what the class is called with.
        units: the length of the layer's output.
        shapes: what the layer holds, by Keras's names, and the shape of each.
        seed: what its initial weights or its dropout are drawn from.
        initializer: Keras's name of the kernel initializer, for a Dense layer.
        penalties: the L1 and L2 penalty on the kernel.
        max_norm: the longest column of the kernel, or None.
    """

    kind: str
    arguments: dict[str, Any]
    units: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    initializer: str = ""
    penalties: tuple[float, float] = (0.0, 0.0)
    max_norm: float | None = None

    @property
    def name(self) -> str:
        """The layer's name in the network."""
        return str(self.arguments["name"])

    @property
    def parameters(self) -> int:
        """How many numbers the layer holds."""
        return sum(map(prod, self.shapes.values()))


def blueprint(config: Config, image_shape: tuple[int, ...], classes: int) -> list[Layer]:
    """The network's layers in order, for images of `image_shape` (height, width[, channels]) and labels < `classes`.

    Raises:
        UsageError: the network would hold more than `MAX_PARAMETERS` numbers.
    """
    layers = [Layer("Flatten", {"name": "flatten"}, prod(image_shape))]
    if config.model.input_dropout:
        layers.append(_dropout(config.model.input_dropout, "input_dropout", layers[-1].units, config.seed, 0))
    for index, block in enumerate(config.model.layers, start=1):
        trainable = index - 1 not in config.model.frozen
        layers += _block(block, index, layers[-1].units, config.seed, trainable=trainable)
    output = Block(units=classes, activation="linear")
    layers.append(_dense(output, "output", layers[-1].units, "softmax", seeds.integer(config.seed, Purpose.WEIGHTS, 0)))
    if (total := count_parameters(layers)) > MAX_PARAMETERS:
        raise UsageError(
            f"model.layers makes a network of {total:,} parameters; at most {MAX_PARAMETERS:,} are allowed"
        )
    return layers


def count_parameters(layers: list[Layer]) -> int:
    """How many numbers the network holds, trainable or not."""
    return sum(layer.parameters for layer in layers)


def _block(block: Block, index: int, inputs: int, seed: int, *, trainable: bool) -> list[Layer]:
    weights_seed = seeds.integer(seed, Purpose.WEIGHTS, index)
    name = f"dense_{index}"
    if block.batch_normalization is None:
        layers = [_dense(block, name, inputs, block.activation, weights_seed, trainable=trainable)]
    else:
        normalization = {
            **dict(block.batch_normalization),
            "name": f"batch_normalization_{index}",
            "trainable": trainable,
        }
        shapes = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (block.units,))
        layers = [
            _dense(block, name, inputs, "linear", weights_seed, trainable=trainable),
            Layer("BatchNormalization", normalization, block.units, shapes),
            Layer("Activation", {"activation": block.activation, "name": f"activation_{index}"}, block.units),
        ]
    if block.dropout:
        layers.append(_dropout(block.dropout, f"dropout_{index}", block.units, seed, index))
    return layers


def _dropout(rate: float, name: str, units: int, seed: int, index: int) -> Layer:
    return Layer("Dropout", {"rate": rate, "seed": seeds.integer(seed, Purpose.DROPOUT, index), "name": name}, units)


def _dense(block: Block, name: str, inputs: int, activation: str, seed: int, *, trainable: bool = True) -> Layer:
    arguments = {
        "units": block.units,
        "activation": activation,
        "use_bias": block.use_bias,
        "name": name,
        "trainable": trainable,
    }
    shapes: dict[str, tuple[int, ...]] = {"kernel": (inputs, block.units)}
    if block.use_bias:
        shapes["bias"] = (block.units,)
    penalties = (block.l1, block.l2)
    return Layer("Dense", arguments, block.units, shapes, seed, block.initializer, penalties, block.max_norm)


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

    network = keras.Sequential([keras.Input(image_shape), *map(_keras_layer, blueprint(config, image_shape, classes))])
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


def _keras_optimizer(section: Common, steps_per_epoch: int | None) -> Any:
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


def check_file(path: Path) -> None:
    """Check, without TensorFlow, that `path` is a whole `.keras` archive of bounded size; raises `RunError` if not."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            if not {"config.json", "metadata.json", "model.weights.h5"} <= members.keys():
                raise RunError(f"{path} is not a Keras model: it is an archive of other things")
            if sum(members.values()) > MAX_FILE_BYTES:
                raise RunError(f"{path} is larger than the {MAX_FILE_BYTES / 2**30:.0f} GiB allowed")
            damaged = archive.testzip()
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise RunError(f"{path} is damaged or not a Keras model: {reason(error)}") from None
    if damaged:
        raise RunError(f"{path} is damaged: {damaged} in it does not match its checksum")


def description(path: Path) -> Any:
    """What the `.keras` file that `check_file` let pass says of its network; raises `ValueError` if it is no JSON."""
    with zipfile.ZipFile(path) as archive, archive.open("config.json") as member:
        return json.loads(member.read(MAX_DESCRIPTION_BYTES))


def prediction_batch(image_shape: tuple[int, ...]) -> int:
    """How many images are predicted at once."""
    return max(1, min(PREDICTION_BATCH, PREDICTION_PIXELS // prod(image_shape)))


def predict(network: "keras.Sequential", images: Array) -> Array:
    """The network's output for `images`, which are uint8 in 0..255 or float32 in [0, 1]: (n, classes) float32."""
    size = prediction_batch(images.shape[1:])
    batches = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        scaled = batch.astype(np.float32) / 255 if batch.dtype == np.uint8 else batch
        batches.append(np.asarray(network(scaled, training=False)))
    return np.concatenate(batches)
